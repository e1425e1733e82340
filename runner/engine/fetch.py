"""Fetches the windows of many wallets at a time, one page after the other, into the intake."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from runner.engine.workers import work_together
from runner.errors import BudgetSpent, UpstreamError
from runner.landing.intake import Intake
from runner.sources.http import Http
from runner.sources.orders import Dialect, Seen, Walk
from runner.warehouse.protocol import Covered
from runner.windows import Window, askable, utc_now

_CLOCKS_AGREE = 5.0
"""Seconds; the upstream's time comes without fractions and over a network."""

Progress = Callable[[int, int, int], None]
"""Called with tasks done, tasks in all, records received."""


@dataclass(frozen=True)
class Task:
    """A wallet and a window to ask for.

    With `moves_checkpoint` its end becomes the wallet's checkpoint, or `reaches` where a run before has fetched what
    follows. `is_history`: what nobody has fetched of the past, which is done after everything else and within a bound.
    Up to `known_until` everything has come before: the beginning of the window is asked for again.
    """

    wallet: str
    window: Window
    moves_checkpoint: bool = True
    is_history: bool = False
    reaches: datetime | None = None
    known_until: datetime | None = None


def spanned(tasks: Sequence[Task]) -> Window:
    """From the first beginning of their windows to the last end."""
    return Window(min(task.window.begins for task in tasks), max(task.window.end for task in tasks))


