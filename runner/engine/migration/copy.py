"""`migrate copy`: what production has never had of a staging table, newest row of each key, month by month."""

import json
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from runner import dbt, failpoints
from runner.engine.adopt import adopt_existing
from runner.engine.build import Display, build
from runner.engine.migration import plan
from runner.engine.record import Recorded, Summary
from runner.engine.writer import check_budget, new_run_id, writing
from runner.settings import Settings
from runner.units import duration
from runner.warehouse.migrating import Staging, Step
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_WORK = {
    "before": "What production has",
    "winners": "Newest row of each key",
    "rows": "Rows to copy",
    "claimed": "Stand-ins whose fill is known",
}
"""Work tables in the order in which they are made, each from those before it."""
REJECTED = "rejected"
"""In place of a month: rows that break a rule."""


@dataclass
class Copied:
    """What a copy did, this time and altogether."""

    migration_id: str
    staging: str
    staging_rows: int
    copied: int = 0
    claimed: int = 0
    rejected: int = 0
    was_copied_before: bool = False
    months: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "migration_id": self.migration_id,
            "staging": self.staging,
            "staging_rows": self.staging_rows,
            "copied": self.copied,
            "claimed": self.claimed,
            "rejected": self.rejected,
            "was_copied_before": self.was_copied_before,
            "months": self.months,
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        }


@dataclass(frozen=True)
class CopyPlan:
    """What a copy would do. `migration_id` None: it would begin one."""

    staging: str
    rows: int
    migration_id: str | None
    months_done: int
    is_copied: bool

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(self.__dict__)


def plan_copy(settings: Settings, warehouse: Warehouse, name: str) -> CopyPlan:
    """Looks at what a copy would go on with.

    Raises:
        UsageError: the table is not there or lacks a column.
    """
    staging = plan.look_at(warehouse, name)
    plan.columns_of(staging, settings.staging_columns)
    migration = going_on(warehouse, staging)
    if migration is None:
        return CopyPlan(staging.name, staging.rows, None, 0, False)
    months = sum(step.step == "month" for step in migration.steps)
    return CopyPlan(staging.name, staging.rows, migration.migration_id, months, migration.is_copied)


def going_on(warehouse: Warehouse, staging: Staging, into: str = plan.TRADES) -> plan.Migration | None:
    """The migration of this very table, as it stands there now, that a copy goes on with; None: it begins one."""
    found = plan.newest(warehouse, staging.name, into)
    if found is None or found.has("rolled_back") or found.staging.identity != staging.identity:
        return None
    return replace(found, staging=staging)


def copy(settings: Settings, warehouse: Warehouse, name: str, display: Display) -> tuple[Summary, Copied]:
    """Copies a staging table into production. Stopped anywhere, the same call goes on; done, it does nothing.

    Raises:
        UsageError: the table is not there or lacks a column, or production is not in order.
        HeldBack: somebody else is writing, or a limit is reached.
    """
    plan.columns_of(plan.look_at(warehouse, name), settings.staging_columns)
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with writing(settings, warehouse, "migrate copy", run_id, display):
        adopt_existing(warehouse, run_id, display)
        with Recorded("migrate copy", warehouse, run_id, wallets=0) as summary:
            if not warehouse.has_production():
                build(settings, warehouse, summary, display)  # an empty production, with everything that it consists of
            copied = Copy(settings, warehouse, summary, display, plan.look_at(warehouse, name)).run()
            summary.fills_new = copied.copied
    return summary, copied


