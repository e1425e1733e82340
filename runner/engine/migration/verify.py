"""`migrate verify`: whether production holds exactly what it has to, by multisets of hashes; the verdict is kept."""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from runner import dbt, failpoints
from runner.engine.build import Display
from runner.engine.migration import plan
from runner.engine.record import Recorded, Summary
from runner.engine.writer import new_run_id, writing
from runner.errors import ExitCode, UsageError
from runner.settings import Settings
from runner.warehouse.migrating import State, Verification
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_WORK = {
    "since": "Transactions that came since",
    "newest": "Newest row of each key",
    "expected": "What production has to hold",
    "actual": "What production holds",
    "missing": "Keys that are missing",
    "excused": "Keys that are missing by right",
}
"""Work tables of a verification, in the order in which they are made."""


@dataclass
class Month:
    """A month on both sides. States are of the rows whose timestamp is in it."""

    month: str
    expected: State
    actual: State

    @property
    def is_same(self) -> bool:
        """Whether both sides hold the same multiset of rows."""
        return self.expected == self.actual


@dataclass
class Difference:
    """Keys of a kind in a month of which the two sides hold other rows.

    `kind`: `lost` (production lacks it), `unknown` (nobody knows where production has it from), `doubled` (production
    has it more than once), `changed` (production has other values).
    """

    kind: str
    month: str
    keys: int


@dataclass
class Verdict:
    """What a verification found. `examples` are rows of both sides, at most 200."""

    verification_id: str
    migration_id: str
    staging: str
    staging_state: State
    production_state: State
    months: list[Month] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    rejected: int = 0
    claimed: int = 0
    came_since: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_green(self) -> bool:
        """Whether production holds exactly what it has to."""
        return not self.differences and all(month.is_same for month in self.months)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "is_green": self.is_green}


def verify(settings: Settings, warehouse: Warehouse, name: str | None, display: Display) -> tuple[Summary, Verdict]:
    """Compares a migrated table with production, from nothing that the copy worked out but what stood there before.

    Raises:
        UsageError: nothing has been copied, or the staging table is not there any more.
        HeldBack: somebody else is writing.
    """
    migration = copied_migration(warehouse, name)
    dbt.prepare(settings)
    run_id = new_run_id()
    with (
        writing(settings, warehouse, "migrate verify", run_id, display),
        Recorded("migrate verify", warehouse, run_id, wallets=0) as summary,
    ):
        verdict = verified(settings, warehouse, migration, run_id, display)
        if not verdict.is_green:
            summary.worsen(ExitCode.CHECK_FAILED, found_in(verdict))
    return summary, verdict


def verified(
    settings: Settings, warehouse: Warehouse, migration: plan.Migration, run_id: str, display: Display
) -> Verdict:
    """Compares, and keeps the verdict. The lease is ours."""
    verdict = _Verify(settings, warehouse, migration, run_id, display).run()
    _record(warehouse, verdict, run_id)
    failpoints.passing("verification.recorded")
    return verdict


def copied_migration(warehouse: Warehouse, name: str | None) -> plan.Migration:
    """The newest migration, with its staging table as it stands there now.

    Raises:
        UsageError: there is none, it is not complete, or its table is gone.
    """
    staging = plan.look_at(warehouse, name) if name else None
    migration = plan.newest(warehouse, staging.name if staging else None)
    if migration is None:
        what = f"of {staging.name}" if staging else "yet"
        raise UsageError(f"There is no migration {what}. Begin with `polytrades migrate audit --staging TABLE`.")
    if not migration.is_copied:
        raise UsageError(
            f"The migration {migration.migration_id} of {migration.staging.name} is not copied to its end. Run "
            f"`polytrades migrate copy --staging {migration.staging.name}`; it goes on where it was."
        )
    drops = [step for step in migration.steps if step.step in ("dropped", "restored")]
    if drops and drops[-1].step == "dropped":
        raise UsageError(
            f"{migration.staging.name} has been dropped, so there is nothing to compare with. `polytrades migrate "
            "rollback` brings it back."
        )
    found = staging or plan.look_at(warehouse, migration.staging.name)
    return replace(migration, staging=found)


