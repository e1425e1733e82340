"""The chain from BigQuery's public table of logs: priced before it is read, landed without passing through Python.

It stands where Chain stands for nodes: tasks in, Fetched out, coverage by the same rules.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from runner import dbt
from runner.engine.build import Display
from runner.engine.fetch import Fetched, Task, spanned
from runner.engine.plan import BackfillPlan
from runner.engine.writer import check_budget
from runner.errors import HeldBack, UsageError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources.exchanges import known_exchanges
from runner.sources.http import Budget
from runner.sources.polygon import SOURCE
from runner.units import as_bytes
from runner.warehouse.protocol import Covered, Warehouse
from runner.warehouse.public_logs import Blocks, PublicLogs, Question, Taken
from runner.windows import Window, utc_now

_FOLDER = "public_logs"
"""Of analyses/, and the end of the name of the work table."""


@dataclass(frozen=True)
class Price:
    """What reading the windows costs at most, in bytes and money, beside what is allowed.

    `largest` is the dearest statement, `left_today` what the day's budget has left.
    """

    slices: list[tuple[Window, int]]
    largest: int
    left_today: int
    money: float

    @property
    def bytes(self) -> int:
        """Of all slices."""
        return sum(count for _, count in self.slices)


def check_target(warehouse: Warehouse) -> None:
    """Refuses a warehouse that cannot read the public table.

    Raises:
        UsageError: it cannot.
    """
    if warehouse.public_logs is None:
        raise UsageError(
            f"--public-logs reads a table of BigQuery, and {warehouse.place} cannot. Choose a target on BigQuery "
            "(--target bigquery), or leave --public-logs out: then a node of Polygon is read."
        )


def price(settings: Settings, warehouse: Warehouse, plan: BackfillPlan) -> Price:
    """Has BigQuery estimate every slice. Nothing is read; only the project's seeds are written if they are not there.

    Raises:
        UsageError: the warehouse cannot read the table, or may not.
    """
    check_target(warehouse)
    slices: list[tuple[Window, int]] = []
    largest = 0
    if plan.slices:
        job = dbt.Job("backfill", f"price-{secrets.token_hex(3)}")
        warehouse.names_jobs(job.command, job.run_id)
        statements = _statements(settings, warehouse, job)
        for _, tasks in plan.slices:
            question = _question(warehouse, statements, tasks)
            found = _table(warehouse).bytes_of_logs(question)
            slices.append((question.window, sum(found)))
            largest = max(largest, *found)
    left = max(0, settings.daily_bytes_budget - warehouse.bytes_billed_on(utc_now().date()))
    total = sum(count for _, count in slices)
    return Price(slices, largest, left, total / 2**40 * settings.price_per_tib)


def check_price(settings: Settings, found: Price) -> None:
    """Refuses what the limits do not allow.

    Raises:
        HeldBack: a statement is above maximum_bytes_billed, or all are above what the day's budget has left.
    """
    if found.largest > settings.maximum_bytes_billed:
        raise HeldBack(
            f"A month of the public logs reads up to {as_bytes(found.largest)}, and no job may bill more than "
            f"{as_bytes(settings.maximum_bytes_billed)}. Nothing was read. If that is meant, raise "
            "POLYTRADES_MAXIMUM_BYTES_BILLED for this command; or read a node (without --public-logs)."
        )
    if found.bytes > found.left_today:
        raise HeldBack(
            f"The window reads up to {as_bytes(found.bytes)}, and the day's budget has {as_bytes(found.left_today)} "
            "left. Nothing was read. Ask for fewer months at a time, go on tomorrow, or raise "
            "POLYTRADES_DAILY_BYTES_BUDGET."
        )


class FromPublicLogs:
    """A context manager, as Chain."""

    has_given_up = False

    def __init__(self, settings: Settings, warehouse: Warehouse, run_id: str) -> None:
        check_target(warehouse)
        self.budget = Budget()
        self._settings = settings
        self._warehouse = warehouse
        self._run_id = run_id
        self._contracts = ",".join(sorted(known_exchanges()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def fetch(self, intake: Intake, tasks: Sequence[Task], phase: str, display: Display) -> Fetched:
        """Reads the tasks' windows: one statement for all, from the first beginning to the last end.

        Raises:
            PolytradesError: the table could not be read, or what it tells not be landed.
        """
        check_budget(self._settings, self._warehouse, "The months before are kept.")
        statements = _statements(self._settings, self._warehouse, dbt.Job("backfill", self._run_id))
        question = _question(self._warehouse, statements, tasks)
        display.progress(phase, 0, 0, "")
        # A run's own name, so that what a killed run has left without a manifest never counts.
        batch_id = secrets.token_hex(16)
        taken = _table(self._warehouse).take_logs(question, batch_id, self._run_id, utc_now())
        found = Fetched(received=sum(taken.landed.values()) + taken.rejected)
        intake.counts.received += found.received
        intake.counts.landed += sum(taken.landed.values())
        intake.counts.rejected += taken.rejected
        intake.counts.batches += bool(taken.landed)
        is_whole = taken.blocks.are_whole
        for task in tasks:
            intake.covered(self._covered(task, taken, "complete" if is_whole else "failed"), is_proven=True)
            if not is_whole:
                found.failures[task.wallet] = _what_is_missing(taken.blocks, question.window)
        intake.flush()
        found.done = len(tasks) if is_whole else 0
        display.progress(phase, 1, 1, f"{found.received:,} fills")
        return found

    def _covered(self, task: Task, taken: Taken, status: str) -> Covered:
        return Covered(
            SOURCE,
            task.wallet,
            task.window.start,
            task.window.end,
            status,
            taken.landed.get(task.wallet, 0),
            contracts=self._contracts,
            first_block=taken.blocks.first,
            last_block=taken.blocks.last,
        )


def _table(warehouse: Warehouse) -> PublicLogs:
    table = warehouse.public_logs
    if table is None:
        raise AssertionError("check_target comes first")
    return table


def _statements(settings: Settings, warehouse: Warehouse, job: dbt.Job) -> dict[str, str]:
    if not warehouse.has_seeds():
        dbt.seed(settings, job)
    return dbt.compiled(settings, job, _FOLDER, {"POLYTRADES_WORK": warehouse.work_place("public")})


def _question(warehouse: Warehouse, statements: dict[str, str], tasks: Sequence[Task]) -> Question:
    return Question(statements, warehouse.work_place("public"), spanned(tasks), sorted({task.wallet for task in tasks}))


def _what_is_missing(blocks: Blocks, window: Window) -> str:
    if blocks.first is None:
        what = "has nothing of it"
    elif blocks.missing:
        what = f"lacks {blocks.missing:,} blocks around it"
    else:
        what = "does not reach beyond both its ends"
    return (
        f"The public table {what}, so the window {window.begins:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC "
        "does not count as covered; what the table has of it was landed. Read it from a node: the same command without "
        "--public-logs."
    )
