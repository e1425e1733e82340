"""Fetches the fills of many wallets at a time and hands them to the intake, one page after the other."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.errors import PolytradesError, UpstreamError
from runner.landing.intake import Intake
from runner.sources import dome
from runner.sources.http import Http
from runner.warehouse.protocol import Checkpoint
from runner.windows import Window

_GIVE_UP_AFTER = 10
"""Wallets that fail before any has succeeded: then the upstream is the trouble, not the wallets."""

Progress = Callable[[int, int, int], None]
"""Called with wallets done, wallets in all, records received."""


@dataclass(frozen=True)
class Task:
    """A wallet and the window to ask for."""

    wallet: str
    window: Window


@dataclass(frozen=True)
class _Page:
    wallet: str
    records: list[bytes]


@dataclass(frozen=True)
class _Done:
    task: Task
    error: UpstreamError | None = None


async def fetch_fills(
    http: Http, intake: Intake, tasks: Sequence[Task], *, page_size: int, in_flight: int, progress: Progress
) -> dict[str, str]:
    """Fetches every task; gives wallet → message for those that failed. They keep their old checkpoint.

    Memory is bounded: a page waits in the queue until the intake has room, and its wallet with it.

    Raises:
        UsageError: the key is refused or the address is wrong. What has come in until then is landed first.
        UpstreamError: the first wallets all failed.
    """
    queue: asyncio.Queue[_Page | _Done | PolytradesError] = asyncio.Queue(maxsize=in_flight)
    waiting = iter(tasks)

    async def work() -> None:
        for task in waiting:
            try:
                async for records in dome.order_pages(http, task.wallet, task.window, page_size):
                    await queue.put(_Page(task.wallet, records))
                await queue.put(_Done(task))
            except UpstreamError as error:
                await queue.put(_Done(task, error))
            except PolytradesError as error:
                await queue.put(error)
                return

    workers = [asyncio.create_task(work()) for _ in range(min(in_flight, len(tasks)))]
    failures: dict[str, str] = {}
    done = 0
    try:
        while done < len(tasks):
            item = await queue.get()
            if isinstance(item, PolytradesError):
                raise item
            if isinstance(item, _Page):
                await asyncio.to_thread(intake.add, item.records, item.wallet, item.wallet)
            else:
                done += 1
                if item.error is None:
                    intake.finished(Checkpoint(dome.SOURCE, item.task.wallet, item.task.window.end))
                else:
                    failures[item.task.wallet] = str(item.error)
                    if len(failures) == done >= _GIVE_UP_AFTER:
                        raise item.error
            progress(done, len(tasks), intake.counts.received)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        intake.flush()
    return failures
