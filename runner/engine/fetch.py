"""Fetches the fills of many wallets at a time and hands them to the intake, one page after the other."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.errors import Unavailable, UpstreamError
from runner.landing.intake import Intake
from runner.sources import dome
from runner.sources.http import Http
from runner.warehouse.protocol import Checkpoint
from runner.windows import Window

_GIVE_UP_AFTER = 10
"""Wallets in a row that get no answer: then the upstream is the trouble, not the wallets."""

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

    Gives up early where the upstream is the trouble; the wallets not asked then count as failed. Memory is bounded: a
    page waits in the queue until the intake has room, and its wallet with it.

    Raises:
        UsageError: the key is refused or the address is wrong. What has come in until then is landed first.
    """
    queue: asyncio.Queue[_Page | _Done | Exception] = asyncio.Queue(maxsize=in_flight)
    waiting = iter(tasks)

    async def work() -> None:
        for task in waiting:
            try:
                async for records in dome.order_pages(http, task.wallet, task.window, page_size):
                    await queue.put(_Page(task.wallet, records))
                await queue.put(_Done(task))
            except UpstreamError as error:
                await queue.put(_Done(task, error))
            except Exception as error:
                await queue.put(error)
                return

    workers = [asyncio.create_task(work()) for _ in range(min(in_flight, len(tasks)))]
    failures: dict[str, str] = {}
    finished: set[str] = set()
    received: dict[str, int] = {}
    done = unanswered = 0
    try:
        while done < len(tasks):
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, _Page):
                received[item.wallet] = received.get(item.wallet, 0) + len(item.records)
                await _finished_in_thread(intake.add, item.records, item.wallet, item.wallet)
            else:
                done += 1
                unanswered = unanswered + 1 if isinstance(item.error, Unavailable) else 0
                if item.error is None:
                    window = item.task.window
                    count = received.get(item.task.wallet, 0)
                    intake.finished(Checkpoint(dome.SOURCE, item.task.wallet, window.start, window.end, count))
                    finished.add(item.task.wallet)
                else:
                    failures[item.task.wallet] = str(item.error)
                if unanswered >= _GIVE_UP_AFTER:
                    for task in tasks:
                        if task.wallet not in finished:
                            failures.setdefault(task.wallet, "Not asked, because nothing answered for too many others.")
                    break
            progress(done, len(tasks), intake.counts.received)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        intake.flush()
    return failures


async def _finished_in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Runs `function` in a thread and, even when cancelled (Ctrl-C), waits for its end: the intake is not for two."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
