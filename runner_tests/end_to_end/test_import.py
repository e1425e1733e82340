"""`polytrades import`: the same door as `sync`, from files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner_tests.support import Home, order


@pytest.mark.duckdb_first("test_real_records.py lands and merges there")
def test_good_records_are_merged_and_bad_ones_kept_with_their_reason(home: Home) -> None:
    bad = {
        "missing_wallet": order(user=None),
        "missing_tx_hash": order(tx_hash=None),
        "missing_timestamp": order(timestamp=None),
        "bad_price": order(price=1.7),
    }
    good = [order(tx_hash=f"0x{number:064x}") for number in range(100, 500)]
    file = home.records("orders.ndjson", [*bad.values(), *good])
    summary = home.polytrades("import", file, "--json").json
    assert (summary["records_received"], summary["records_landed"], summary["records_rejected"]) == (404, 400, 4)
    assert summary["rejected_by_reason"] == dict.fromkeys(bad, 1)
    assert home.query("select count(*) from trades") == [(400,)]
    assert {reason for (reason,) in home.query("select reason from monitoring.mon_rejected_records")} == bad.keys()
    [(origin,)] = home.query("select origin from landing.rejected_records where reason = 'bad_price'")
    assert origin == "orders.ndjson, line 4"

    # The same file again: nothing lands, nothing changes, the rejected are not doubled.
    before = home.rows("trades")
    again = home.polytrades("import", file, "--json").json
    assert (again["records_landed"], again["records_landed_before"], again["fills_new"]) == (0, 400, 0)
    assert home.query("select count(*) from landing.rejected_records") == [(4,)]
    assert home.query("select count(*) from landing.trades") == [(400,)]
    assert home.rows("trades") == before


@pytest.mark.duckdb_only("the form is gone before any warehouse takes part")
def test_the_same_records_in_another_form_change_nothing(home: Home) -> None:
    records = [order(tx_hash=f"0x{number:064x}", price=0.3500000007787229, shares=256830768) for number in range(3)]
    for record in records:
        record["shares_normalized"] = 256.830768
    home.polytrades("import", home.records("orders.ndjson", records))
    before = home.rows("trades")
    parquet = home.folder / "orders.parquet"
    pq.write_table(pa.Table.from_pylist(records), parquet)
    summary = home.polytrades("import", parquet, "--json").json
    assert (summary["records_received"], summary["fills_new"]) == (3, 0)
    assert home.rows("trades") == before


def test_a_dry_run_says_what_would_happen_and_does_nothing(home: Home) -> None:
    file = home.records("orders.ndjson", [order(), order(side="HOLD")])
    found = home.polytrades("import", "--dry-run", file, "--json").json
    assert (found["records_received"], found["rejected_by_reason"]) == (2, {"bad_side": 1})
    assert home.is_untouched
