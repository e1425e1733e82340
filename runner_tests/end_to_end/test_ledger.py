"""Promise: a batch counts as merged only with the merge that held it, whatever is selected and whatever fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner_tests.support import ONLY_FILLS, ROOT, Home, home_on, order

MARTS = {"trades", "trade_collisions", "traders", "awaiting_metadata"}
CHANGED = ("landing.trades", "landing.batches", "state.merged_batches", *MARTS)
"""The tables that these tests write and later builds read."""


def merged(home: Home) -> set[str]:
    """Marts that the ledger has the newest batch for."""
    newest = "(select batch_id from landing.batches order by landed_at desc limit 1)"
    return {mart for (mart,) in home.query(f"select mart from state.merged_batches where batch_id = {newest}")}


def hashes(home: Home) -> set[str]:
    return {row[0][-1] for row in home.query("select tx_hash from trades")}


def fill(number: int, **changes: object) -> dict[str, object]:
    return order(tx_hash=f"0x{number:064x}", **changes)


@pytest.fixture(scope="module")
def built_once(target: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Home:
    """A home with one fill, merged, and copies of its tables: a build costs more than to restore them."""
    home = home_on(target, tmp_path_factory.mktemp("ledger"), request)
    home.land(fill(1))
    home.dbt("build", "--exclude", "test_type:unit")
    assert merged(home) == MARTS
    home.query("create schema kept")
    for table in CHANGED:
        home.query(f"create table {kept(table)} as select * from {table}")
    return home


@pytest.fixture
def built(built_once: Home, request: pytest.FixtureRequest) -> Home:
    """A home with one fill, merged, and a second one landed: in words of its own, or it would be the same batch."""
    for table in CHANGED:
        built_once.query(f"delete from {table}")
        built_once.query(f"insert into {table} select * from {kept(table)}")
    built_once.land(fill(2, title=request.node.name))
    assert merged(built_once) == set()
    return built_once


def kept(table: str) -> str:
    return f"kept.{table.replace('.', '_')}"


@pytest.mark.duckdb_first("which nodes ran is known to dbt")
def test_no_selection_marks_a_batch_that_its_merge_did_not_hold(built: Home) -> None:
    """A walk through the ways to build only a part; after each the batch is pending for what did not hold it."""
    for arguments, marked, passes in (
        (("-s", "trades"), set[str](), True),
        (("-s", "pending_batches", "trades"), set[str](), True),
        (("-s", "pending_batches", "int_trades_deduplicated", "trades"), set[str](), True),
        (("--empty", *ONLY_FILLS), set[str](), True),
        # Without `trades`, the test that looks for the batch in it raises the alarm, as it should.
        ((*ONLY_FILLS, "trades"), {"trade_collisions", "traders", "awaiting_metadata"}, False),
    ):
        assert (built.dbt("build", *arguments, check=passes).code == 0) == passes
        assert merged(built) == marked, arguments
        assert hashes(built) == {"1"}, arguments
    built.dbt("build", *ONLY_FILLS)
    assert merged(built) == MARTS
    assert hashes(built) == {"1", "2"}


@pytest.mark.duckdb_first("the flag is dbt's")
def test_a_full_refresh_keeps_the_history(built: Home) -> None:
    built.query("delete from landing.trades where tx_hash = ?", [f"0x{1:064x}"])
    built.dbt("build", "--full-refresh", "--exclude", "test_type:unit")
    assert hashes(built) == {"1", "2"}
    assert merged(built) == MARTS


def copied_project(folder: Path) -> Path:
    """A copy that a test may change."""
    theirs = folder / "theirs"
    for part in ("models", "macros", "seeds", "tests"):
        shutil.copytree(ROOT / part, theirs / part)
    shutil.copy(ROOT / "dbt_project.yml", theirs)
    return theirs


def test_a_build_that_has_lost_the_lease_takes_no_batch_from_the_next(built: Home, tmp_path: Path) -> None:
    """Its tables before the merge are those of everybody: it must not write them over."""
    theirs = copied_project(tmp_path)
    settings = theirs / "dbt_project.yml"
    hook = "update {{ source('state', 'lease') }} set run_id = 'next', holder = 'the next run' where true"
    text = settings.read_text()
    assert "    ledger:\n" in text
    settings.write_text(text.replace("    ledger:\n", f'    ledger:\n      +post-hook: "{hook}"\n'))
    before = built.query("select tx_hash, content_hash from intermediate.int_trades_batched")
    late = built.dbt("build", *ONLY_FILLS, project=theirs, check=False)
    assert late.code == 1
    assert "Production is being written by the next run" in " ".join(late.stdout.split())
    assert built.query("select tx_hash, content_hash from intermediate.int_trades_batched") == before
    assert merged(built) == set()

    built.query("update state.lease set run_id = null, holder = null where true")
    built.dbt("build", *ONLY_FILLS)
    assert (merged(built), hashes(built)) == (MARTS, {"1", "2"})


def test_a_failing_gate_holds_the_merge_back_and_a_retry_marks_nothing(built: Home, tmp_path: Path) -> None:
    """A test of somebody's own before the merge fails."""
    theirs = copied_project(tmp_path)
    gate = theirs / "tests" / "assert_nothing_comes.sql"
    gate.write_text("select * from {{ ref('int_trades_deduplicated') }}")
    failed = built.dbt("build", *ONLY_FILLS, project=theirs, check=False)
    assert failed.code == 1
    assert "assert_nothing_comes" in failed.stdout
    assert "trades" not in merged(built)
    assert hashes(built) == {"1"}

    gate.write_text("select * from {{ ref('int_trades_deduplicated') }} where false")
    built.dbt("retry", project=theirs, check=False)
    assert "trades" not in merged(built)

    built.dbt("build", *ONLY_FILLS)
    assert (merged(built), hashes(built)) == (MARTS, {"1", "2"})


