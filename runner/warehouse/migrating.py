"""What a migration needs of a warehouse, and the values that pass between them. All instants are UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

LEGACY_COLUMNS = (
    "id",
    "condition_id",
    "wallet_address",
    "timestamp",
    "side",
    "price",
    "shares_normalized",
    "token_label",
    "token_id",
    "tx_hash",
    "order_hash",
    "taker",
    "market_slug",
    "title",
)
"""Columns that a table of trades may have had before, as the macro `legacy_types` has them."""


@dataclass(frozen=True)
class Staging:
    """A table of trades, or files of one, that are to be migrated.

    `relation` is SQL for a FROM. `identity` changes when the rows may have changed, as cheaply as can be told; what
    decides is `State`. `is_table`: it stands in the warehouse and can be dropped there.
    """

    name: str
    relation: str
    columns: tuple[str, ...]
    rows: int
    identity: str
    is_table: bool


@dataclass(frozen=True)
class State:
    """A set of rows as a number and two sums of hashes; the same only for the same rows, repeats included."""

    rows: int
    sum_1: str
    sum_2: str


@dataclass(frozen=True)
class Step:
    """A row of state.migration_steps."""

    migration_id: str
    step: str
    slice: str
    staging: str
    row_count: int
    detail: str
    run_id: str
    recorded_at: datetime


@dataclass(frozen=True)
class Verification:
    """A row of state.verifications; `months` and `findings` are JSON."""

    verification_id: str
    migration_id: str
    staging: str
    is_green: bool
    staging_state: str
    production_state: str
    months: str
    findings: str
    run_id: str
    verified_at: datetime


@dataclass(frozen=True)
class Progress:
    """How far the newest migration or repair is: copied `months`, `rows` in them; `recorded_at` is of the last step."""

    migration_id: str
    staging: str
    stage: str
    months: int
    rows: int
    recorded_at: datetime


def stage(steps: Sequence[Step], verdict: Verification | None) -> str:
    """What was done last: `copying`, `copied`, `verified`, `refuted`, `swapped`, `dropped` or `rolled back`."""
    done = [step.step for step in steps]
    if "rolled_back" in done:
        return "rolled back"
    if "swapped" in done:
        return "swapped"
    drops = [step for step in done if step in ("dropped", "restored")]
    if drops and drops[-1] == "dropped":
        return "dropped"
    if "copied" not in done:
        return "copying"
    if verdict is None:
        return "copied"
    return "verified" if verdict.is_green else "refuted"


def progress(steps: Sequence[Step], verdicts: Sequence[Verification]) -> Progress | None:
    """The newest of all migrations, from all their steps (the oldest first) and verdicts (the newest first)."""
    newest = next((step.migration_id for step in reversed(steps) if step.step == "begun"), None)
    if newest is None:
        return None
    mine = [step for step in steps if step.migration_id == newest]
    verdict = next((found for found in verdicts if found.migration_id == newest), None)
    rows = {step.slice: step.row_count for step in mine if step.step == "month"}
    return Progress(newest, mine[0].staging, stage(mine, verdict), len(rows), sum(rows.values()), mine[-1].recorded_at)


@dataclass(frozen=True)
class KeyDefects:
    """Rows of `trades`, and what is wrong with their keys.

    `null_keys` rows lack a part of it or their time, `double_keys` stand there more than once, `other_case_keys` rows
    have capital letters in it.
    """

    rows: int
    null_keys: int
    double_keys: int
    other_case_keys: int

    @property
    def are_none(self) -> bool:
        """True if every key is whole and there once."""
        return not (self.null_keys or self.double_keys or self.other_case_keys)


class Migrating(Protocol):
    """The part of a warehouse that moves a table. Statements are what dbt has compiled from analyses/migration."""

    def find_staging(self, name: str) -> Staging:
        """Looks at a table (`schema.table`) or a pattern of Parquet or CSV files.

        Raises:
            UsageError: there is none, or it is no table of trades.
        """

    def has_production(self) -> bool:
        """Whether there is a table `trades`, ours or not."""

    def has_seeds(self) -> bool:
        """Whether the project's seeds are there."""

    def work_place(self, migration_id: str) -> str:
        """What the names of a migration's work tables begin with, as the macro `work_table` wants it."""

    def ask(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement."""

    def keep(self, statement: str, place: str, sql: str, **parameters: Any) -> int:
        """Makes a work table from a query, over an older one; gives its rows.

        Its name is what follows the first underscore in the statement's: `migration_rows` makes `rows`.
        """

    def has_work(self, name: str, place: str) -> bool:
        """Whether the work table is there."""

    def forget_work(self, place: str) -> None:
        """Removes a migration's work tables."""

    def mart_relation(self, table: str) -> str:
        """A table of the production schema as SQL."""

    def key_defects(self) -> "KeyDefects":
        """Reads the keys of all rows of `trades`."""

    def make_trades(self, table: str) -> None:
        """Makes an empty table like `trades` in the production schema, if it is not there."""

    def forget_adoption(self, run_id: str) -> None:
        """Undoes what a run has recorded when it adopted `trades`, if it did."""

    def swap(self, comes: str, goes_to: str) -> None:
        """Renames `trades` to `goes_to` and `comes` to `trades`; what of it is done already is not done again."""

    def copy_month(self, into: str, sql: str, since: datetime, until: datetime, done: Step) -> int:
        """Inserts a month into a table and records the step, together where the warehouse can; gives the new rows."""

    def keep_rejected(self, sql: str, staging: str, run_id: str, at: datetime) -> int:
        """Adds to the quarantine what is not there yet; gives its rows."""

    def widen_traders(self, sql: str) -> None:
        """Lets `traders` know the wallets that a query gives."""

    def record_step(self, step: Step) -> None:
        """Appends to state.migration_steps."""

    def migration_steps(self, migration_id: str | None = None) -> list[Step]:
        """Steps of a migration, or of all, the oldest first."""

    def record_verification(self, verification: Verification) -> None:
        """Appends to state.verifications."""

    def verifications(self) -> list[Verification]:
        """All verdicts, the newest first."""

    def save_staging(self, staging: Staging, migration_id: str) -> str:
        """Keeps a copy of the table from which it can be restored; gives its name."""

    def drop_staging(self, staging: Staging, checks: Sequence[tuple[str, State]], done: Step) -> bool:
        """Drops the table and records it, if each query still gives its state; False, and nothing, if one does not."""

    def restore_staging(self, name: str, saved: str) -> int:
        """Makes the dropped table again from its copy; gives its rows."""

    def copied_months(self, place: str) -> list[str]:
        """Months of which a migration has copied or would have copied rows, oldest first."""

    def take_back_month(self, place: str, month: str, since: datetime, until: datetime) -> int:
        """Deletes from `trades` what a migration has copied into a month and nobody has replaced; gives the rows."""

    def reopen_ledger(self, since: datetime) -> int:
        """Lets the batches of fills that were merged since then, and stand in landing, be merged again; how many."""

    def statement_bytes(self, statements: Mapping[str, str]) -> dict[str, int] | None:
        """Bytes that each statement would read; None where nothing is billed."""
