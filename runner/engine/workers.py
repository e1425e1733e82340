"""Several coroutines at the same work: all to their end, or none left behind."""

import asyncio
from collections.abc import Awaitable, Callable


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
