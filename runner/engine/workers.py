"""Coroutines that end together: several at the same work, and all that a loop runs, whatever interrupts it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def work_together(work: Callable[[], Awaitable[None]], workers: int) -> None:
    """Runs `work` in `workers` tasks; where one fails or the caller is cancelled, ends the others and waits for them.

    Raises:
        Exception: the first that one of them raised.
    """
    tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Loop:
    """An event loop for one call after another, from the first to `close`."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs to the end. What interrupts it, Ctrl-C or SIGTERM, goes on when nothing runs any more.

        Left to itself, an interrupted loop goes on with what was interrupted at its next call, and tells of it in the
        middle of that.
        """
        loop = self._runner.get_loop()
        task = loop.create_task(work)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            while left := asyncio.all_tasks(loop):
                for one in left:
                    one.cancel()
                with suppress(BaseException):  # each task that an interruption passes through raises it once more
                    loop.run_until_complete(asyncio.wait(left))
            if not task.cancelled():
                task.exception()  # it is on its way already
            raise

    def close(self) -> None:
        """Ends it."""
        self._runner.close()