@dataclass
class Fetched:
    """How a fetch ended. `failures`: wallet → message. `unfinished`: tasks that a bound cut off; they go on later."""

    failures: dict[str, str] = field(default_factory=dict)
    unfinished: list[Task] = field(default_factory=list)
    done: int = 0
    received: int = 0
    heard: set[Task] = field(default_factory=set)
    """Tasks for which a record came that is not from before `known_until`."""
    differing: int = 0
    """Windows in which another number of records came than the upstream had said."""
    reached: datetime | None = None
    """Where the chain ended, if that is before the windows did."""
    seconds_ahead: float = 0.0
    """How far this machine's clock is ahead of the upstream's, where that is too far."""

    def finished(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of the tasks that no bound cut off."""
        unfinished = set(self.unfinished)
        return [task for task in tasks if task not in unfinished]

    def add(self, other: "Fetched") -> None:
        """Takes in how another fetch of the same command ended."""
        self.failures = {**other.failures, **self.failures}
        self.unfinished += other.unfinished
        self.done += other.done
        self.received += other.received
        self.heard |= other.heard
        self.differing += other.differing
        self.seconds_ahead = max(self.seconds_ahead, other.seconds_ahead)


@dataclass(frozen=True)
class Source:
    """An order API: its client, its dialect, where it answers, and how much it is asked for at a time."""

    http: Http
    dialect: Dialect
    path: str
    page_size: int
    in_flight: int


@dataclass
class _UnderWay:
    """A task whose walk has not ended, and from where on its window was said to be complete."""

    task: Task
    told: datetime | None = None


class Fetch:
    """One run of the engine over a list of tasks. A task's rows land before what it covers does, or with it.

    Memory is bounded: while a full batch waits for the one before it, nobody asks for more pages.
    """

    def __init__(self, source: Source, intake: Intake, lag: timedelta, history_requests: int | None = None) -> None:
        self.result = Fetched()
        self._source = source
        self._intake = intake
        self._lag = lag
        self._history_left = history_requests
        self._under_way: dict[Walk, _UnderWay] = {}
        self._room = asyncio.Lock()

    async def run(self, tasks: Sequence[Task], progress: Progress) -> Fetched:
        """Fetches every task and lands everything.

        Raises:
            UsageError: the key is refused or the address is wrong. What has come in until then is landed first.
            PolytradesError: what came could not be landed.
        """
        waiting = iter(tasks)

        async def work() -> None:
            for task in waiting:
                await self._fetch(task)
                progress(self.result.done, len(tasks), self._intake.counts.received)

        try:
            await work_together(work, min(self._source.in_flight, len(tasks)))
        finally:
            # Not awaited: also after Ctrl-C everything that came is landed before the run ends.
            self._intake.flush()
        return self.result

    async def _fetch(self, task: Task) -> None:
        if task.is_history and self._is_history_spent:
            self.result.unfinished.append(task)
            return
        walk = Walk(
            self._source.http,
            self._source.dialect,
            self._source.path,
            task.wallet,
            askable(task.window),
            self._source.page_size,
        )
        asked_at = utc_now()
        self._under_way[walk] = _UnderWay(task)
        has_ended = False
        try:
            has_ended = await self._walk_through(walk, task)
        except BudgetSpent:
            self.result.unfinished.append(task)
        except UpstreamError as error:
            self.result.failures.setdefault(task.wallet, str(error))
            self._intake.covered(self._covered(task, task.window, walk.received, "failed", walk.declared))
        finally:
            if not has_ended:
                self._tell_part(walk)
            del self._under_way[walk]
        if has_ended:
            self._complete(task, walk, asked_at)

    async def _walk_through(self, walk: Walk, task: Task) -> bool:
        """Hands in every page; False if the bound on history cut the walk off."""
        async for page in walk.pages():
            seen = self._read(page.records, task.wallet)
            walk.saw(seen)
            self.result.received += seen.count
            if seen.count and not (task.known_until and seen.newest and seen.newest <= task.known_until):
                self.result.heard.add(task)
            if self._intake.is_full:
                await self._make_room()
            if task.is_history and self._history_left is not None:
                self._history_left -= 1
                if self._is_history_spent and page.has_more:
                    self.result.unfinished.append(task)
                    return False
        return True

    @property
    def _is_history_spent(self) -> bool:
        return self._history_left is not None and self._history_left <= 0

    def _read(self, records: bytes, wallet: str) -> Seen:
        try:
            return self._intake.add_page(records, wallet)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError(
                f"{self._source.http.name} answered {self._source.path} of wallet {wallet} with records that cannot "
                f"be read ({error}). Nothing of that page was taken."
            ) from None

    def _complete(self, task: Task, walk: Walk, asked_at: datetime) -> None:
        """The walk has come to its end: the whole window is covered, as far as the upstream's clock has come."""
        end = task.window.end
        ahead = self._source.http.clock_ahead or 0.0
        if ahead > _CLOCKS_AGREE:
            self.result.seconds_ahead = ahead
            end = min(end, (asked_at - timedelta(seconds=ahead) - self._lag).replace(microsecond=0))
        if walk.declared is not None and walk.declared != walk.received:
            self.result.differing += 1
        if end > task.window.begins:
            window = Window(task.window.start, end)
            self._intake.covered(self._covered(task, window, walk.received, "complete", walk.declared))
        self.result.done += 1

    def _covered(self, task: Task, window: Window, received: int, status: str, declared: int | None = None) -> Covered:
        return Covered(
            self._source.dialect.source,
            task.wallet,
            window.start,
            window.end,
            status,
            received,
            declared,
            moves_checkpoint=task.moves_checkpoint and status == "complete" and window.start == task.window.start,
            checkpoint=task.reaches if window == task.window else None,
        )

    async def _make_room(self) -> None:
        """Hands the full batch over, once the one before it has landed."""
        async with self._room:
            if self._intake.landing is not None:
                # Shielded: a cancelled future would be a batch that never lands, with others landing after it.
                await asyncio.shield(asyncio.wrap_future(self._intake.landing))
            if self._intake.is_full:
                for walk in self._under_way:
                    self._tell_part(walk)
                self._intake.hand_over()

    def _tell_part(self, walk: Walk) -> None:
        """What of a window is complete though its walk has not ended: a later run goes on from there."""
        since, known = walk.complete_from, self._under_way[walk]
        window = known.task.window
        if since is None or since >= window.end or since <= window.begins or since == known.told:
            return
        known.told = since
        if (self._source.http.clock_ahead or 0.0) <= _CLOCKS_AGREE:
            self._intake.covered(self._covered(known.task, Window(since, window.end), walk.received, "complete"))
