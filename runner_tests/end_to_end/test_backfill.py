"""Promise: what was not fetched is known, and fetched by the same command until nothing is left."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from runner_tests.support import UNTIL, Home, HttpAnswer, Running, server

END = datetime.fromisoformat(UNTIL)
MONTH = (END - timedelta(days=30)).isoformat()
YEAR = (END - timedelta(days=400)).isoformat()
Key = tuple[str, str, str]


@dataclass
class Past:
    """A year of fills of six wallets behind an upstream, and the keys of all of them."""

    running: Running
    wallets: Path
    records: list[dict[str, Any]]

    @property
    def expected(self) -> list[Key]:
        """The keys, sorted."""
        return sorted((record["user"], record["tx_hash"], record["order_hash"]) for record in self.records)

    def requests(self) -> int:
        """Requests for fills so far."""
        asked = self.running.get("/stats").json["requests"]
        return sum(sum(counts.values()) for path, counts in asked.items() if "orders" in path or "trades" in path)


@pytest.fixture
def past(start: Callable[..., Running], tmp_path: Path) -> Past:
    fills, wallets = tmp_path / "fills.ndjson", tmp_path / "wallets.csv"
    days = ("--days", 365, "--until", UNTIL, "--write-fills", fills, "--write-wallets", wallets)
    running = start("--wallets", 6, "--fills", 600, *days)
    return Past(running, wallets, [json.loads(line) for line in fills.open()])


def keys(home: Home) -> list[Key]:
    return sorted((*row,) for row in home.query("select wallet_address, tx_hash, order_hash from trades"))


@pytest.mark.duckdb_first("coverage is kept by statements of test_landing.py")
def test_what_since_left_out_is_fetched_by_a_backfill_that_may_be_cut_off_and_asks_nothing_twice(
    home: Home, past: Past
) -> None:
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets, "--since", MONTH)
    assert 0 < len(keys(home)) < len(past.expected)
    assert home.polytrades("gaps").code == 0, "what nobody wanted is no gap"
    checkpoints = home.polytrades("checkpoints", "--json").json["checkpoints"]
    assert len(checkpoints) == 6

    window = ("--from", YEAR, "--slice-days", 120)
    planned = home.polytrades("backfill", *window, "--dry-run", "--json").json
    assert len(planned["slices"]) == 4
    assert planned["requests_at_least"] == 6 * 4
    before = past.requests()
    assert before == 6, "a dry run asks nobody"

    cut = home.polytrades("backfill", *window, "--max-requests", 6, "--json", check=False)
    assert (cut.code, past.requests() - before) == (3, 6), "the first slice, to its very end"
    assert "18 windows of later slices were not begun" in cut.json["messages"][0]
    left = home.polytrades("backfill", *window, "--status", "--json").json
    assert 0 < left["covered_share"] < 1
    home.variables["POLYTRADES_FAULT"] = "fills.landed:kill:3"  # the last slice
    assert home.polytrades("backfill", *window, check=False).code == -signal.SIGKILL
    assert past.requests() - before == 6 * 4
    del home.variables["POLYTRADES_FAULT"]
    done = home.polytrades("backfill", *window, "--json").json
    assert done["exit_code"] == 0
    assert past.requests() - before == 6 * 4, "no window is asked for twice"
    assert done["markets_landed"] > 0, "of what had landed, markets were not fetched yet"
    assert home.query("select count(*) from trades where condition_id not in (select condition_id from markets)") == [
        (0,)
    ]
    assert keys(home) == past.expected
    assert home.polytrades("checkpoints", "--json").json["checkpoints"] == checkpoints, "no checkpoint moved"

    again = home.polytrades("backfill", *window, "--json").json
    assert "covered already" in again["messages"][0]
    assert past.requests() - before == 6 * 4
    assert home.polytrades("backfill", *window, "--status", "--json").json["covered_share"] == 1
    assert keys(home) == past.expected


@pytest.mark.duckdb_only("what is decided is decided before the warehouse is asked")
def test_a_new_wallet_gets_its_history_by_itself_within_a_bound_a_run(home: Home, past: Past) -> None:
    home.uses(past.running)
    home.variables |= {"POLYTRADES_PAGE_SIZE": "20", "POLYTRADES_HISTORY_REQUESTS_PER_RUN": "12"}
    runs = []
    arguments: tuple[object, ...] = ("--wallets", past.wallets)
    while not runs or runs[-1]["history_pending"]:
        before = past.requests()
        runs.append(home.polytrades("sync", *arguments, "--json").json)
        arguments = ()
        assert runs[-1]["exit_code"] == 0
        history = 12 + 20  # requests in flight when the bound is reached
        assert past.requests() - before <= history + 6
        gaps = home.polytrades("gaps", "--json", check=False)
        assert (gaps.code == 4) == bool(runs[-1]["history_pending"])
        assert len(runs) < 12
    assert len(runs) > 1, "the bound was never reached"
    assert keys(home) == past.expected
    assert home.polytrades("sync", "--json").json["fills_new"] == 0


@pytest.mark.duckdb_only("what is decided is decided before the warehouse is asked")
def test_a_wallet_that_failed_once_leaves_a_gap_that_is_listed_and_repaired(
    home: Home, past: Past, start: Callable[..., Running]
) -> None:
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets, "--since", MONTH)
    # Asked in the middle of a slice: the second slice of three wallets fails.
    fault = ("--fault", "status:400@orders#7-9", "--days", 365, "--until", UNTIL)
    home.uses(start("--wallets", 6, "--fills", 600, *fault))
    home.variables |= {"POLYTRADES_REQUESTS_IN_FLIGHT": "1"}
    failed = home.polytrades("backfill", "--from", YEAR, "--slice-days", 120, "--json", check=False)
    assert failed.code == 3
    assert len(failed.json["wallets_failed"]) == 3
    gaps = home.polytrades("gaps", "--json", check=False)
    assert gaps.code == 4
    assert len(gaps.json["holes"]) == 3
    assert {hole["is_history"] for hole in gaps.json["holes"]} == {False}
    assert "holes between windows that were fetched" in home.polytrades("gaps", check=False).stdout
    assert len(keys(home)) < len(past.expected)
    home.uses(past.running)
    before = past.requests()
    home.polytrades("backfill", "--gaps")
    assert past.requests() - before == 3 * 2, "two slices of 90 days, and nothing but the holes"
    assert home.polytrades("gaps", "--json").json["holes"] == []
    assert keys(home) == past.expected


@pytest.mark.duckdb_only("what is decided is decided before the warehouse is asked")
def test_a_wallet_that_always_fails_costs_the_others_no_slice(home: Home, past: Past) -> None:
    """Of the first slice nothing but that wallet is left, so that all of it fails."""
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets, "--since", MONTH)
    bad, *others = past.wallets.read_text().split()[1:]
    first = (datetime.fromisoformat(YEAR) + timedelta(days=120)).isoformat()
    chosen = [part for wallet in others for part in ("--wallet", wallet)]
    home.polytrades("backfill", "--from", YEAR, "--to", first, "--slice-days", 120, *chosen)

    def answer(path: str, query: dict[str, str]) -> HttpAnswer:
        if query.get("user") == bad:
            return 400, {}, b'{"error": "no"}'
        with urlopen(past.running.ready["url"] + path) as found:  # noqa: S310 - our own simulator
            return 200, {"Content-Type": "application/json"}, found.read()

    with server(answer, whole=True) as (url, _):
        home.variables["POLYTRADES_DOME_BASE_URL"] = url
        failed = home.polytrades("backfill", "--from", YEAR, "--slice-days", 120, "--json", check=False)
    assert (failed.code, list(failed.json["wallets_failed"])) == (3, [bad])
    assert keys(home) == [key for key in past.expected if key[0] != bad or key in set(keys(home))]


@pytest.mark.duckdb_first("rejected records are written as test_import.py writes them")
def test_records_that_a_rule_refused_come_in_once_the_rule_lets_them(home: Home, past: Past) -> None:
    """A clock that was a month behind refused what lay in its future; with the right time they pass."""
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets)
    record = past.records[0]
    bad = {**record, "tx_hash": "0x" + "7" * 64, "side": "HOLD"}
    home.land(bad, {**record, "tx_hash": "0x" + "8" * 64})
    # As an older rule would have kept it: the same text, another reason, and nothing wrong with it today.
    good = json.dumps({**record, "tx_hash": "0x" + "9" * 64})
    home.query(
        "insert into landing.rejected_records (record_hash, reason, detail, record, origin, source, run_id, landed_at) "
        "values (?, 'bad_timestamp', 'ahead of a wrong clock', ?, ?, 'dome', 'r', ?)",
        ["f" * 64, good, record["user"], datetime.now(UTC)],
    )
    listed = home.polytrades("rejected", "list", "--json").json
    assert listed["by_reason"] == {"bad_side": 1, "bad_timestamp": 1}
    assert home.polytrades("rejected", "replay", "--dry-run", "--json").json["would_land"] == 1
    replayed = home.polytrades("rejected", "replay", "--json").json
    assert (replayed["records_received"], replayed["records_landed"], replayed["records_rejected"]) == (1, 1, 0)
    assert "0x" + "9" * 64 in {tx_hash for _, tx_hash, _ in keys(home)}
    assert home.polytrades("rejected", "list", "--json").json["by_reason"] == {"bad_side": 1}
    assert home.query("select reason from monitoring.mon_rejected_records") == [("bad_side",)]
    assert home.polytrades("rejected", "replay", "--json").json["records_received"] == 0


@pytest.mark.duckdb_only("what is decided is decided before the warehouse is asked")
def test_after_moving_checkpoints_back_a_sync_asks_again_and_changes_nothing(home: Home, past: Past) -> None:
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets)
    rows = home.rows("trades")
    dry = home.polytrades("checkpoints", "--move-back", MONTH, "--dry-run", "--json").json
    assert dry["moved"] == 6
    wallet = past.records[0]["user"]
    assert home.polytrades("checkpoints", "--move-back", MONTH, "--wallet", wallet, "--json").json["moved"] == 1
    moves = home.polytrades("checkpoints", "--wallet", wallet, "--json").json["checkpoints"]
    assert moves[0]["fetched_until"] == MONTH
    assert len(moves) == 2
    summary = home.polytrades("sync", "--json").json
    assert summary["records_received"] > 0
    assert summary["fills_new"] == 0
    assert home.rows("trades") == rows
    assert home.polytrades("checkpoints", "--move-back", "2100-01-01", check=False).code == 2


@pytest.mark.parametrize("order_api", ["predexon-v1", "predexon-v2"])
@pytest.mark.duckdb_only("a dialect is a matter of the source")
def test_another_dialect_brings_the_same_fills(home: Home, past: Past, order_api: str) -> None:
    home.uses(past.running)
    home.variables["POLYTRADES_ORDER_API"] = order_api
    summary = home.polytrades("sync", "--wallets", past.wallets, "--json").json
    assert summary["exit_code"] == 0
    assert summary["unknown_fields"] == {}
    assert keys(home) == past.expected
    assert home.query("select distinct source from landing.trades") == [("predexon",)]
    sums = home.query("select sum(shares_raw), count(distinct token_id) from trades")
    tokens = {record["token_id"] for record in past.records}
    assert sums == [(sum(record["shares"] for record in past.records), len(tokens))]


@pytest.mark.parametrize(
    ("order_api", "path", "wallet", "records"),
    [
        ("predexon-v1", "/v1/polymarket/trades", "user", "orders"),
        ("predexon-v2", "/v2/polymarket/trades", "wallet", "trades"),
    ],
)
@pytest.mark.duckdb_only("a dialect is a matter of the source")
def test_doctor_recognises_the_dialect(home: Home, order_api: str, path: str, wallet: str, records: str) -> None:
    def answer(asked: str, query: dict[str, str]) -> HttpAnswer:
        body = {records: [], "pagination": {"has_more": False}}
        if asked != path:
            return 404, {}, b"{}"
        return (200, {}, json.dumps(body).encode()) if wallet in query else (400, {}, b'{"error": "who?"}')

    with server(answer) as (url, _):
        home.variables |= {"POLYTRADES_DOME_BASE_URL": url, "POLYTRADES_GAMMA_BASE_URL": url}
        checks = home.polytrades("doctor", "--json", check=False).json["checks"]
        found = next(check for check in checks if check["name"] == "order API")
        assert (found["passed"], f"POLYTRADES_ORDER_API={order_api}" in found["fix"]) == (False, True)
        home.variables["POLYTRADES_ORDER_API"] = order_api
        checks = home.polytrades("doctor", "--json", check=False).json["checks"]
        assert next(check for check in checks if check["name"] == "order API")["passed"]


@pytest.mark.duckdb_only("what is decided is decided before the warehouse is asked")
def test_a_backfill_that_brings_nothing_at_all_covers_nothing(
    home: Home, past: Past, start: Callable[..., Running]
) -> None:
    home.uses(past.running)
    home.polytrades("sync", "--wallets", past.wallets, "--since", MONTH)
    window = ("--from", YEAR, "--to", MONTH, "--slice-days", 200)
    home.uses(start("--wallets", 6, "--fills", 0, "--until", UNTIL))
    silent = home.polytrades("backfill", *window, "--json", check=False)
    assert silent.code == 4
    assert "Not one new fill came for 6 wallets over 2,220 wallet-days" in silent.json["messages"][0]
    assert home.polytrades("backfill", *window, "--status", "--json").json["covered_share"] == 0
    home.uses(past.running)
    assert home.polytrades("backfill", *window, "--json").json["exit_code"] == 0
    assert keys(home) == past.expected

    # Where there was nothing, the way that the message names.
    home.uses(start("--wallets", 6, "--fills", 0, "--until", UNTIL))
    home.variables["POLYTRADES_SILENT_WALLET_DAYS"] = "0"
    older = ("--from", "2023-01-01", "--to", YEAR, "--slice-days", 2000)
    assert home.polytrades("backfill", *older, "--json").json["exit_code"] == 0
    assert home.polytrades("backfill", *older, "--status", "--json").json["covered_share"] == 1