@pytest.mark.duckdb_only("what was left out is decided before any SQL, as in the walk above")
def test_a_merge_of_newer_and_older_tables_is_not_made(built: Home) -> None:
    """Leaving one model out would merge a fold that does not know what is stored, or lose what it displaces."""
    built.dbt("build", *ONLY_FILLS)
    built.land(fill(1, shares=5_000_000, shares_normalized=5, timestamp=1769466700))
    for left_out in ("int_trades_stored", "int_trade_collisions", "trade_collisions"):
        left = built.dbt("build", *ONLY_FILLS, left_out, check=False)
        assert "nothing is merged" in left.stdout
        assert built.query("select shares_raw from fills where tx_hash like '%1'") == [(2_000_000,)]
    built.dbt("run", "-s", "pending_batches+")
    assert sorted(built.query("select shares_raw from fills where tx_hash like '%1'")) == [(2_000_000,), (5_000_000,)]


@pytest.mark.duckdb_only("the analyzer and the unit tests have the conditions in both dialects")
def test_a_row_that_another_writer_broke_does_not_hold_back_the_others(built: Home) -> None:
    built.query("insert into landing.trades select * replace ('hello' as wallet_address) from landing.trades")
    built.query("update landing.batches set row_count = 2")
    built.dbt("build", *ONLY_FILLS)
    assert hashes(built) == {"1", "2"}
    assert built.query("select distinct reason from monitoring.mon_rejected_records") == [("bad_wallet",)]


@pytest.mark.duckdb_first("the gate is one query, which test_statements.py sends")
def test_a_batch_whose_rows_are_not_all_there_is_not_merged(built: Home) -> None:
    """The manifest speaks of another day than the rows: nothing is read, and nothing may count as merged."""
    built.query(
        "update landing.batches set landed_on = cast(landed_on + interval 1 day as date) where batch_id not in "
        "(select batch_id from state.merged_batches)"
    )
    failed = built.dbt("build", *ONLY_FILLS, check=False)
    assert "FAIL 1 assert_every_row_of_a_pending_batch_is_read" in failed.stdout
    assert (merged(built), hashes(built)) == (set(), {"1"})


