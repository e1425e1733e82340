"""The engine of `sync` in this process, without dbt: plan, fetch, land. For the many cases that only landing sees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.engine import wallets
from runner.engine.fetch import Fetched, Task
from runner.engine.order_api import OrderApi
from runner.engine.plan import SyncOptions, plan_sync
from runner.engine.run import intake_for
from runner.errors import PolytradesError
from runner.landing.intake import Counts
from runner.settings import Settings
from runner.settings import load as load_settings
from runner.sources import orders
from runner.warehouse.connect import connect
from runner.windows import Window
from runner_tests.support import Home

Key = tuple[str, str, str]


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Drops a line."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """Drops a step."""


@dataclass
class Outcome:
    """What one run gave; `error` if it ended early."""

    counts: Counts
    fetched: Fetched = field(default_factory=Fetched)
    error: PolytradesError | None = None


@dataclass
class Records:
    """Everything that an upstream has, sound and damaged."""

    sound: list[dict[str, Any]]
    damaged: list[bytes] = field(default_factory=list)

    def keys(self, begins: datetime | None = None, end: datetime | None = None) -> set[Key]:
        """Keys of the sound ones in a window."""
        return {
            (record["user"], record["tx_hash"], record["order_hash"])
            for record in self.sound
            if (begins is None or record["timestamp"] >= begins.timestamp())
            and (end is None or record["timestamp"] < end.timestamp())
        }


def read_records(sound: Path, damaged: Path) -> Records:
    """What the simulator wrote."""
    return Records([json.loads(line) for line in sound.open()], damaged.read_bytes().splitlines())


@dataclass
class Lander:
    """A DuckDB file and the wallets that are followed in it. The current folder must hold no settings."""

    home: Home
    wallets_file: Path

    def settings(self, url: str, **flags: Any) -> Settings:
        """Small pages and batches; quick to give up."""
        values: dict[str, Any] = {
            "page_size": 10,
            "batch_rows": 25,
            "requests_in_flight": 2,
            "requests_per_second": 1000,
            "request_attempts": 2,
            "request_timeout_seconds": 5,
            "request_patience_seconds": 10,
        }
        place = {"dome_base_url": url, "gamma_base_url": url, "duckdb_path": self.home.duckdb_file}
        return load_settings(**place, **(values | flags))

    def run(self, url: str, until: datetime | None = None, again: bool = False, **flags: Any) -> Outcome:
        """Fetches and lands as `sync` does; with `again` everything once more, as `backfill --again` does."""
        settings = self.settings(url, **flags)
        warehouse = connect(settings)
        warehouse.prepare()
        plan = plan_sync(settings, warehouse, SyncOptions(wallets_file=self.wallets_file, until=until))
        wallets.apply_change(warehouse, plan.change, self.wallets_file)
        tasks: Sequence[Task] = plan.tasks
        if again:
            end = until or datetime.now(UTC).replace(microsecond=0)
            tasks = [Task(wallet, Window(None, end), moves_checkpoint=False) for wallet in plan.wallets]
        dialect = orders.dialect_of(settings)
        with intake_for(settings, warehouse, dialect, "test") as intake, OrderApi(settings) as api:
            outcome = Outcome(intake.counts)
            try:
                outcome.fetched = api.fetch(intake, tasks, "Fetching", Silent())
                intake.settle(is_silent=False)
            except PolytradesError as error:
                outcome.error = error
        counts = intake.counts
        assert counts.received == counts.landed + counts.landed_before + counts.rejected
        return outcome

    def landed(self) -> set[Key]:
        """Keys of the rows whose batch is in the manifest."""
        rows = self.home.query(
            "select distinct wallet_address, tx_hash, order_hash from landing.trades "
            "where batch_id in (select batch_id from landing.batches)"
        )
        return {(wallet, tx_hash, order_hash) for wallet, tx_hash, order_hash in rows}

    def rejected(self) -> list[str]:
        """Texts of the rejected records, sorted."""
        return sorted(text for (text,) in self.home.query("select record from landing.rejected_records"))

    def claimed(self, order_api: str = "dome") -> dict[str, list[Window]]:
        """What is said to be covered."""
        return connect(self.settings("http://unused")).coverage([orders.DIALECTS[order_api].source])

    def checkpoints(self, order_api: str = "dome") -> dict[str, datetime]:
        """How far each wallet is."""
        return connect(self.settings("http://unused")).checkpoints(orders.DIALECTS[order_api].source)

    def missing(self, records: Records, order_api: str = "dome") -> set[Key]:
        """Fills that lie in what is said to be covered, and have not landed."""
        claimed = self.claimed(order_api)
        return {
            key
            for wallet, windows in claimed.items()
            for window in windows
            for key in records.keys(window.start, window.end)
            if key[0] == wallet
        } - self.landed()
