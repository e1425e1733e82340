"""The chain as one command uses it: windows of wallets become ranges of blocks, and logs become rows in landing.

It stands where OrderApi stands for an order API: tasks in, Fetched out, coverage and checkpoints by the same rules.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from runner import failpoints
from runner.engine.build import Display
from runner.engine.chain_reader import ChainReader
from runner.engine.fetch import Fetched, Task
from runner.engine.reorganisation import Healing
from runner.engine.sweep import Sweep
from runner.engine.workers import Loop, work_together
from runner.errors import BudgetSpent, KeyRefused, PolytradesError, Unavailable, UpstreamError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources.exchanges import known_exchanges
from runner.sources.http import Budget
from runner.sources.polygon import SOURCE, Block, LogFilter, Nodes
from runner.warehouse.protocol import Covered, Warehouse
from runner.windows import Window, utc_now

Progress = Callable[[int, int, str], None]
"""Called with blocks read, blocks in all, and a few words."""

_MOST_WORKERS = 8
"""Ranges under way; each may hold some megabytes of logs."""
_TELL_EVERY = 300.0
"""Seconds between two records of how far a long sweep has come: a row for each of its wallets."""


def is_whole_cheaper(groups: int, span: int, logs_per_block: int, known_whole: int | None = None) -> bool:
    """Whether ranges without a filter by wallet take fewer requests than `groups` requests for each `span` blocks.

    A range of everybody's logs is bounded by what it holds: by the limit that is known, else by 10,000 logs.
    """
    whole = known_whole or min(span, max(1, 10_000 // logs_per_block))
    return groups * whole > span


class Chain:
    """A context manager. `heals`: what was read of blocks that have been reorganised since is read again first."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        run_id: str,
        max_requests: int | None = None,
        heals: bool = False,
    ) -> None:
        self.budget = Budget(max_requests)
        self._settings = settings
        self._warehouse = warehouse
        self._run_id = run_id
        self._heals = heals
        self._nodes = Nodes(settings, self.budget, warehouse.rpc_limits())
        self._loop = Loop()

    def __enter__(self) -> Self:
        self._loop.run(self._nodes.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.run(self._nodes.__aexit__(kind, error, trace))
        finally:
            self._loop.close()

    @property
    def has_given_up(self) -> bool:
        """No node answers any more, so nothing more is asked."""
        return self._nodes.has_given_up

    def fetch(self, intake: Intake, tasks: Sequence[Task], phase: str, display: Display) -> Fetched:
        """Reads the tasks' windows.

        Raises:
            PolytradesError: as Fetch.run.
        """
        reader = ChainReader(self._nodes, intake)
        run = ChainFetch(self._settings, self._nodes, reader, intake)
        try:
            return self._loop.run(self._fetch(run, reader, tasks, phase, display))
        finally:
            with suppress(PolytradesError):  # what was learned is learned again; an error is not to be hidden by it
                self._warehouse.note_rpc_limits(self._nodes.learned(), self._run_id, utc_now())

    async def _fetch(
        self, run: "ChainFetch", reader: ChainReader, tasks: Sequence[Task], phase: str, display: Display
    ) -> Fetched:
        await self._nodes.check_chain()
        head, is_final = await self._nodes.head(self._settings.polygon_finality)
        if self._heals:
            group = self._settings.polygon_wallets_per_request
            healing = Healing(self._warehouse, self._nodes, reader, self._run_id, group)
            wallets = sorted({task.wallet for task in tasks})
            if note := await healing.heal(wallets, head, is_final):
                display.note(note)
        found = await run.run(tasks, head, lambda done, total, text: display.progress(phase, done, total, text))
        failpoints.passing("fills.landed")
        return found


class ChainFetch:
    """One run over a list of tasks. Rows land before what they cover does, or with it."""

    def __init__(self, settings: Settings, nodes: Nodes, reader: ChainReader, intake: Intake) -> None:
        self.result = Fetched()
        self._settings = settings
        self._nodes = nodes
        self._intake = intake
        self._exchanges = known_exchanges()
        self._reader = reader
        self._sweeps: list[Sweep] = []
        self._room = asyncio.Lock()
        self._told_at = time.monotonic()
        self._began_history: int | None = None
        self.first_block = min(exchange.first_block for exchange in self._exchanges.values())

    async def run(self, tasks: Sequence[Task], head: Block, progress: Progress) -> Fetched:
        """Reads and lands everything.

        Raises:
            UsageError: the key is refused. What has come in until then is landed first.
            PolytradesError: what came could not be landed.
        """
        self._sweeps = await self._planned(tasks, head)
        total = sum(sweep.last - sweep.first + 1 for sweep in self._sweeps)
        try:
            await work_together(lambda: self._work(progress, total), self._workers)
            await self._learn_how_far()
        finally:
            # Not awaited: also after Ctrl-C everything that came is landed before the run ends.
            for sweep in self._sweeps:
                self._settle(sweep)
            self._intake.flush()
        for sweep in self._sweeps:
            self.result.heard |= {task for task in sweep.tasks if sweep.received[task.wallet]}
            if sweep.is_complete:
                self.result.done += len(sweep.tasks)
            elif sweep.problem is not None:
                self.result.failures |= {task.wallet: sweep.problem for task in sweep.tasks}
            else:
                self.result.unfinished += sweep.tasks
        return self.result

    @property
    def _workers(self) -> int:
        return min(_MOST_WORKERS, self._settings.requests_in_flight)

    # Which blocks.

    async def _planned(self, tasks: Sequence[Task], head: Block) -> list[Sweep]:
        """Tasks of the same window together, in groups of wallets; what is history comes last."""
        together: dict[tuple[datetime, datetime, bool, bool], list[Task]] = defaultdict(list)
        for task in tasks:
            window = task.window
            together[(window.begins, window.end, task.is_history, task.moves_checkpoint)].append(task)
        sweeps = []
        for (begins, end, _, _), alike in sorted(together.items(), key=lambda item: item[0][2]):
            # What is behind the head is not there yet; the head's own second may get another block.
            reached = min(end, datetime.fromtimestamp(head.time, UTC))
            if reached < end:
                self.result.reached = reached
            if reached <= begins:
                continue
            first = await self._nodes.block_at(begins.timestamp(), self.first_block, head)
            last = await self._nodes.block_at(reached.timestamp(), self.first_block, head) - 1
            window = Window(alike[0].window.start, reached)
            sweeps += [
                Sweep(part, wanted, window, first, last)
                for part, wanted in self._groups(alike, await self._is_whole_cheaper(alike, first, last))
            ]
        return sweeps

    def _groups(self, tasks: list[Task], is_whole: bool) -> list[tuple[list[Task], LogFilter]]:
        exchanges = tuple(self._exchanges.values())
        if is_whole:
            return [(tasks, LogFilter(exchanges, ()))]
        size = self._settings.polygon_wallets_per_request
        parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        return [(part, LogFilter(exchanges, tuple(task.wallet for task in part))) for part in parts]

    async def _is_whole_cheaper(self, tasks: list[Task], first: int, last: int) -> bool:
        """Whether whole ranges take fewer requests than asking by wallet, by what is known of the node's limits."""
        groups = self._groups(tasks, is_whole=False)
        if len(groups) == 1 or last < first:
            return False
        if not self._nodes.is_known("wallets"):
            # One request, to learn what the node refuses.
            await self._nodes.logs(groups[0][1], first, last)
        return is_whole_cheaper(
            len(groups), self._nodes.span("wallets"), self._settings.polygon_logs_per_block, self._known_whole()
        )

    def _known_whole(self) -> int | None:
        return self._nodes.span("everybody") if self._nodes.is_known("everybody") else None

    # The work.

    async def _work(self, progress: Progress, total: int) -> None:
        while (sweep := self._next()) is not None:
            first, last = sweep.take(self._nodes.span(sweep.wanted.kind))
            try:
                await self._read(sweep, first, last)
            except BudgetSpent:
                sweep.is_cut_off = True
            except KeyRefused:
                raise
            except (UpstreamError, Unavailable) as error:
                sweep.problem = sweep.problem or str(error)
            done = sum(sweep.last + 1 - max(sweep.reached, sweep.first) for sweep in self._sweeps)
            progress(done, total, f"{self._intake.counts.received:,} fills of {done:,} blocks")

    def _next(self) -> Sweep | None:
        for sweep in self._sweeps:
            if sweep.has_more and not (sweep.is_history and self._is_history_spent()):
                return sweep
        return None

    def _is_history_spent(self) -> bool:
        if self._began_history is None:
            self._began_history = self._nodes.requests
        return self._nodes.requests - self._began_history >= self._settings.history_requests_per_run

    async def _read(self, sweep: Sweep, first: int, last: int) -> None:
        """Reads a range, in as many answers as it takes, the newest blocks first."""
        wallets = frozenset(task.wallet for task in sweep.tasks)
        while last >= first:
            answer = await self._nodes.logs(sweep.wanted, first, last)
            logs, earliest = await self._reader.take(answer, wallets)
            self.result.received += len(logs) + len(logs.broken)
            sweep.received.update(logs.columns["wallet_address"].to_pylist())
            sweep.read(answer.first, answer.last, earliest)
            last = answer.first - 1
            if self._intake.is_full:
                await self._make_room()

    async def _make_room(self) -> None:
        """Hands the full batch over, once the one before it has landed."""
        async with self._room:
            if self._intake.landing is not None:
                # Shielded: a cancelled future would be a batch that never lands, with others landing after it.
                await asyncio.shield(asyncio.wrap_future(self._intake.landing))
            if self._intake.is_full:
                if time.monotonic() - self._told_at > _TELL_EVERY:
                    await self._learn_how_far()
                    for sweep in self._sweeps:
                        self._settle(sweep, has_ended=False)
                    self._told_at = time.monotonic()
                self._intake.hand_over()

    # What is covered.

    async def _learn_how_far(self) -> None:
        """The times of the blocks that unfinished sweeps have come to."""
        for sweep in self._sweeps:
            if not sweep.is_complete and sweep.reached <= sweep.last and sweep.told != sweep.reached:
                with suppress(UpstreamError):
                    blocks = await self._nodes.blocks([sweep.reached])
                    sweep.times[sweep.reached] = blocks[sweep.reached].time

    def _settle(self, sweep: Sweep, has_ended: bool = True) -> None:
        """Tells what of a sweep is complete, and of one that failed that it did."""
        if sweep.is_complete:
            if sweep.told != sweep.first:
                sweep.told = sweep.first
                self._cover(sweep, sweep.window, "complete", sweep.first)
            return
        if (second := sweep.complete_from) is not None and sweep.told != sweep.reached:
            begins = datetime.fromtimestamp(second, UTC)
            if sweep.window.begins < begins < sweep.window.end:
                sweep.told = sweep.reached
                self._cover(sweep, replace(sweep.window, start=begins), "complete", sweep.reached)
        if has_ended and sweep.problem is not None:
            self._cover(sweep, sweep.window, "failed", sweep.first)

    def _cover(self, sweep: Sweep, window: Window, status: str, first: int) -> None:
        for task in sweep.tasks:
            self._intake.covered(
                Covered(
                    SOURCE,
                    task.wallet,
                    window.start,
                    window.end,
                    status,
                    sweep.received[task.wallet],
                    moves_checkpoint=task.moves_checkpoint and status == "complete" and sweep.is_complete,
                    checkpoint=task.reaches if window.end == task.window.end else None,
                    contracts=",".join(sorted(self._exchanges)),
                    first_block=first,
                    last_block=sweep.last,
                )
            )
