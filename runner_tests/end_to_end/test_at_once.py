"""Promise: two writers at the same moment lose nothing and double nothing, and the second is told who is first."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner_tests.support import BIN, Home, Running

WHO = ("is held by polytrades", "is held by another process", "Production is being written by polytrades sync")


def begin(home: Home, *arguments: str) -> subprocess.Popen[str]:
    """Starts a command and goes on."""
    return subprocess.Popen(
        [str(BIN / "polytrades"), *arguments],
        cwd=home.folder,
        env=home.sped_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def world(home: Home, start: Callable[..., Running], folder: Path) -> set[tuple[str, str, str]]:
    """A home that follows the wallets of a slow upstream, and the keys of all their fills."""
    fills, wallets = folder / "fills.ndjson", folder / "wallets.csv"
    running = start(
        "--wallets", 6, "--fills", 400, "--write-fills", fills, "--write-wallets", wallets, "--latency-ms", 40
    )
    home.uses(running)
    home.variables |= {"POLYTRADES_BATCH_ROWS": "100"}
    first = json.loads(fills.read_text().splitlines()[0])["timestamp"]
    day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first + 86_400))
    home.polytrades("sync", "--wallets", wallets, "--until", day)
    return {(record["user"], record["tx_hash"], record["order_hash"]) for record in map(json.loads, fills.open())}


def keys(home: Home) -> list[tuple[str, str, str]]:
    return [(*row,) for row in home.query("select wallet_address, tx_hash, order_hash from trades")]


@pytest.mark.duckdb_first("the lease is taken and lost on both targets in test_lease.py")
def test_writers_at_once_lose_nothing_and_double_nothing(
    home: Home, start: Callable[..., Running], tmp_path: Path
) -> None:
    expected = world(home, start, tmp_path)
    # Two syncs; then a sync and a backfill of all that there is.
    for second in (["sync"], ["backfill", "--to", time.strftime("%Y-%m-%d"), "--again"]):
        both = [begin(home, "sync"), begin(home, *second)]
        for process in both:
            _, said = process.communicate()
            assert process.returncode in (0, 3), said
            if process.returncode == 3:
                assert any(who in said for who in WHO), said
        assert any(process.returncode == 0 for process in both) or home.polytrades("sync").code == 0
        assert sorted(keys(home)) == sorted(expected)
    # A sync, and in the middle of it an analyst's build of production: it gets its turn whole, or is told who is first.
    sync = begin(home, "sync")
    assert sync.stderr is not None
    while "Fetching" not in sync.stderr.readline():
        assert sync.poll() is None
    build = home.dbt("build", "--exclude-resource-type", "unit_test", check=False)
    assert build.code == 0 or any(who in " ".join(build.stdout.split()) for who in (*WHO, "Conflicting lock")), build
    _, said = sync.communicate()
    assert sync.returncode in (0, 3), said
    home.polytrades("sync")
    assert sorted(keys(home)) == sorted(expected)
    assert home.query("select count(*) from state.lease where run_id is null") == [(1,)]
