"""`migrate rollback`: the last step of a migration is undone, the drop first, then the copy."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runner import failpoints
from runner.engine.build import Display
from runner.engine.migration import plan
from runner.engine.record import Recorded, Summary
from runner.engine.writer import new_run_id, writing
from runner.errors import Failed, UsageError
from runner.settings import Settings
from runner.warehouse.migrating import Step
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now


@dataclass
class Undone:
    """What a rollback does or did. `what`: `drop`, `copy` or `repair`; `rows` that are restored or taken back."""

    what: str
    migration_id: str
    staging: str
    rows: int
    begun_at: datetime
    saved: str = ""
    months: int = 0
    batches_reopened: int = 0

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**self.__dict__, "begun_at": self.begun_at.isoformat()}


def plan_rollback(warehouse: Warehouse, name: str | None) -> tuple[plan.Migration, Undone]:
    """What a rollback would undo.

    Raises:
        UsageError: there is nothing to undo.
    """
    found = [migration for migration in plan.migrations(warehouse) if name in (None, migration.staging.name)]
    open_ones = [migration for migration in found if not migration.has("rolled_back")]
    if not open_ones:
        raise UsageError("There is nothing to roll back: no migration has been begun, or all have been rolled back.")
    migration = open_ones[-1]
    about = migration.migration_id, migration.staging.name
    drops = [step for step in migration.steps if step.step in ("dropped", "restored")]
    if drops and drops[-1].step == "dropped":
        saved = json.loads(drops[-1].detail)["saved"]
        return migration, Undone("drop", *about, drops[-1].row_count, migration.begun_at, saved=saved)
    swaps = [step for step in migration.steps if step.step == "swapped"]
    if migration.into != plan.TRADES:
        if not swaps:
            return migration, Undone("unfinished repair", *about, 0, migration.begun_at)
        saved = json.loads(swaps[-1].detail)["saved"]
        return migration, Undone("repair", *about, swaps[-1].row_count, migration.begun_at, saved=saved)
    months = [step for step in migration.steps if step.step == "month"]
    rows = sum(step.row_count for step in months)
    return migration, Undone("copy", *about, rows, migration.begun_at, months=len(months))


def rollback(settings: Settings, warehouse: Warehouse, name: str | None, display: Display) -> tuple[Summary, Undone]:
    """Undoes the last step of the newest migration. Stopped anywhere, the same call goes on.

    Raises:
        UsageError: there is nothing to undo.
        Failed: the copy or the work tables that it needs are gone.
    """
    plan_rollback(warehouse, name)
    warehouse.prepare()
    run_id = new_run_id()
    with (
        writing(settings, warehouse, "migrate rollback", run_id, display),
        Recorded("migrate rollback", warehouse, run_id, wallets=0) as summary,
    ):
        migration, undone = plan_rollback(warehouse, name)
        if undone.what == "drop":
            undone.rows = warehouse.restore_staging(undone.staging, undone.saved)
            step = "restored"
        elif undone.what == "repair":
            warehouse.swap(undone.saved, f"trades_repaired_{migration.place_name}")
            warehouse.forget_adoption(next(step.run_id for step in migration.steps if step.step == "swapped"))
            undone.batches_reopened = warehouse.reopen_ledger(migration.begun_at)
            step = "rolled_back"
        elif undone.what == "unfinished repair":
            step = "rolled_back"
        else:
            _take_back(warehouse, migration, undone, display)
            step = "rolled_back"
        detail = json.dumps({"batches_reopened": undone.batches_reopened})
        warehouse.record_step(
            Step(migration.migration_id, step, "", undone.staging, undone.rows, detail, run_id, utc_now())
        )
        if step == "rolled_back":
            warehouse.forget_work(migration.place)
    return summary, undone


def _take_back(warehouse: Warehouse, migration: plan.Migration, undone: Undone, display: Display) -> None:
    if not migration.has("claimed"):  # the last work table: no month has been begun without it
        return
    if not warehouse.has_work("rows", migration.place):
        raise Failed(
            f"The work tables of the migration {migration.migration_id} ({migration.place}) are gone, and without them "
            "nobody knows which rows it copied. Restore them, or `trades` from a backup of before "
            f"{migration.begun_at:%Y-%m-%d %H:%M} UTC."
        )
    undone.rows = 0
    months = warehouse.copied_months(migration.place)
    for number, month in enumerate(months, start=1):
        undone.rows += warehouse.take_back_month(migration.place, month, *plan.month_window(month))
        failpoints.passing("month.taken.back")
        display.progress("Taking back", number, len(months), month)
    undone.batches_reopened = warehouse.reopen_ledger(migration.begun_at)
