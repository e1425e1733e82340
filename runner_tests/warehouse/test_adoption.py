"""Promise: a production table that was there before is taken on as it is or refused with a plan, and never dropped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runner import project
from runner.engine.adopt import adopt_existing
from runner.errors import UsageError
from runner_tests.night import Notes

WALLET, OTHER = "0x" + "a" * 40, "0x" + "b" * 40
LEGACY = list(project.mart_columns("trades").items())[:14]
NEWEST = datetime(2026, 1, 27, 12, tzinfo=UTC)


def make_table(place: Any, rows: list[dict[str, Any]], layout: str = "", **types: str) -> None:
    """The table as the pipeline before this one left it."""
    warehouse = place.open()
    dialect = warehouse._type
    address = warehouse._mart("trades")
    if "array" in types.values():
        text = dialect("string")
        array = f"array<{text}>" if place.proxy is not None else f"{text}[]"
        types = {name: array if kind == "array" else kind for name, kind in types.items()}
    columns = ", ".join(
        f"{name} {types.get(name, dialect(kind))}" for name, kind in LEGACY if types.get(name) != "absent"
    )
    if place.proxy is not None:
        warehouse._create_schema("polytrades")
        layout = layout or "partition by timestamp_trunc(timestamp, day) cluster by wallet_address"
    else:
        layout = ""
    warehouse._execute("test", f"create table {address} ({columns}) {layout}")
    for row in rows:
        values = {"id": "x", "side": "BUY", "price": 0.5, "shares_normalized": 2.0, "token_id": "1", **row}
        names = ", ".join(values)
        marks = ", ".join(f"@{name}" if value is not None else "null" for name, value in values.items())
        known = {name: value for name, value in values.items() if value is not None}
        warehouse._execute("test", f"insert into {address} ({names}) values ({marks})", **known)


def fill(number: int, wallet: str = WALLET, **changes: Any) -> dict[str, Any]:
    row = {
        "wallet_address": wallet,
        "timestamp": datetime(2026, 1, 20 + number, 12, tzinfo=UTC),
        "tx_hash": f"0x{number:064x}",
        "order_hash": f"0x{number + 100:064x}",
    }
    return row | changes


def test_a_table_that_fits_is_adopted_once_and_its_history_inherited(on: Any) -> None:
    make_table(on, [fill(1), fill(7), fill(2, OTHER)])
    notes = Notes()
    adoption = adopt_existing(on.open(), "run-1", notes)
    assert adoption is not None
    assert (adoption.rows, adoption.wallets, adoption.last_fill_at) == (3, 2, NEWEST)
    assert "3 rows of 2 wallets, 2026-01-21 to 2026-01-27; 14 columns appended" in notes.lines[0]
    warehouse = on.open()
    assert warehouse.checkpoints("dome") == {WALLET: NEWEST, OTHER: datetime(2026, 1, 22, 12, tzinfo=UTC)}
    inherited = "select wallet_address, status, records_received from {state}.coverage order by wallet_address"
    assert on.rows(warehouse, inherited) == [(WALLET, "inherited", 2), (OTHER, "inherited", 1)]
    columns = warehouse._columns(warehouse._schemas.production, "trades")
    assert list(columns) == list(project.mart_columns("trades"))
    assert on.rows(warehouse, "select count(*), count(id), count(key_quality) from {production}.trades") == [(3, 3, 0)]
    assert adopt_existing(on.open(), "run-2", notes) is None
    assert len(on.rows(warehouse, inherited)) == 2


def test_an_adoption_that_was_cut_off_is_completed_by_the_next_run(on: Any) -> None:
    make_table(on, [fill(1)])
    warehouse = on.open()
    found = warehouse.find_adoption()
    warehouse._execute("test", warehouse._add_column("shares_raw", "bigint"))
    assert "shares_raw" in found.missing_columns
    assert adopt_existing(on.open(), "run-2", Notes()) is not None
    assert list(on.open().checkpoints("dome")) == [WALLET]


@pytest.mark.parametrize(
    ("rows", "types", "said"),
    [
        ([fill(1), fill(1)], {}, "1 keys stand there more than once: `polytrades repair` keeps the newest row of each"),
        ([fill(1, tx_hash="0x" + "A" * 64)], {}, "1 rows have capital letters in a key"),
        ([fill(1, order_hash=None)], {}, "1 rows have no wallet_address, tx_hash, order_hash or timestamp"),
        ([], {"taker": "absent"}, "The column taker (string) is missing: alter table"),
        ([], {"price": "numeric"}, "The column price is"),
        ([], {"taker": "array"}, "The column taker is"),
    ],
    ids=["duplicate", "other case", "null", "missing column", "other type", "array"],
)
def test_what_does_not_fit_is_refused_with_a_plan_and_nothing_is_changed(
    on: Any, rows: list[dict[str, Any]], types: dict[str, str], said: str
) -> None:
    make_table(on, rows, **types)
    warehouse = on.open()
    before = warehouse._columns(warehouse._schemas.production, "trades")
    with pytest.raises(UsageError) as caught:
        adopt_existing(warehouse, "run-1", Notes())
    assert said in str(caught.value)
    assert "cannot be taken on as it is; nothing was changed. (1)" in str(caught.value)
    assert warehouse._columns(warehouse._schemas.production, "trades") == before
    assert warehouse.checkpoints("dome") == {}


def test_a_table_beside_the_state_of_another_production_is_neither_adopted_nor_taken_for_ours(on: Any) -> None:
    warehouse = on.open()
    warehouse.prepare()
    for name, value in (("missing_order_hash", "distinct"), ("production_schema", "elsewhere")):
        insert = "insert into {state}.recorded_settings (name, value) "
        on.rows(warehouse, insert + f"values ('{name}', '{value}')")
    make_table(on, [fill(1), fill(1)])
    with pytest.raises(UsageError, match=r"was built with production_schema: elsewhere, .* Nothing was changed"):
        adopt_existing(on.open(), "run-1", Notes())
    assert on.open().checkpoints("dome") == {}


def test_known_defects_can_be_accepted_and_are_recorded(on: Any) -> None:
    make_table(on, [fill(1), fill(1), fill(2, order_hash=None)])
    assert adopt_existing(on.open(), "run-1", Notes(), accept_defects=True) is not None
    recorded = on.rows(on.open(), "select value from {state}.recorded_settings where name = 'adopted_trades'")
    assert recorded == [("3 rows, 1 null keys, 1 duplicate keys",)]


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (
            "cluster by wallet_address",
            "is partitioned not at all, so every merge would read the whole table: Make a copy",
        ),
        ("partition by timestamp_trunc(timestamp, month)", "is partitioned by MONTH of timestamp"),
        (
            "partition by timestamp_trunc(timestamp, day) options (require_partition_filter = true)",
            "set options (require_partition_filter = false)",
        ),
    ],
    ids=["not partitioned", "by month", "demands a filter"],
)
def test_a_table_whose_storage_does_not_suit_is_refused_with_the_statement_that_helps(
    bigquery: Any, layout: str, said: str
) -> None:
    make_table(bigquery, [fill(1)], layout)
    with pytest.raises(UsageError) as caught:
        adopt_existing(bigquery.open(), "run-1", Notes())
    assert said in str(caught.value)


def test_a_column_that_must_not_be_null_is_refused_where_a_fill_may_lack_it(bigquery: Any) -> None:
    make_table(bigquery, [fill(1, taker=OTHER)], taker="string not null", wallet_address="string not null")
    with pytest.raises(UsageError) as caught:
        adopt_existing(bigquery.open(), "run-1", Notes())
    assert "alter column taker drop not null" in str(caught.value)
    assert "wallet_address" not in str(caught.value)


def test_a_view_of_that_name_is_refused(bigquery: Any) -> None:
    warehouse = bigquery.open()
    warehouse._create_schema("polytrades")
    values = ", ".join(f"cast(null as {warehouse._type(kind)}) as {name}" for name, kind in LEGACY)
    warehouse._execute("test", f"create view {warehouse._mart('trades')} as select {values}")
    with pytest.raises(UsageError, match="is a view, not a table: Give it another name"):
        adopt_existing(warehouse, "run-1", Notes())


def test_other_tables_of_ours_that_were_there_before_are_named_too(on: Any) -> None:
    """The pipeline before this one had a table `markets` of its own, with other columns."""
    make_table(on, [fill(1)])
    warehouse = on.open()
    warehouse._execute("test", f"create table {warehouse._mart('markets')} (condition_id {warehouse._type('string')})")
    with pytest.raises(UsageError, match=r"has other columns or types than ours: rename it, alter table \S+ rename to"):
        adopt_existing(warehouse, "run-1", Notes())
