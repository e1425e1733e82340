"""`migrate drop`: the staging table goes, once a green verdict still holds for both sides and a copy of it is kept."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner import dbt
from runner.engine.build import Display
from runner.engine.migration import plan
from runner.engine.migration.verify import copied_migration, state_of
from runner.engine.record import Recorded, Summary
from runner.engine.writer import new_run_id, writing
from runner.errors import Failed, PolytradesError, UsageError
from runner.settings import Settings
from runner.warehouse.migrating import State, Step, Verification
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now


class NotProven(PolytradesError):
    """The verdict that there is does not hold for what the tables are now."""

    exit_code = UsageError.exit_code


@dataclass(frozen=True)
class Dropped:
    """A table that was dropped, the verdict that allowed it, and where its copy is."""

    staging: str
    rows: int
    verification_id: str
    saved: str

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(self.__dict__)


def proof(warehouse: Warehouse, name: str | None) -> tuple[plan.Migration, Verification]:
    """The migration and the verdict that allows its table to be dropped, without a look at whether it still holds.

    Raises:
        UsageError: there is nothing to drop, or nothing that allows it.
    """
    migration = copied_migration(warehouse, name)
    staging = migration.staging
    verdicts = [found for found in warehouse.verifications() if found.migration_id == migration.migration_id]
    if not verdicts:
        raise UsageError(f"Nobody has verified the migration of {staging.name}. Run `polytrades migrate verify` first.")
    verdict = verdicts[0]
    if not verdict.is_green:
        raise UsageError(
            f"The newest verification of {staging.name} ({verdict.verification_id}, "
            f"{verdict.verified_at:%Y-%m-%d %H:%M} UTC) found that production does not hold what it has to. The table "
            "stays. `polytrades migrate verify` says what is wrong."
        )
    if not staging.is_table:
        raise UsageError(
            f"{staging.name} are files, and polytrades deletes no files. The verification {verdict.verification_id} is "
            "green, so you may: production holds all that is in them."
        )
    return migration, verdict


def drop(
    settings: Settings,
    warehouse: Warehouse,
    name: str | None,
    confirmed: Callable[[str, str, int], bool],
    display: Display,
) -> tuple[Summary, Dropped]:
    """Drops the staging table of a verified migration; a copy of it is made first.

    `confirmed` is asked with the table's name, the verification's and the number of rows.

    Raises:
        UsageError: nothing allows it, or nobody confirmed it. Nothing was dropped.
        NotProven: one of the tables has changed since it was verified. Nothing was dropped.
    """
    migration, verdict = proof(warehouse, name)
    staging = migration.staging
    if not confirmed(staging.name, verdict.verification_id, staging.rows):
        raise UsageError(f"{staging.name} was not dropped: that is not its name, nor the verification's.")
    dbt.prepare(settings)
    run_id = new_run_id()
    with (
        writing(settings, warehouse, "migrate drop", run_id, display),
        Recorded("migrate drop", warehouse, run_id, wallets=0) as summary,
    ):
        statements = plan.statements(settings, warehouse, dbt.Job("migrate drop", run_id), staging, migration.place)
        wanted = State(**json.loads(verdict.staging_state))
        sides = (("staging", wanted), ("production", State(**json.loads(verdict.production_state))))
        display.progress("Does the verdict still hold", 0, 0, "")
        check_holds(warehouse, statements, sides, verdict)
        display.progress("Does the verdict still hold", 1, 1, "yes")
        display.progress("Keeping a copy", 0, 0, "")
        saved = warehouse.save_staging(staging, migration.migration_id)
        copy = warehouse.find_staging(saved)
        if state_of(warehouse, "staging", _of_other_relation(statements, staging.relation, copy.relation)) != wanted:
            raise Failed(
                f"The copy {saved} of {staging.name} does not hold the same rows; {staging.name} was not dropped."
            )
        display.progress("Keeping a copy", 1, 1, saved)
        detail = json.dumps({"saved": saved, "verification_id": verdict.verification_id})
        done = Step(migration.migration_id, "dropped", "", staging.name, staging.rows, detail, run_id, utc_now())
        checks = [(statements[f"{side}_state"], state) for side, state in sides]
        if not warehouse.drop_staging(staging, checks, done):
            raise NotProven(f"{staging.name} or trades changed while the copy was made; nothing was dropped.")
    return summary, Dropped(staging.name, staging.rows, verdict.verification_id, saved)


def check_holds(
    warehouse: Warehouse,
    statements: dict[str, str],
    sides: tuple[tuple[str, State], ...],
    verdict: Verification,
) -> None:
    """Looks at both tables again, whole.

    Raises:
        NotProven: one of them is not what it was when it was verified.
    """
    for side, wanted in sides:
        found = state_of(warehouse, side, statements)
        if found != wanted:
            table = verdict.staging if side == "staging" else "trades"
            raise NotProven(
                f"{table} has changed since the verification {verdict.verification_id} (it had {wanted.rows:,} rows, "
                f"and has {found.rows:,}), so that says nothing of it any more. Nothing was dropped. Run `polytrades "
                "migrate verify` again."
            )


def _of_other_relation(statements: dict[str, str], relation: str, other: str) -> dict[str, str]:
    return {name: sql.replace(relation, other) for name, sql in statements.items()}
