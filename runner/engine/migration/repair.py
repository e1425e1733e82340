"""`repair`: a production table with missing or double keys is written anew, proven, then swapped in."""

import json
from dataclasses import dataclass, replace
from typing import Any

from runner import dbt
from runner.engine.adopt import adopt_existing
from runner.engine.build import Display
from runner.engine.migration import plan
from runner.engine.migration.copy import Copied, Copy
from runner.engine.migration.verify import Verdict, found_in, verified
from runner.engine.record import Recorded, Summary
from runner.engine.writer import new_run_id, writing
from runner.errors import ExitCode, UsageError
from runner.settings import Settings
from runner.warehouse.migrating import KeyDefects, Staging, Step
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_REPAIRED = "trades_repaired"
"""Where the new table is made, beside `trades`."""


@dataclass
class Repaired:
    """What was wrong, and what became of it. `kept_as`: the name that the old table has now."""

    defects: KeyDefects
    copied: Copied | None = None
    verdict: Verdict | None = None
    kept_as: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "defects": dict(self.defects.__dict__),
            "rows_after": self.copied.copied if self.copied else None,
            "rejected": self.copied.rejected if self.copied else None,
            "is_green": self.verdict.is_green if self.verdict else None,
            "kept_as": self.kept_as,
        }


def find_defects(warehouse: Warehouse) -> KeyDefects:
    """What is wrong with the keys of `trades`.

    Raises:
        UsageError: there is no such table.
    """
    if not warehouse.has_production():
        raise UsageError("There is no table `trades`, so there is nothing to repair.")
    return warehouse.key_defects()


def repair(settings: Settings, warehouse: Warehouse, display: Display) -> tuple[Summary | None, Repaired]:
    """Repairs `trades`, if it needs it. Stopped anywhere, the same call goes on.

    Production is read as it was until the new table is proven; then the names are swapped, and the old table is kept.
    """
    repaired = Repaired(find_defects(warehouse))
    if repaired.defects.are_none:
        return None, repaired
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with (
        writing(settings, warehouse, "repair", run_id, display),
        Recorded("repair", warehouse, run_id, wallets=0) as summary,
    ):
        warehouse.make_trades(_REPAIRED)
        copy = Copy(settings, warehouse, summary, display, _production(warehouse), _REPAIRED)
        repaired.copied = copy.run()
        migration = plan.newest(warehouse, copy.migration.staging.name, _REPAIRED)
        if migration is None:
            raise UsageError("The repair was not recorded. Run the same command again.")
        migration = replace(migration, staging=copy.migration.staging)
        repaired.verdict = verified(settings, warehouse, migration, run_id, display)
        if not repaired.verdict.is_green:
            summary.worsen(ExitCode.CHECK_FAILED, found_in(repaired.verdict))
            return summary, repaired
        repaired.kept_as = f"trades_before_{migration.place_name}"
        warehouse.swap(_REPAIRED, repaired.kept_as)
        detail = json.dumps({"saved": repaired.kept_as})
        about = migration.migration_id, "swapped", "", migration.staging.name
        warehouse.record_step(Step(*about, repaired.copied.copied, detail, run_id, utc_now()))
        adopt_existing(warehouse, run_id, display)
        summary.fills_new = 0
    return summary, repaired


def _production(warehouse: Warehouse) -> Staging:
    """Production as the table that is copied from."""
    schema = warehouse.mart_relation(plan.TRADES).replace('"', "").replace("`", "").split(".")[-2]
    return warehouse.find_staging(f"{schema}.{plan.TRADES}")
