"""`migrate status`: the newest migration by what was recorded of it."""

import json
from dataclasses import dataclass
from typing import Any

from runner.engine.migration import plan
from runner.warehouse.migrating import Verification, stage
from runner.warehouse.protocol import Warehouse


@dataclass
class MigrationStatus:
    """The newest migration; None if there was none."""

    migration: plan.Migration | None
    verdict: Verification | None = None

    @property
    def stage(self) -> str:
        """As the function `stage`; `none` where there was none."""
        return stage(self.migration.steps, self.verdict) if self.migration else "none"

    @property
    def next_step(self) -> str:
        """What to run next."""
        staging = self.migration.staging.name if self.migration else "TABLE"
        return {
            "none": "polytrades migrate audit --staging TABLE",
            "copying": f"polytrades migrate copy --staging {staging}",
            "copied": "polytrades migrate verify",
            "verified": "polytrades migrate drop",
            "refuted": "polytrades migrate verify",
            "swapped": "polytrades sync",
            "dropped": "polytrades sync",
            "rolled back": f"polytrades migrate copy --staging {staging}",
        }[self.stage]

    @property
    def months(self) -> dict[str, int]:
        """Copied month → rows."""
        steps = self.migration.steps if self.migration else ()
        return {step.slice: step.row_count for step in steps if step.step == "month"}

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "migration_id": self.migration.migration_id if self.migration else None,
            "staging": self.migration.staging.name if self.migration else None,
            "steps": [
                {"step": step.step, "slice": step.slice, "rows": step.row_count, "at": step.recorded_at.isoformat()}
                for step in (self.migration.steps if self.migration else ())
            ],
            "verification_id": self.verdict.verification_id if self.verdict else None,
            "is_green": self.verdict.is_green if self.verdict else None,
            "findings": json.loads(self.verdict.findings) if self.verdict else [],
            "next": self.next_step,
        }


def look(warehouse: Warehouse) -> MigrationStatus:
    """Reads what was recorded."""
    with warehouse.reading():
        migration = plan.newest(warehouse)
        verdicts = [
            found for found in warehouse.verifications() if migration and found.migration_id == migration.migration_id
        ]
    return MigrationStatus(migration, verdicts[0] if verdicts else None)