class Copy:
    """One call of `copy`: the steps that have not been done. `into` is the table that gets the rows."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        summary: Summary,
        display: Display,
        staging: Staging,
        into: str = plan.TRADES,
    ) -> None:
        self.settings = settings
        self.warehouse = warehouse
        self.run_id = summary.run_id
        self.display = display
        found = going_on(warehouse, staging, into)
        self.migration = found or plan.Migration(
            self.run_id, staging, warehouse.work_place(self.run_id), utc_now(), (), into
        )
        self.copied = Copied(self.migration.migration_id, staging.name, staging.rows)
        if found and not found.is_copied:
            display.note(f"Going on with the migration {self.migration.migration_id} of {staging.name}.")

    def run(self) -> Copied:
        """Does what is left to do; gives what is copied altogether."""
        if self.migration.is_copied:
            self.copied.was_copied_before = True
            return self._told()
        job = dbt.Job("migrate copy", self.run_id)
        migration = self.migration
        with self._timed("compile"):
            self.statements = plan.statements(
                self.settings, self.warehouse, job, migration.staging, migration.place, migration.into
            )
        if not self.migration.has("begun"):
            staging = self.migration.staging
            detail = {
                "rows": staging.rows,
                "identity": staging.identity,
                "is_table": staging.is_table,
                "into": migration.into,
            }
            self._record("begun", "", staging.rows, detail, self.migration.begun_at)
        for name in _WORK:
            self._make(name)
        self._copy_months()
        return self._told()

    def _make(self, name: str) -> None:
        """A work table, if it is not there yet; one that has been deleted is made again, and what follows it too."""
        statement = f"migration_{name}"
        sql = self.statements.get(statement)  # dbt leaves out an empty one
        if not sql or (self.migration.has(name) and self.warehouse.has_work(name, self.migration.place)):
            return
        self.display.progress(_WORK[name], 0, 0, "")
        with self._timed(name):
            rows = self.warehouse.keep(statement, self.migration.place, sql)
        self._record(name, "", rows)
        failpoints.passing("work.recorded")
        self.display.progress(_WORK[name], 1, 1, f"{rows:,} rows in {duration(self.copied.seconds[name])}")

    def _copy_months(self) -> None:
        months: dict[str, int] = dict(self.warehouse.ask("migration_months", self.statements["migration_months"]))
        self.copied.rejected = months.pop(REJECTED, 0)
        total, done, began = sum(months.values()), 0, time.monotonic()
        self.copied.claimed = self._rows_of("claimed")
        for month, rows in months.items():
            if not self.migration.has("month", month):
                check_budget(self.settings, self.warehouse, "The months before are copied.")
                since, until = plan.month_window(month)
                with self._timed("months"):
                    self.warehouse.copy_month(
                        self.migration.into,
                        self.statements["migration_month"],
                        since,
                        until,
                        self._step("month", month, rows),
                    )
            done += rows
            rate = done / max(time.monotonic() - began, 0.001)
            left = duration((total - done) / rate)
            self.display.progress("Copying", done, total, f"{month}, {rate:,.0f} rows/s, {left} left")
        if self.copied.rejected:
            with self._timed("rejected"):
                self.warehouse.keep_rejected(
                    self.statements["migration_rejected"], self.migration.staging.name, self.run_id, utc_now()
                )
        if self.migration.into == plan.TRADES:
            with self._timed("traders"):
                self.warehouse.widen_traders(self.statements["migration_traders"])
        self._record("copied", "", total)

    def _told(self) -> Copied:
        """What is in production of it, by what was recorded."""
        for step in self.warehouse.migration_steps(self.migration.migration_id):
            if step.step == "month":
                self.copied.months[step.slice] = step.row_count
        self.copied.copied = sum(self.copied.months.values())
        return self.copied

    def _rows_of(self, step: str) -> int:
        steps = self.warehouse.migration_steps(self.migration.migration_id)
        return next((done.row_count for done in reversed(steps) if done.step == step), 0)

    def _record(
        self, step: str, part: str, rows: int, detail: dict[str, Any] | None = None, at: datetime | None = None
    ) -> None:
        self.warehouse.record_step(self._step(step, part, rows, detail, at))

    def _step(
        self, step: str, part: str, rows: int, detail: dict[str, Any] | None = None, at: datetime | None = None
    ) -> Step:
        about = self.migration.migration_id, step, part, self.migration.staging.name
        return Step(*about, rows, json.dumps(detail or {}), self.run_id, at or utc_now())

    def _timed(self, name: str) -> "_Timer":
        return _Timer(self.copied.seconds, name)


class _Timer:
    """Adds the time of its block."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.monotonic() - self._began
