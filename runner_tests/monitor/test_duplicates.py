"""Promise: duplicates are found now and shown with what would be kept; a repair takes out the rest, and no more."""

from __future__ import annotations

from pathlib import Path

from runner_tests.support import Home, order

DAY = 86_400


def test_a_repair_keeps_the_greatest_record_and_never_touches_what_is_not_one_fill(tmp_path: Path) -> None:
    home = Home(tmp_path)
    records = [order(tx_hash=f"0x{number:064x}", timestamp=1769466633 + number * DAY) for number in range(4)]
    home.polytrades("import", home.records("orders.ndjson", records))
    clean = home.polytrades("duplicates", "--json")
    assert (clean.json["keys"], clean.json["rows_that_would_go"]) == (0, 0)
    good = home.rows("main.trades")
    # An equal copy, one from a worse source and two days later, another fill under the key of a third, a NULL in a key.
    one = "from main.trades where tx_hash = ?"
    key = [f"0x{number:064x}" for number in range(4)]
    home.query(f"insert into main.trades select * {one}", [key[0]])
    later = "timestamp + interval 2 day as timestamp, 'legacy' as source, 'a <script> title' as title"
    home.query(f"insert into main.trades select * replace ({later}) {one}", [key[1]])
    home.query(f"insert into main.trades select * replace (7 as shares_raw) {one}", [key[2]])
    home.query("alter table main.trades alter column order_hash drop not null")
    home.query(f"insert into main.trades select * replace (null as order_hash) {one}", [key[3]])

    found = home.polytrades("duplicates", "--json", check=False)
    assert (found.code, found.json["keys"], found.json["rows_that_would_go"]) == (4, 4, 2)
    reasons = {rows[0]["tx_hash"]: [row["reason"] for row in rows] for rows in found.json["found"] if len(rows) == 2}
    assert reasons == {
        key[0]: ["kept: the greatest record", "equal to the one that is kept"],
        key[1]: ["kept: the greatest record", "from a source of a lower rank"],
        key[2]: ["another fill under the same key"] * 2,
    }
    refused = home.polytrades("duplicates", "--repair", check=False)
    assert refused.code == 2
    assert "say --yes too" in refused.stderr
    # The window sees the keys of its days alone.
    window = home.polytrades("duplicates", "--from", "2026-01-26", "--to", "2026-01-27", "--json", check=False)
    assert [rows[0]["tx_hash"] for rows in window.json["found"]] == [key[0]]

    repaired = home.polytrades("duplicates", "--repair", "--yes", check=False)
    assert repaired.code == 4
    assert "Took 2 rows of 2 keys" in repaired.stdout
    assert "2 keys are left" in repaired.stdout
    left = [row for row in home.rows("main.trades") if row not in good]
    assert len(left) == 2
    assert [row for row in good if row not in home.rows("main.trades")] == []
    removed = home.query("select tx_hash, reason, record from state.removed_rows order by tx_hash")
    assert [(row[0], row[1]) for row in removed] == [
        (key[0], "equal to the one that is kept"),
        (key[1], "from a source of a lower rank"),
    ]
    assert "a <script> title" in removed[1][2]
    again = home.polytrades("duplicates", check=False)
    assert again.code == 4
    assert "takes 0 rows of 0 keys out" in again.stdout
    assert home.query("select count(*) from state.removed_rows") == [(2,)]
