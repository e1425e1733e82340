"""A night of the runner without dbt: what it lands of two wallets, and what must stand in the warehouse afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.engine.writer import writing
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Covered, Run, Warehouse
from runner.windows import utc_now
from runner_tests.support import order

UNTIL = datetime(2026, 1, 31, tzinfo=UTC)


@dataclass
class Notes:
    """What a run says."""

    lines: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps a line."""
        self.lines.append(text)

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Night:
    """Three good records and a bad one of two wallets, in two batches. Nights of different numbers share nothing."""

    number: int

    @property
    def wallets(self) -> list[str]:
        """The two wallets."""
        return [f"0x{self.number:020x}{index:020x}" for index in (1, 2)]

    @property
    def records(self) -> list[bytes]:
        """As an upstream sends them."""
        first, second = self.wallets
        made = [
            order(user=first, tx_hash=f"0x{self.number:032x}{1:032x}"),
            order(user=first, tx_hash=f"0x{self.number:032x}{2:032x}"),
            order(user=second, tx_hash=f"0x{self.number:032x}{3:032x}"),
            order(user=second, tx_hash=f"0x{self.number:032x}{4:032x}", side="HOLD"),
        ]
        return [json.dumps(record).encode() for record in made]

    def run(self, settings: Settings, spool: Path, run_id: str) -> None:
        """Does what a run does around its landing: lease, record, batches, checkpoints, costs."""
        warehouse = connect(settings)
        with writing(settings, warehouse, "import", run_id, Notes()):
            warehouse.record_run(Run(run_id, "import", utc_now()), utc_now())
            intake = Intake(warehouse, "dome", spool, run_id, batch_rows=2)
            first, second = self.wallets
            intake.add(self.records[:2], first, "test")
            intake.covered(Covered("dome", first, None, UNTIL, "complete", 2, moves_checkpoint=True))
            intake.add(self.records[2:], second, "test")
            intake.covered(Covered("dome", second, None, UNTIL, "complete", 2, moves_checkpoint=True))
            intake.flush()
            warehouse.record_run(Run(run_id, "import", utc_now(), utc_now(), 0), utc_now())

    def what_stands(self, warehouse: Warehouse) -> dict[str, Any]:
        """What readers see of the night: rows of listed batches, the manifest, rejections, checkpoints."""
        schemas = warehouse._schemas  # type: ignore[attr-defined]
        ask = warehouse._query  # type: ignore[attr-defined]
        mine = f"wallet_address like '0x{self.number:020x}%'"
        listed = (
            f"select trades.tx_hash from {schemas.landing}.trades as trades inner join {schemas.landing}.batches as "
            "batches "
            f"on trades.batch_id = batches.batch_id and trades.landed_on = batches.landed_on where trades.{mine} "
            "order by 1"
        )
        manifest = (
            f"select count(*), count(distinct batch_id), sum(row_count) from {schemas.landing}.batches where "
            "batch_id in "
            f"(select batch_id from {schemas.landing}.trades where {mine})"
        )
        rejected = f"select count(*) from {schemas.landing}.rejected_records where record like '%0x{self.number:020x}%'"
        checkpoints = (
            f"select wallet_address, max(fetched_until) from {schemas.state}.checkpoints where {mine} "
            "group by 1 order by 1"
        )
        covered = (
            f"select count(distinct wallet_address) from {schemas.state}.coverage where {mine} and status = 'complete'"
        )
        return {
            "listed": [row[0] for row in ask("test", listed)],
            "manifest": [tuple(int(number or 0) for number in row) for row in ask("test", manifest)],
            "rejected": ask("test", rejected),
            "checkpoints": ask("test", checkpoints),
            "covered": ask("test", covered),
        }

    @property
    def expected(self) -> dict[str, Any]:
        """After an undisturbed run, and after any other."""
        return {
            "listed": [f"0x{self.number:032x}{index:032x}" for index in (1, 2, 3)],
            "manifest": [(2, 2, 3)],
            "rejected": [(1,)],
            "checkpoints": [(wallet, UNTIL) for wallet in self.wallets],
            "covered": [(2,)],
        }
