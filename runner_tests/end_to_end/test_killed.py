"""Promise: kill the process at any instant; after the next run the tables are those of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner_tests.support import BIN, Home, Running

MARTS = ("trades", "trade_collisions", "traders")


def landed_batches(home: Home) -> int:
    """Batches in the manifest; 0 while the file is not there or held."""
    try:
        return int(home.query("select count(*) from landing.batches")[0][0])
    except Exception:
        return 0


def has_landed(home: Home, _stderr: Path) -> bool:
    return landed_batches(home) >= 2


def is_building(_home: Home, stderr: Path) -> bool:
    return "dbt build" in stderr.read_text()


@pytest.mark.duckdb_first("`make chaos` kills on both targets, at every failpoint and at random")
def test_a_killed_sync_loses_nothing_and_doubles_nothing(
    home: Home, tmp_path: Path, start: Callable[..., Running]
) -> None:
    fills, wallets = tmp_path / "fills.ndjson", tmp_path / "wallets.csv"
    running = start(
        "--wallets", 8, "--fills", 1200, "--write-fills", fills, "--write-wallets", wallets, "--latency-ms", 60
    )
    home.uses(running)
    home.variables |= {
        "POLYTRADES_PAGE_SIZE": "50",
        "POLYTRADES_BATCH_ROWS": "100",
        "POLYTRADES_REQUESTS_IN_FLIGHT": "2",
    }
    # Killed while it lands; the next one, that goes on from there, while it builds.
    for moment in (has_landed, is_building):
        kill(home, tmp_path / moment.__name__, moment, "sync", "--wallets", wallets)

    summary = home.polytrades("sync", "--json").json
    assert summary["exit_code"] == 0
    expected = {(record["user"], record["tx_hash"], record["order_hash"]) for record in map(json.loads, fills.open())}
    rows = home.query("select wallet_address, tx_hash, order_hash from trades")
    assert len(rows) == len(set(rows)) == len(expected)
    assert set(rows) == expected
    assert home.polytrades("sync", "--json").json["fills_new"] == 0
    assert home.query("select count(*) from main.trades") == [(len(expected),)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
@pytest.mark.duckdb_only("whose child dies is decided by the system")
def test_dbt_dies_with_the_runner_that_started_it(home: Home, tmp_path: Path, start: Callable[..., Running]) -> None:
    wallets = tmp_path / "wallets.csv"
    home.uses(start("--wallets", 2, "--fills", 40, "--write-wallets", wallets))
    process = begin(home, tmp_path / "said", is_building, "sync", "--wallets", wallets)
    (dbt,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    while is_alive(dbt):
        time.sleep(0.02)
    assert home.query_once_free("select count(*) from state.merged_batches") == [(0,)], "it went on to its end"
    assert home.polytrades("sync", "--json").json["pending_batches"] == 0


def is_alive(pid: str) -> bool:
    """Whether a process is there and does anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(home: Home, stderr: Path, moment: Callable[[Home, Path], bool], *arguments: object) -> None:
    """Starts a command and kills it with all that it started, once the moment has come."""
    process = begin(home, stderr, moment, *arguments)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def begin(
    home: Home, stderr: Path, moment: Callable[[Home, Path], bool], *arguments: object
) -> subprocess.Popen[bytes]:
    """Starts a command and waits for the moment."""
    with stderr.open("w") as said:
        process = subprocess.Popen(
            [str(BIN / "polytrades"), *map(str, arguments)],
            cwd=home.folder,
            env=home.environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        while process.poll() is None and not moment(home, stderr):
            time.sleep(0.02)
        assert process.poll() is None, f"it ended before the moment came: {stderr.read_text()}"
    return process
