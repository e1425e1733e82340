"""Promise: the past can come from BigQuery's public logs, never before its price is known and agreed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.warehouse.protocol import FollowedWallet
from runner.windows import utc_now
from runner_tests.bigquery.proxy import Proxy
from runner_tests.bigquery.public_table import FILL_COLUMNS, fills, of_fees, placed, publish, read, real_logs
from runner_tests.bigquery.running import Emulator
from runner_tests.support import Home, Running, opened

BEGINS = 1_767_808_800
"""2026-01-07 18:00:00 UTC."""
FIRST_BLOCK = 81_344_771
WINDOW = ("--from", "2026-01-07T18:00:00Z", "--to", "2026-01-07T18:10:00Z")
LATER_WINDOW = ("--from", "2026-02-07T18:00:00Z", "--to", "2026-02-07T18:10:00Z")
COMMAND = ("backfill", "--public-logs", *WINDOW, "--json")
STORED = (
    f"select {', '.join(FILL_COLUMNS[:13])}, false as is_removed, fee_raw, fee_unit, extra_fields, "
    "cast(epoch(timestamp) as bigint) from fills"
)


@pytest.fixture
def priced(emulator: Emulator, proxy: Proxy, start: Callable[..., Running], tmp_path: Path) -> Iterator[Home]:
    """A project of the emulator behind the proxy, which knows what is read."""
    home = Home(tmp_path, target="emulator", url=proxy.url, project=emulator.new_project())
    home.uses(start("--wallets", 2, "--fills", 10, "--days", 1))
    yield home


def follow(home: Home, wallets: list[str]) -> None:
    with opened(home) as (warehouse, _):
        warehouse.prepare()
        warehouse.change_followed_wallets([FollowedWallet(wallet, "file") for wallet in wallets], [], utc_now())


def test_real_logs_land_once_and_as_a_node_would_have_told_them(
    emulator: Emulator, priced: Home, data: Path, tmp_path: Path
) -> None:
    real = placed(real_logs(data), BEGINS, FIRST_BLOCK)
    later, later_block = BEGINS + 31 * 86_400, FIRST_BLOCK + 1_500_000
    cut = {**real[0], "data": real[0]["data"][:-64], "logIndex": "0x7fff"}
    again = placed(real[:1], later + 60, later_block + 30)
    everything = [*real, cut, *of_fees(BEGINS, FIRST_BLOCK), *again, *of_fees(later, later_block, without=100)]
    publish(emulator, everything, tmp_path)
    expected = fills(read(real))
    unfollowed = real[-1]["topics"][2]
    wallets = sorted({row[0] for row in expected} - {"0x" + unfollowed[26:]})
    follow(priced, wallets)

    # Nothing is read before somebody has agreed.
    shown = priced.polytrades(*COMMAND, "--dry-run")
    assert shown.json["bytes_at_most"] == sum(part["bytes_at_most"] for part in shown.json["slices"]) > 0
    assert shown.json["wallets"] == len(wallets)
    refused = priced.polytrades(*COMMAND, check=False)
    assert refused.code == 2 and "say --yes too" in refused.stderr
    priced.variables["POLYTRADES_DAILY_BYTES_BUDGET"] = str(shown.json["bytes_at_most"] - 1)
    refused = priced.polytrades(*COMMAND, "--yes", check=False)
    assert refused.code == 3 and "Nothing was read" in refused.stderr
    assert priced.query("select count(*) from landing.batches") == [(0,)]
    del priced.variables["POLYTRADES_DAILY_BYTES_BUDGET"]

    done = priced.polytrades(*COMMAND, "--yes", check=False)
    # 4: the simulator's Gamma knows no market of these tokens, which wait for theirs.
    assert (done.code, list(done.json["tests_failed"])) == (4, ["sources_tell_of_nothing_strange"]), done.stderr
    followed = {row for row in expected if row[0] in wallets}
    assert len(followed) < len(expected)
    assert set(priced.query(STORED)) == followed
    assert priced.query("select reason, count(*) from landing.rejected_records group by all") == [("bad_log", 1)]
    covered = priced.query(
        "select wallet_address, records_received, first_block, last_block from state.coverage order by 1"
    )
    assert [row[0] for row in covered] == wallets
    assert sum(row[1] for row in covered) == len(followed)
    assert {row[2:] for row in covered} == {(FIRST_BLOCK, FIRST_BLOCK + 299)}
    batches = priced.query("select landing_table, source, row_count from landing.batches where source = 'polygon'")
    assert batches == [("trades", "polygon", len(followed))]
    assert priced.tables("polytrades_migration") == {}, "the work table is gone"

    # What is covered is not read again, and where a block is missing nothing counts as covered.
    assert priced.polytrades(*COMMAND, "--dry-run").json["slices"] == []
    holes = priced.polytrades("backfill", "--public-logs", *LATER_WINDOW, "--yes", "--json", check=False)
    assert holes.code == 3 and "lacks 1 blocks" in holes.stdout, holes.stdout + holes.stderr
    assert priced.query("select count(*) from fills where block_number > 82000000") == [(1,)]
    assert priced.query("select distinct status from state.coverage where first_block > 82000000") == [("failed",)]


def test_where_there_is_no_such_table_it_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path)
    follow(home, ["0x" + "a" * 40])
    refused = home.polytrades(*COMMAND, "--yes", check=False)
    assert refused.code == 2
    assert "reads a table of BigQuery" in refused.stderr
    endless = home.polytrades("backfill", "--public-logs", "--to", "2026-01-07", check=False)
    assert endless.code == 2 and "--public-logs needs --from" in endless.stderr
