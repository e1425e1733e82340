"""`migrate audit`: what a staging table holds, and what copying it would make of it. Only reads."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from runner import dbt
from runner.engine.build import Display
from runner.engine.migration import plan
from runner.engine.writer import new_run_id
from runner.settings import Settings
from runner.warehouse.protocol import Warehouse

OURS = "wallet, transaction, repaired order hash"
"""The policy of this project, as audit_policies calls it."""


@dataclass
class Nature:
    """Keys of a month whose repeats are of one kind. `most`: rows of the key that has the most."""

    month: str | None
    id_kind: str
    key_quality: str
    nature: str
    keys: int
    rows: int
    broken_rows: int
    most: int


@dataclass
class Production:
    """`trades` before, and what it shares with the staging table. Keys are wallet, transaction and order hash."""

    rows: int
    null_keys: int
    keys: int
    double_keys: int
    keys_in_both: int


@dataclass
class Audit:
    """What was found. `policies`: key that somebody might take → distinct keys under it."""

    staging: str
    rows: int
    columns: dict[str, str]
    natures: list[Nature] = field(default_factory=list)
    policies: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    production: Production | None = None
    bytes_of_copy: dict[str, int] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> int:
        """Distinct keys as this project would have them."""
        return self.policies[OURS]

    @property
    def duplicate_share(self) -> float:
        """Share of the rows that are beyond the first of their key."""
        return (self.rows - self.keys) / self.rows if self.rows else 0.0

    def by_nature(self) -> dict[str, tuple[int, int]]:
        """Nature → keys, and rows beyond the first of each."""
        found: dict[str, tuple[int, int]] = {}
        for part in self.natures:
            keys, repeats = found.get(part.nature, (0, 0))
            found[part.nature] = (keys + part.keys, repeats + part.rows - part.keys)
        return found

    def by_month(self) -> dict[str, tuple[int, int]]:
        """Month of the newest row → rows, keys."""
        found: dict[str, tuple[int, int]] = {}
        for part in self.natures:
            rows, keys = found.get(part.month or "no time", (0, 0))
            found[part.month or "no time"] = (rows + part.rows, keys + part.keys)
        return dict(sorted(found.items()))

    def by_id(self) -> dict[str, int]:
        """What `id` is → rows."""
        found: dict[str, int] = {}
        for part in self.natures:
            found[part.id_kind] = found.get(part.id_kind, 0) + part.rows
        return found

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "keys": self.keys, "duplicate_share": round(self.duplicate_share, 6)}


def audit(settings: Settings, warehouse: Warehouse, name: str, display: Display) -> Audit:
    """Counts everything that one has to know before a copy. Work tables are made and removed again.

    Raises:
        UsageError: the table is not there or lacks a column.
    """
    staging = plan.look_at(warehouse, name)
    found = Audit(staging.name, staging.rows, plan.columns_of(staging, settings.staging_columns))
    run_id = new_run_id()
    warehouse.names_jobs("migrate audit", run_id)
    place = warehouse.work_place(f"audit-{run_id}")
    statements = plan.statements(settings, warehouse, dbt.Job("migrate audit", run_id), staging, place)
    found.bytes_of_copy = warehouse.statement_bytes(statements)

    def ask(name: str) -> list[tuple[Any, ...]]:
        display.progress(_SAID[name], 0, 0, "")
        began = time.monotonic()
        if name == "audit_keys":
            rows: list[tuple[Any, ...]] = [(warehouse.keep(name, place, statements[name]),)]
        else:
            rows = warehouse.ask(name, statements[name])
        found.seconds[name] = round(time.monotonic() - began, 3)
        display.progress(_SAID[name], 1, 1, "")
        return rows

    try:
        ask("audit_keys")
        found.natures = [Nature(*row) for row in ask("audit_natures")]
        found.policies = dict(ask("audit_policies"))
        found.rules = dict(ask("audit_rules"))
        if warehouse.has_production():
            found.production = Production(*ask("audit_production")[0])
    finally:
        warehouse.forget_work(place)
    return found


_SAID = {
    "audit_keys": "Rows by key",
    "audit_natures": "Kinds of repeats",
    "audit_policies": "Keys",
    "audit_rules": "Broken rules",
    "audit_production": "Overlap with production",
}