@pytest.mark.duckdb_first("the ledger is read once, by the same model")
def test_a_batch_that_lands_while_dbt_runs_is_merged_next_time(built: Home) -> None:
    """The build is cut after the list was frozen; the batch that lands then is older than one already merged."""
    built.dbt("build", "-s", "pending_batches")
    built.land(fill(3))
    built.query(
        "update landing.batches set landed_at = landed_at - interval 3 day where batch_id not in "
        "(select batch_id from intermediate.pending_batches union select batch_id from state.merged_batches)"
    )
    # The alarm is right: the batch that was folded is not in `trades` after this.
    built.dbt("build", *ONLY_FILLS, "pending_batches", check=False)
    assert hashes(built) <= {"1", "2"}
    built.dbt("build", *ONLY_FILLS)
    assert hashes(built) == {"1", "2", "3"}
    assert built.query("select count(*) from state.merged_batches") == [(3 * len(MARTS),)]


@pytest.mark.duckdb_only("a join that the merges above rely on too")
def test_rows_without_a_manifest_entry_are_never_read(built: Home) -> None:
    built.query("delete from landing.batches where batch_id not in (select batch_id from state.merged_batches)")
    built.dbt("build", *ONLY_FILLS)
    assert hashes(built) == {"1"}


@pytest.mark.duckdb_first("test_checks.py plants one there")
def test_a_duplicate_in_trades_raises_the_alarm_and_holds_nothing_back(built: Home) -> None:
    built.query("insert into trades select * from trades")
    failed = built.dbt("build", *ONLY_FILLS, check=False)
    assert failed.code == 1
    assert "FAIL 1 trades_has_no_duplicate_keys" in failed.stdout
    assert (merged(built), hashes(built)) == (MARTS, {"1", "2"})


@pytest.mark.duckdb_only("the same alarm as for a duplicate, and models/ has the fills on both")
def test_two_fills_under_one_key_raise_the_alarm_and_hold_nothing_back(built: Home) -> None:
    built.land(fill(2, shares=5_000_000, shares_normalized=5))
    failed = built.dbt("build", *ONLY_FILLS, check=False)
    assert failed.code == 1
    assert "FAIL 1 no_fill_shares_its_key" in failed.stdout
    assert merged(built) == MARTS
    assert sorted(built.query("select shares_raw from fills where tx_hash like '%2'")) == [(2_000_000,), (5_000_000,)]


@pytest.mark.duckdb_first("the macro that stops it is not dispatched")
def test_a_ledger_beside_a_missing_mart_stops_the_build_and_says_what_to_do(home: Home) -> None:
    home.land(fill(1))
    home.query("insert into state.merged_batches select batch_id, 'trades', landed_at, 'a build' from landing.batches")
    failed = home.dbt("build", check=False)
    assert failed.code != 0
    assert f"{home.production}.trades is missing" in failed.stdout
    assert "delete from" in failed.stdout


@pytest.mark.duckdb_first("the macro that stops it is not dispatched")
def test_the_state_of_one_production_schema_is_not_taken_for_another(built: Home) -> None:
    """What is merged, covered and adopted there would be taken for done here."""
    failed = built.dbt("build", "--vars", "production_schema: other", schema="other", check=False)
    assert failed.code != 0
    assert f"was built with production_schema: {built.production}, and state and landing speak" in failed.stdout
    assert built.tables("other") == {}


@pytest.mark.duckdb_first("the macro that stops it is not dispatched")
def test_another_policy_for_missing_order_hashes_is_refused(built: Home) -> None:
    failed = built.dbt("build", "--vars", "missing_order_hash: collapse", check=False)
    assert failed.code != 0
    assert "was built with missing_order_hash: distinct" in failed.stdout
    failed = built.dbt("build", "--vars", "missing_order_hash: sometimes", check=False)
    assert "must be 'distinct'" in failed.stdout
