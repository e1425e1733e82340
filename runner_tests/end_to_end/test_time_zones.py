"""Promise: times are UTC, whatever zone the machine is in: a leap day, a year's end, a night in which clocks change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from runner_tests.support import Home, Running, order

ZONES = ("Asia/Kolkata", "America/New_York")
"""What is the same east and west of Greenwich, and at half an hour from it, depends on no zone."""
INSTANTS = [
    f"{day}T{time}"
    for day in ("2023-12-31", "2024-01-01", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-10", "2024-11-03")
    # Borders of days in UTC and the two zones, and of the hours that New York does not have or has twice.
    for time in (
        "00:00:00",
        "04:59:59",
        "05:00:00",
        "05:30:00",
        "06:30:00",
        "06:59:59",
        "07:00:00",
        "18:30:00",
        "23:59:59",
    )
]
WORLD = ("--wallets", 3, "--fills", 400, "--days", 80, "--until", "2024-03-12T06:30:00Z")
TABLES = {
    "trades": "select * from trades order by all",
    "trades by day": "select cast(timestamp at time zone 'UTC' as date), count(*) from trades group by 1 order by 1",
    "traders": "select * from traders order by all",
    "coverage": "select wallet_address, window_start, window_end, records_received from state.coverage order by all",
    "checkpoints": "select wallet_address, fetched_until from state.checkpoints order by all",
}


@pytest.mark.duckdb_only("BigQuery has no local time; what the runner computes is the same for both")
def test_every_zone_gives_the_same_bytes(target: str, start: Callable[..., Running], tmp_path: Path) -> None:
    found: dict[str, dict[str, bytes]] = {}
    wallets = tmp_path / "wallets.csv"
    borders = [
        order(tx_hash=f"0x{number:064x}", timestamp=int(datetime.fromisoformat(f"{instant}+00:00").timestamp()))
        for number, instant in enumerate(INSTANTS)
    ]
    running = start(*WORLD, "--write-wallets", wallets)
    for zone in ZONES:
        folder = tmp_path / zone.replace("/", "-")
        folder.mkdir()
        home = Home(folder, {"TZ": zone}, target)
        home.uses(running)
        home.polytrades("import", home.records("borders.ndjson", borders))
        window = ("--since", "2023-12-24 22:30:00", "--until", "2024-03-11")
        home.polytrades("sync", "--wallets", wallets, *window)
        home.polytrades("backfill", "--from", "2023-12-22")
        with duckdb.connect(str(home.duckdb_file), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for name, query in TABLES.items():
                file = folder / "out.csv"
                connection.execute(f"copy ({query}) to '{file}'")
                found.setdefault(name, {})[zone] = file.read_bytes()
    for name, by_zone in found.items():
        assert len(set(by_zone.values())) == 1, name
    days = [line.split(",")[0] for line in found["trades by day"][ZONES[0]].decode().splitlines()]
    assert {instant[:10] for instant in INSTANTS} <= set(days)
