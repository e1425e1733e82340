"""What every part of a migration begins with: the staging table, the columns that it has, the statements, the steps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from runner import dbt, project
from runner.errors import UsageError
from runner.settings import Settings
from runner.warehouse.migrating import LEGACY_COLUMNS, Staging, Step
from runner.warehouse.protocol import Warehouse

_NEEDED = ("wallet_address", "tx_hash", "timestamp", "side", "price", "shares_normalized", "token_id")
"""Without one of these no row could become a fill."""
_READ_SEEDS = {"taker", "source"}
"""Columns with which the exchanges and the ranks of the sources are looked up."""
FOLDER = "migration"
"""Of analyses/."""
TRADES = "trades"


@dataclass(frozen=True)
class Migration:
    """One migration: what is moved, how it is called, where its work tables are, and what has been done."""

    migration_id: str
    staging: Staging
    place: str
    begun_at: datetime
    steps: tuple[Step, ...]
    into: str = TRADES
    """The table in the production schema that gets the rows; another than `trades` in a repair."""

    @property
    def place_name(self) -> str:
        """The migration's id as a part of a table's name."""
        return self.migration_id.replace("-", "_").lower()

    def has(self, step: str, part: str = "") -> bool:
        """Whether a step has ended."""
        return any((done.step, done.slice) == (step, part) for done in self.steps)

    @property
    def is_copied(self) -> bool:
        """Whether all of it is in production."""
        return self.has("copied") and not self.has("rolled_back")


def look_at(warehouse: Warehouse, name: str) -> Staging:
    """The staging table or files; refuses production itself.

    Raises:
        UsageError: there is none, or it is what everything goes into.
    """
    staging = warehouse.find_staging(name)
    if staging.is_table and staging.name.rpartition(".")[2] in ("trades", "trade_collisions"):
        raise UsageError(
            f"{staging.name} is production, not a staging table. --staging names the table that is to be copied into "
            "it."
        )
    return staging


def columns_of(staging: Staging, named: Mapping[str, str], possible: Sequence[str] = LEGACY_COLUMNS) -> dict[str, str]:
    """Our name of each column that the staging table has → its name there.

    Raises:
        UsageError: a column is missing without which there is no fill, or a name in the settings is of no column.
    """
    if unknown := sorted(set(named) - set(LEGACY_COLUMNS)):
        raise UsageError(f"staging_columns names {', '.join(unknown)}; it may name {', '.join(LEGACY_COLUMNS)}.")
    if absent := sorted(set(named.values()) - set(staging.columns)):
        raise UsageError(f"staging_columns names {', '.join(absent)}, which {staging.name} does not have.")
    found = {column: named.get(column, column) for column in possible}
    found = {column: name for column, name in found.items() if name in staging.columns}
    if missing := [column for column in _NEEDED if column not in found]:
        raise UsageError(
            f"{staging.name} has no column {', '.join(missing)}; it has {', '.join(staging.columns)}. Say what they "
            f"are called there: POLYTRADES_STAGING_COLUMNS='{json.dumps({missing[0]: 'name there'})}'."
        )
    return found


def statements(
    settings: Settings, warehouse: Warehouse, job: dbt.Job, staging: Staging, place: str, into: str = TRADES
) -> dict[str, str]:
    """The statements of a migration, compiled by dbt for this table.

    Raises:
        UsageError: the table lacks a column.
    """
    columns = columns_of(staging, settings.staging_columns)
    if into != TRADES:  # production itself, with whatever it has of our columns
        columns = columns_of(staging, {}, tuple(project.mart_columns(TRADES)))
    variables = {
        "POLYTRADES_STAGING": staging.relation,
        "POLYTRADES_STAGING_COLUMNS": json.dumps(columns),
        "POLYTRADES_WORK": place,
        "POLYTRADES_INTO": warehouse.mart_relation(into),
    }
    if not _READ_SEEDS.isdisjoint(columns) and not warehouse.has_seeds():
        dbt.seed(settings, job)
    return dbt.compiled(settings, job, FOLDER, variables)


def migrations(warehouse: Warehouse) -> list[Migration]:
    """All migrations, the newest last; of their staging tables only what was written down."""
    grouped: dict[str, list[Step]] = {}
    for step in warehouse.migration_steps():
        grouped.setdefault(step.migration_id, []).append(step)
    found = []
    for migration_id, steps in grouped.items():
        begun = next(step for step in steps if step.step == "begun")
        detail = json.loads(begun.detail)
        staging = Staging(begun.staging, "", (), detail["rows"], detail["identity"], detail["is_table"])
        place = warehouse.work_place(migration_id)
        begun_at, into = begun.recorded_at.astimezone(UTC), detail.get("into", TRADES)
        found.append(Migration(migration_id, staging, place, begun_at, tuple(steps), into))
    return sorted(found, key=lambda migration: (migration.begun_at, migration.migration_id))


def newest(warehouse: Warehouse, name: str | None = None, into: str = TRADES) -> Migration | None:
    """The newest migration, of a staging table or of any; None if there was none."""
    found = [
        migration
        for migration in migrations(warehouse)
        if name in (None, migration.staging.name) and migration.into == into
    ]
    return found[-1] if found else None


def month_window(month: str) -> tuple[datetime, datetime]:
    """The month `2026-01` and a day more on both sides."""
    from datetime import timedelta

    first = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    after = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
    return first - timedelta(days=1), after + timedelta(days=1)
