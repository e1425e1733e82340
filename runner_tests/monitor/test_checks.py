"""Promise: each check fails when it should, on every target, and is silent after a good night."""

from __future__ import annotations

import html
import json
from datetime import timedelta
from pathlib import Path

import pytest

from runner.monitor import status as monitor
from runner.monitor.checks import CHECKS
from runner.monitor.text import clean
from runner.project import variables
from runner.windows import utc_now
from runner_tests.support import ROOT, Home, home_on, launch, opened, stop

NOW = utc_now()
WALLETS = ["0x" + digit * 40 for digit in "def"]

EXPECTED = {
    "duplicate_keys": "FAIL",
    "batch_keys": "FAIL",
    "key_collisions": "FAIL",
    "silent_exchange": "FAIL",
    "unknown_exchange": "FAIL",
    "token_without_market": "WARN",
    "failed_tests": "FAIL",
    "run_overdue_hours": "FAIL",
    "run_failed": "FAIL",
    "budget_share": "FAIL",
    "unmerged_hours": "FAIL",
    "checkpoint_hours": "FAIL",
    "silent_hours": "FAIL",
    "volume_drop": "FAIL",
    "rejected_share": "FAIL",
    "run_without_end": "WARN",
    "coverage_holes": "WARN",
    "never_fetched": "WARN",
    "moved_timestamps": "WARN",
    "stand_in_share": "WARN",
}


