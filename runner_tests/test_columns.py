"""Pages read whole into columns: whatever is taken that way is what the rules make of each record, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import project
from runner.landing.batch import FROM_BATCH
from runner.landing.columns import PageReader
from runner.records import BrokenRule, OrderRow, read_order
from runner.sources.orders import DIALECTS
from runner_tests.support import DATA, order

WALLET = "0x" + "a" * 40
NOW = datetime(2026, 2, 1, tzinfo=UTC)
COLUMNS = {k: v for k, v in project.source_table("landing", "trades").columns.items() if k not in FROM_BATCH}
READER = PageReader(COLUMNS)
V2 = PageReader(COLUMNS, DIALECTS["predexon-v2"].extra_fields)

ODD_NUMBERS = [
    0,
    -1,
    1,
    1.0,
    0.5,
    1.5,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    10**30,
    1e300,
    -0.0,
    1_769_466_633_000,
    1e-9,
]
ODD_TEXTS = ["", "1", "0.5", "BUY", "0x" + "a" * 64, "0X" + "A" * 64, "0x1", "x" * 100, "\ud800", "\x00"]
ODD = st.sampled_from([None, True, [], {}, *ODD_NUMBERS, *ODD_TEXTS])
FIELDS = [*order(), "id", "token_label", "taker", "log_index", "block_number", "status", "new_field", "metadata"]


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Records as they come, most of them good; some with one field changed."""
    shares = draw(st.integers(1, 2**54))
    record = order(
        shares=shares,
        shares_normalized=shares / 1_000_000,
        price=draw(st.floats(0, 1)),
        timestamp=draw(st.integers(1_577_836_800, int(NOW.timestamp()) + 90_000)),
        side=draw(st.sampled_from(["BUY", "SELL"])),
        taker=draw(st.sampled_from([None, "0x" + "b" * 40])),
        log_index=draw(st.none() | st.integers(0, 2**40)),
        title=draw(st.none() | st.text(max_size=10)),
    )
    for _ in range(draw(st.integers(0, 1))):
        record[draw(st.sampled_from(FIELDS))] = draw(ODD)
    return record


def by_the_rules(record: bytes) -> OrderRow | None:
    try:
        return read_order(record, WALLET, NOW)
    except BrokenRule:
        return None


def exactly(row: Iterable[Any]) -> list[str]:
    """The values as text that tells 0.0 from -0.0 and 1 from 1.0."""
    return [value.isoformat() if isinstance(value, datetime) else repr(value) for value in row]


def text_of(page: list[dict[str, Any]]) -> bytes:
    return json.dumps(page).encode()


@settings(max_examples=400, deadline=None)
@given(st.lists(records(), max_size=4), st.booleans())
def test_what_is_taken_in_columns_is_what_the_rules_make_of_it(page: list[dict[str, Any]], is_v2: bool) -> None:
    taken = (V2 if is_v2 else READER).read(text_of(page), WALLET, NOW)
    raw = [json.dumps(record).encode() for record in page]
    if taken is None:
        return
    columns, seen = taken
    assert [exactly(row.values()) for row in columns.to_pylist()] == [
        exactly(by_the_rules(record) or ()) for record in raw
    ]
    times = [record["timestamp"] for record in page]
    assert seen.count == len(page)
    assert seen.is_newest_first == (times == sorted(times, reverse=True))


def test_the_usual_page_goes_this_way() -> None:
    for record in (order(), order(taker="0x" + "b" * 40, log_index=5, block_number=7, token_label="Yes")):
        assert READER.read(text_of([record, record]), WALLET, NOW) is not None
    extra = dict.fromkeys(DIALECTS["predexon-v2"].extra_fields, 1.50) | {"metadata": {"a": [1, 2.0]}}
    taken = V2.read(text_of([order() | extra]), WALLET, NOW)
    assert taken is not None
    row = by_the_rules(json.dumps(order() | extra).encode())
    assert row is not None
    assert taken[0]["extra_fields"].to_pylist() == [row.extra_fields]


@pytest.mark.parametrize(
    "change",
    [
        {"user": "0x" + "A" * 40},
        {"user": "0x" + "b" * 40},
        {"tx_hash": "0x" + "A" * 64},
        {"order_hash": ""},
        {"timestamp": 1_769_466_633_000},
        {"side": "MERGE"},
        {"token_id": 5},
        {"price": "0.5"},
        {"shares": None},
        {"shares": 2_000_002},
        {"log_index": "0x5"},
        {"log_index": -1},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_a_page_with_anything_unusual_does_not(change: dict[str, Any]) -> None:
    assert READER.read(text_of([order(), order(**change)]), WALLET, NOW) is None


def test_a_record_that_lacks_a_field_of_its_api_does_not() -> None:
    extra = dict.fromkeys(DIALECTS["predexon-v2"].extra_fields, 1)
    del extra["fee_usd"]
    assert V2.read(text_of([order() | extra]), WALLET, NOW) is None


def test_a_field_of_an_api_that_is_no_text_costs_its_record_and_not_the_page() -> None:
    page = json.dumps([order(user=WALLET, builder="x")]).encode().replace(b'"x"', b'"\xff"')
    assert V2.read(page, WALLET, NOW) is None


def test_real_pages_go_this_way() -> None:
    file = DATA / "dome" / "orders.ndjson"
    if not file.exists():
        pytest.skip(f"{file} is not there: no real records to try")
    lines = file.read_bytes().splitlines()
    wallets = {msgspec.json.decode(line)["user"] for line in lines}
    for wallet in wallets:
        mine = [line for line in lines if msgspec.json.decode(line)["user"] == wallet]
        taken = READER.read(b"[" + b",".join(mine) + b"]", wallet, NOW)
        assert taken is not None
        expected = [tuple(read_order(line, wallet, NOW)) for line in mine]
        assert [tuple(row.values()) for row in taken[0].to_pylist()] == expected