class _Verify:
    """One verification."""

    def __init__(
        self, settings: Settings, warehouse: Warehouse, migration: plan.Migration, run_id: str, display: Display
    ) -> None:
        self.warehouse = warehouse
        self.migration = migration
        self.display = display
        job = dbt.Job("migrate verify", run_id)
        self.statements = plan.statements(settings, warehouse, job, migration.staging, migration.place, migration.into)
        if not warehouse.has_work("before", migration.place):
            raise UsageError(
                f"The work table that says what production was before the migration {migration.migration_id} is gone "
                f"({migration.place}), and without it nobody can tell whether a row was overwritten."
            )
        states = state_of(warehouse, "staging", self.statements), state_of(warehouse, "production", self.statements)
        name = f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.verdict = Verdict(name, migration.migration_id, migration.staging.name, *states)

    def run(self) -> Verdict:
        kept = {name: self._keep(name, said) for name, said in _WORK.items()}
        self.verdict.came_since = kept["since"]
        reasons = dict(self.warehouse.ask("verification_reasons", self.statements["verification_reasons"]))
        self.verdict.rejected = reasons.get("rejected", 0)
        self.verdict.claimed = reasons.get("claimed", 0)
        sides: dict[str, dict[str, State]] = {"expected": {}, "actual": {}}
        for side, month, *state in self.warehouse.ask("verification_months", self.statements["verification_months"]):
            sides[side][month] = State(*state)
        nothing = State(0, "", "")
        for month in sorted(set(sides["expected"]) | set(sides["actual"])):
            both = (sides[side].get(month, nothing) for side in ("expected", "actual"))
            self.verdict.months.append(Month(month, *both))
        if not all(month.is_same for month in self.verdict.months):
            self._look_closer()
        return self.verdict

    def _look_closer(self) -> None:
        """Which keys differ, and how."""
        self._keep("differences", "Keys that differ")
        self.verdict.differences = [
            Difference(*row) for row in self.warehouse.ask("verification_kinds", self.statements["verification_kinds"])
        ]
        rows = self.warehouse.ask("verification_findings", self.statements["verification_findings"])
        names = (
            *("kind", "month", "side", "wallet_address", "tx_hash", "order_hash", "timestamp", "price"),
            *("shares_raw", "usdc_raw", "token_label"),
        )
        self.verdict.examples = [dict(zip(names, row, strict=True)) for row in rows]
        for example in self.verdict.examples:
            example["timestamp"] = example["timestamp"].isoformat()

    def _keep(self, name: str, said: str) -> int:
        statement = f"verification_{name}"
        self.display.progress(said, 0, 0, "")
        began = time.monotonic()
        parameters: dict[str, datetime] = {"since": self.migration.begun_at} if name == "since" else {}
        rows = self.warehouse.keep(statement, self.migration.place, self.statements[statement], **parameters)
        self.verdict.seconds[name] = round(time.monotonic() - began, 3)
        self.display.progress(said, 1, 1, f"{rows:,}")
        return rows


def state_of(warehouse: Warehouse, side: str, statements: dict[str, str]) -> State:
    """All rows of a side, `staging` or `production`, as they are now."""
    ((rows, sum_1, sum_2),) = warehouse.ask(f"{side}_state", statements[f"{side}_state"])
    return State(rows, sum_1, sum_2)


def _record(warehouse: Warehouse, verdict: Verdict, run_id: str) -> None:
    warehouse.record_verification(
        Verification(
            verdict.verification_id,
            verdict.migration_id,
            verdict.staging,
            verdict.is_green,
            json.dumps(asdict(verdict.staging_state)),
            json.dumps(asdict(verdict.production_state)),
            json.dumps([asdict(month) for month in verdict.months]),
            json.dumps([asdict(difference) for difference in verdict.differences]),
            run_id,
            utc_now(),
        )
    )


def found_in(verdict: Verdict) -> str:
    """A red verdict in a sentence."""
    kinds: dict[str, int] = {}
    for difference in verdict.differences:
        kinds[difference.kind] = kinds.get(difference.kind, 0) + difference.keys
    listed = ", ".join(f"{keys:,} {kind}" for kind, keys in sorted(kinds.items())) or "rows"
    months = ", ".join(sorted({difference.month for difference in verdict.differences})[:6])
    return f"Production does not hold what it has to: {listed} (months {months}). The staging table must stay."