@pytest.fixture
def home(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """An empty home on the target of the test."""
    return home_on(target, tmp_path, request)


def insert(home: Home, table: str, **values: object) -> None:
    """Adds a row."""
    marks = ", ".join("?" * len(values))
    home.query(f"insert into {table} ({', '.join(values)}) values ({marks})", list(values.values()))


def plant_what_a_build_finds(home: Home) -> None:
    """What the next build of the monitoring models must find."""
    if home.target == "duckdb":  # BigQuery keeps a NULL out of a REQUIRED column; an adopted table may have one
        home.query("alter table main.trades alter column tx_hash drop not null")
        home.query("insert into main.trades select * replace (null as tx_hash) from main.trades limit 1")
    home.query("insert into main.trades select * from main.trades limit 1")
    for wallet in WALLETS:
        insert(home, "state.followed_wallets", wallet_address=wallet, followed_from=NOW, origin="file")
    holed, late, _ = WALLETS
    for begins, ends in ((300, 200), (100, 90)):
        window = {"window_start": NOW - timedelta(hours=begins), "window_end": NOW - timedelta(hours=ends)}
        insert(home, "state.coverage", source="dome", wallet_address=holed, status="complete", **window)
    for wallet in (holed, late):
        moved = {"source": "dome", "wallet_address": wallet, "recorded_at": NOW}
        insert(home, "state.checkpoints", fetched_until=NOW - timedelta(hours=90), **moved)
    columns = "wallet_address, tx_hash, order_hash, source, timestamp"
    home.query(
        f"insert into intermediate.int_trades_stored ({columns}, mart) "
        f"select {columns}, 'trades' from main.trades limit 1"
    )
    home.query(
        f"insert into intermediate.int_trades_batched ({columns}) "
        "select wallet_address, tx_hash, order_hash, 'file', ? from intermediate.int_trades_stored",
        [NOW],
    )


def plant_what_the_clock_shows(home: Home) -> None:
    """What needs no build: runs, batches, days, costs, results of tests."""
    home.query("delete from state.runs where true")
    ended = {"started_at": NOW - timedelta(hours=30), "finished_at": NOW - timedelta(hours=29), "recorded_at": NOW}
    counted = {"records_received": 100, "records_rejected": 50, "bytes_budget": 1_000}
    said = "The order API did not answer <script>"
    insert(
        home,
        "state.runs",
        run_id="r1",
        command="sync",
        status="finished",
        exit_code=1,
        message=said,
        **ended,
        **counted,
    )
    insert(home, "state.runs", run_id="r2", command="import", status="running", started_at=NOW, recorded_at=NOW)
    old = NOW - timedelta(hours=60)
    batch = {"batch_id": "b", "landing_table": "trades", "source": "dome", "row_count": 7, "run_id": "r1"}
    insert(home, "landing.batches", landed_at=old, landed_on=old.date(), **batch)
    result = {"run_id": "r1", "kind": "test", "name": "a_sum_is_right", "status": "fail", "failures": 3}
    insert(home, "state.node_results", recorded_at=NOW + timedelta(hours=1), recorded_on=NOW.date(), **result)
    cost = {"job_id": "j", "billed_on": utc_now().date(), "kind": "test", "bytes_billed": 1_001}
    insert(home, "state.job_costs", created_at=NOW, **cost)
    home.query("delete from monitoring.mon_daily_fills where true")
    newest = (NOW - timedelta(minutes=5)).date()
    for age in range(1, 12):
        fills = 3 if age == 1 else 1000 + 10 * age
        day = {"day": newest - timedelta(days=age), "fills": fills, "stand_ins": fills, "wallets": 2}
        insert(home, "monitoring.mon_daily_fills", surplus_copies=0, taker_usdc_raw=0, repaired_keys=0, **day)
    home.query("update monitoring.mon_wallets set last_fill_at = ? where true", [NOW - timedelta(hours=100)])
    copied = "wallet_address, tx_hash, order_hash"
    home.query(
        f"insert into monitoring.mon_batch_keys_not_once ({copied}, copies) select {copied}, 2 from main.trades limit 1"
    )
    copied += ", timestamp, key_quality"
    home.query(
        f"insert into main.trade_collisions ({copied}, collision_id) select {copied}, 'c' from main.trades limit 1"
    )
    for finding in ("silent_exchange", "unknown_exchange", "token_without_market"):
        insert(home, "monitoring.mon_source_findings", finding=finding, subject="0xee", fill_count=7)


def test_each_check_fails_when_it_should_and_none_after_a_good_night(home: Home) -> None:
    wallets = home.folder / "wallets.csv"
    running = launch("--wallets", 2, "--fills", 40, "--days", 4, "--write-wallets", wallets)
    try:
        home.uses(running)
        home.polytrades("sync", "--wallets", wallets)
    finally:
        stop(running)
    with opened(home) as (warehouse, chosen):
        good = monitor.look(chosen, warehouse)
    assert ([finding.reason for finding in good.findings], good.exit_code) == ([], 0)
    assert {check.check_name for check in good.checks} >= set(EXPECTED) - {
        "run_without_end",
        "budget_share",
        "volume_drop",
    }
    told = good.as_json()
    assert (told["totals"]["fills"], told["wallets"]["with_fills"]) == (40, 2)
    assert sum(told["days"].values()) > 0
    assert len(told["wallets"]["top"]) == 2

    plant_what_a_build_finds(home)
    models = ("mon_duplicate_keys", "mon_wallets", "mon_coverage_holes", "mon_moved_timestamps")
    home.dbt("run", "-s", *models)
    plant_what_the_clock_shows(home)
    with opened(home) as (warehouse, chosen):
        bad = monitor.look(chosen, warehouse)
    assert {finding.check: finding.verdict for finding in bad.findings} == EXPECTED
    assert bad.exit_code == 4
    reasons = {finding.check: finding.reason for finding in bad.findings}
    keys = "2 keys stand" if home.target == "duckdb" else "1 key stand"
    assert reasons["duplicate_keys"].startswith(keys)
    assert "a_sum_is_right" in reasons["failed_tests"]
    assert reasons["coverage_holes"] == "1 window between fetched ones is missing, of 1 wallets."
    assert reasons["never_fetched"].startswith("1 followed wallet is without a checkpoint")
    assert reasons["rejected_share"].endswith("rejected 50 records, 50.0% of what came.")
    assert all(finding.remedy for finding in bad.findings)
    if home.target == "duckdb":
        said = home.polytrades("status", check=False)
        assert said.code == 4
        assert said.stdout.startswith("FAIL  as of ")
        for reason in reasons.values():
            assert reason in said.stdout

    # The other way round: far more fills than usual.
    home.query("update monitoring.mon_daily_fills set fills = 9000 where fills = 3")
    with opened(home) as (warehouse, chosen):
        busy = monitor.look(chosen, warehouse)
    assert {finding.check for finding in busy.findings} == {*EXPECTED, "volume_surge"} - {"volume_drop"}
    (surge,) = [finding for finding in busy.findings if finding.check == "volume_surge"]
    assert surge.verdict == "WARN"
    assert surge.reason.startswith(f"{(NOW - timedelta(minutes=5)).date() - timedelta(days=1)} has 9,000 fills, ")
    if home.target == "duckdb":
        home.polytrades("report", "--out", home.folder / "page.html")
        page = html.unescape((home.folder / "page.html").read_text())
        assert [finding.reason for finding in busy.findings if clean(finding.reason) not in page] == []
        home.polytrades("alerts", "--send")
        opened_now = {check for (check,) in home.query("select check_name from state.incidents where event = 'opened'")}
        assert opened_now >= {finding.check for finding in busy.findings}


def test_each_check_has_limits_words_a_place_in_the_guide_and_a_test() -> None:
    names = set(variables()["checks"])
    assert names == {*EXPECTED, "volume_surge"}
    assert names <= set(CHECKS)
    guide = (ROOT / "docs" / "guides" / "monitoring.md").read_text()
    assert [name for name in names if f"`{name}`" not in guide] == []


def test_a_run_that_holds_the_lease_is_at_work_and_one_that_does_not_was_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.dbt("build", "--exclude-resource-type", "unit_test", "test")
    insert(home, "state.runs", run_id="r", command="sync", status="running", started_at=NOW, recorded_at=NOW)
    batch = {"batch_id": "b", "landing_table": "trades", "source": "dome", "row_count": 7, "run_id": "r"}
    insert(home, "landing.batches", landed_at=NOW, landed_on=NOW.date(), **batch)
    with opened(home) as (warehouse, chosen):
        killed = monitor.look(chosen, warehouse)
        assert {finding.check for finding in killed.findings} == {"run_without_end", "unmerged_hours"}
        warehouse.acquire_lease("r", "a test", 10)
        assert monitor.look(chosen, warehouse).findings == []
    json.dumps(killed.as_json())
