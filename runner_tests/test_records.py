"""Every rule of runner/records.py, every form in which upstreams write numbers, and what never happens."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.records import EARLIEST, MAX_RAW, RULES, BrokenRule, OrderRow, is_wallet, read_order
from runner_tests.support import order

NOW = datetime(2026, 2, 1, tzinfo=UTC)
WALLET = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20
TX = "0x" + "1f" * 32
ORDER = "0x" + "2e" * 32
SECOND = 1_769_466_633

GOOD: dict[str, Any] = {
    "token_id": "21742633143463906290569050155826241533067272736897614950488156847949938836455",
    "token_label": "Yes",
    "side": "BUY",
    "market_slug": "will-it-rain",
    "condition_id": "0x" + "3d" * 32,
    "shares": 5_000_000,
    "shares_normalized": 5,
    "price": 0.65,
    "block_number": 82_123_456,
    "log_index": 42,
    "tx_hash": TX,
    "title": "Will it rain?",
    "timestamp": SECOND,
    "order_hash": ORDER,
    "user": WALLET,
    "taker": OTHER,
}
"""The sixteen fields."""

TWELVE = {
    name: value for name, value in GOOD.items() if name not in ("token_label", "taker", "block_number", "log_index")
}
"""The twelve of the oldest real records."""


def written(**changes: Any) -> bytes:
    """Give the good record with changes, as JSON; a field that is set to `...` is left out."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode()


def read(**changes: Any) -> OrderRow:
    return read_order(written(**changes), None, NOW)


def with_number(field: str, text: str) -> bytes:
    """Give the good record with a number written exactly as `text`, which Python's json may not be able to."""
    return written(**{field: "PLACE"}).replace(b'"PLACE"', text.encode())


def reason(raw: bytes, queried_wallet: str | None = None) -> str:
    with pytest.raises(BrokenRule) as caught:
        read_order(raw, queried_wallet, NOW)
    assert caught.value.detail
    return caught.value.reason


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


BREAKERS: list[tuple[str, bytes]] = [
    *(("not_a_trade", json.dumps(order(side=side)).encode()) for side in ("MERGE", "SPLIT", "REDEEM")),
    *(("unconfirmed", json.dumps(order(status=status)).encode()) for status in ("pending", "MATCHED", "failed", 1, {})),
    ("undecodable", b"{"),
    ("undecodable", b""),
    ("undecodable", b"[]"),
    ("undecodable", b"5"),
    ("undecodable", b"null"),
    ("undecodable", b'"text"'),
    ("undecodable", b"\xff\xfe"),
    ("undecodable", b'{"title":"\xff"}'),
    ("undecodable", b'{"title":"\\ud800"}'),
    ("undecodable", b"[" * 100_000),
    ("undecodable", b'{"a":' * 100_000),
    ("undecodable", with_number("price", "1e400")),
    ("undecodable", with_number("price", "-1e400")),
    ("undecodable", with_number("price", "NaN")),
    ("undecodable", with_number("price", "Infinity")),
    ("undecodable", with_number("shares", "1" * 5_000)),
    ("undecodable", with_number("unknown", "1e400")),
    ("missing_wallet", written(user=...)),
    ("missing_wallet", written(user=None)),
    ("missing_wallet", written(user="")),
    ("bad_wallet", written(user="0x12")),
    ("bad_wallet", written(user=WALLET[2:])),
    ("bad_wallet", written(user=WALLET + "0")),
    ("bad_wallet", written(user=WALLET + "\n")),
    ("bad_wallet", written(user="0x" + "zz" * 20)),
    ("bad_wallet", written(user=5)),
    ("bad_wallet", written(user=[WALLET])),
    ("missing_tx_hash", written(tx_hash=...)),
    ("missing_tx_hash", written(tx_hash=None)),
    ("missing_tx_hash", written(tx_hash="")),
    ("bad_tx_hash", written(tx_hash="0xzz" + TX[4:])),
    ("bad_tx_hash", written(tx_hash=TX[:-1])),
    ("bad_tx_hash", written(tx_hash=WALLET)),
    ("bad_tx_hash", written(tx_hash={"hash": TX})),
    ("bad_order_hash", written(order_hash="0x1")),
    ("bad_order_hash", written(order_hash=True)),
    ("missing_timestamp", written(timestamp=...)),
    ("missing_timestamp", written(timestamp=None)),
    ("missing_timestamp", written(timestamp="")),
    ("bad_timestamp", written(timestamp="yesterday")),
    ("bad_timestamp", written(timestamp="2026-01-26T22:30:33Z")),
    ("bad_timestamp", written(timestamp=12)),
    ("bad_timestamp", written(timestamp=0)),
    ("bad_timestamp", written(timestamp=-SECOND)),
    ("bad_timestamp", written(timestamp=SECOND + 0.5)),
    ("bad_timestamp", written(timestamp=True)),
    ("bad_timestamp", written(timestamp=[SECOND])),
    ("bad_timestamp", written(timestamp=int(EARLIEST.timestamp()) - 1)),
    ("bad_timestamp", written(timestamp=int((NOW + timedelta(days=1)).timestamp()) + 1)),
    ("bad_timestamp", written(timestamp=SECOND * 1_000_000)),
    ("bad_timestamp", written(timestamp=10**30)),
    ("bad_timestamp", written(timestamp=-(10**30))),
    ("bad_timestamp", written(timestamp=1e300)),
    ("missing_side", written(side=...)),
    ("missing_side", written(side=None)),
    ("missing_side", written(side="")),
    ("bad_side", written(side="HOLD")),
    ("bad_side", written(side="buy")),
    ("bad_side", written(side=1)),
    ("bad_side", written(side=["BUY"])),
    ("missing_token_id", written(token_id=...)),
    ("missing_token_id", written(token_id="")),
    ("bad_token_id", written(token_id="0x12")),
    ("bad_token_id", written(token_id="1" * 79)),
    ("bad_token_id", written(token_id="-1")),
    ("bad_token_id", written(token_id="٣")),
    ("bad_token_id", written(token_id=-1)),
    ("bad_token_id", written(token_id=1.0)),
    ("bad_token_id", written(token_id=True)),
    ("missing_price", written(price=...)),
    ("missing_price", written(price=None)),
    ("missing_price", written(price="")),
    ("bad_price", written(price=1.0000000000000002)),
    ("bad_price", written(price=-5e-324)),
    ("bad_price", written(price=1.7)),
    ("bad_price", written(price=10**30)),
    ("bad_price", written(price=10**400)),
    ("bad_price", written(price="abc")),
    ("bad_price", written(price="NaN")),
    ("bad_price", written(price="inf")),
    ("bad_price", written(price="1e400")),
    ("bad_price", written(price=" 0.5")),
    ("bad_price", written(price="0_0.5")),
    ("bad_price", written(price="\u0660.\u0665")),
    ("bad_price", written(price="0.5\n")),
    ("bad_price", written(price=True)),
    ("bad_price", written(price={})),
    ("missing_size", written(shares=..., shares_normalized=...)),
    ("missing_size", written(shares=None, shares_normalized="")),
    ("bad_size", written(shares=0)),
    ("bad_size", written(shares=0, shares_normalized=0)),
    ("bad_size", written(shares=-5_000_000, shares_normalized=-5)),
    ("bad_size", written(shares=2**63, shares_normalized=...)),
    ("bad_size", written(shares=2**64, shares_normalized=...)),
    ("bad_size", written(shares=5_000_000.5)),
    ("bad_size", written(shares="5e6")),
    ("bad_size", written(shares=True)),
    ("bad_size", written(shares=[5])),
    ("bad_size", written(shares=..., shares_normalized=0)),
    ("bad_size", written(shares=..., shares_normalized=4e-7)),
    ("bad_size", written(shares=..., shares_normalized=9_223_372_036_854.775807)),
    ("bad_size", written(shares=..., shares_normalized=1e308)),
    ("bad_size", written(shares=..., shares_normalized="NaN")),
    ("bad_size", written(shares_normalized="five")),
    ("bad_size", written(shares_normalized=10**400)),
    ("sizes_disagree", written(shares=5_000_002)),
    ("sizes_disagree", written(shares=4_999_998)),
    ("sizes_disagree", written(shares=5)),
    ("sizes_disagree", written(shares=2**62, shares_normalized=(2**62 + 2**13) / 1e6)),
    ("bad_condition_id", written(condition_id="0x" + "3d" * 30)),
    ("bad_condition_id", written(condition_id="0x" + "3" * 63)),
    ("bad_condition_id", written(condition_id=7)),
    ("bad_taker", written(taker="0x0")),
    ("bad_taker", written(taker=TX)),
    ("bad_number", written(log_index="0xzz")),
    ("bad_number", written(log_index=-1)),
    ("bad_number", written(log_index=1.5)),
    ("bad_number", written(log_index="0x" + "f" * 16)),
    ("bad_number", written(log_index=True)),
    ("bad_number", written(block_number=2**63)),
    ("bad_number", written(block_number="latest")),
    ("bad_text", written(title=5)),
    ("bad_text", written(market_slug=["a"])),
    ("bad_text", written(token_label=False)),
    ("bad_text", written(id={})),
]


@pytest.mark.parametrize(("rule", "raw"), BREAKERS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BREAKERS)])
def test_a_record_that_breaks_a_rule_is_refused_for_that_rule(rule: str, raw: bytes) -> None:
    assert reason(raw) == rule


def test_a_record_of_another_wallet_than_the_one_asked_for_is_refused() -> None:
    assert reason(written(), queried_wallet=OTHER) == "wallet_mismatch"
    assert read_order(written(), WALLET, NOW).wallet_address == WALLET


def test_every_rule_has_a_record_that_breaks_it() -> None:
    # The last one is of event logs: test_logs.py.
    assert {rule for rule, _ in BREAKERS} | {"wallet_mismatch", "bad_log"} == set(RULES)


def test_a_reason_shows_the_offending_value_but_never_pages_of_it() -> None:
    with pytest.raises(BrokenRule) as caught:
        read(side="x" * 10_000)
    assert "xxx" in caught.value.detail
    assert len(caught.value.detail) < 200
    with pytest.raises(BrokenRule) as caught:
        read(title=["\x1b[2J\r\n"])
    assert "\x1b" not in caught.value.detail


def test_the_sixteen_fields_come_out_as_they_went_in() -> None:
    row = read()
    assert row == OrderRow(
        wallet_address=WALLET,
        tx_hash=TX,
        order_hash=ORDER,
        record_id=None,
        traded_at=datetime(2026, 1, 26, 22, 30, 33, tzinfo=UTC),
        side="BUY",
        token_id=GOOD["token_id"],
        price=0.65,
        shares_normalized=5.0,
        shares_raw=5_000_000,
        usdc_raw=None,
        condition_id=GOOD["condition_id"],
        token_label="Yes",
        taker=OTHER,
        market_slug="will-it-rain",
        title="Will it rain?",
        log_index=42,
        block_number=82_123_456,
        contract_address=None,
        upstream_version=None,
        is_removed=None,
        fee_raw=None,
        fee_unit=None,
        extra_fields=None,
    )


def test_the_twelve_fields_of_the_oldest_records_are_enough() -> None:
    row = read_order(json.dumps(TWELVE).encode(), None, NOW)
    assert row == read()._replace(token_label=None, taker=None, log_index=None, block_number=None)


def test_only_what_makes_the_key_and_the_value_of_a_fill_is_required() -> None:
    needed = {"user", "tx_hash", "timestamp", "side", "token_id", "price"}
    for name in TWELVE.keys() - needed - {"shares", "shares_normalized"}:
        assert read(**{name: ...}), name
    assert read(shares=...).shares_raw is None
    assert read(shares=...).shares_normalized == 5.0
    assert read(shares_normalized=...).shares_raw == 5_000_000
    assert read(shares_normalized=...).shares_normalized == 5.0


def test_every_recorded_record_is_accepted_and_kept(data: Path) -> None:
    lines = (data / "dome" / "orders.ndjson").read_bytes().splitlines()
    assert len(lines) == 200
    for line in lines:
        row, record = read_order(line, None, NOW), json.loads(line)
        assert bits(row.price) == bits(float(record["price"]))
        assert bits(row.shares_normalized) == bits(float(record["shares_normalized"]))
        assert row.shares_raw == record["shares"]
        assert (row.log_index, row.block_number) == (record["log_index"], record["block_number"])
        assert row.traded_at.timestamp() == record["timestamp"]
        for name in ("tx_hash", "order_hash", "condition_id", "taker", "token_id", "token_label", "title", "side"):
            assert getattr(row, name) == record[name]
        assert row.extra_fields is None


def test_hexadecimal_text_is_lower_cased_and_nothing_else_is() -> None:
    def upper(text: str) -> str:
        return "0X" + text[2:].upper()

    row = read(
        user=upper(WALLET),
        tx_hash=upper(TX),
        order_hash=upper(ORDER),
        taker=upper(OTHER),
        condition_id=upper(GOOD["condition_id"]),
        title="WILL IT RAIN?",
        market_slug="Will-It",
        id="0xABC",
    )
    assert (row.wallet_address, row.tx_hash, row.order_hash, row.taker) == (WALLET, TX, ORDER, OTHER)
    assert row.condition_id == GOOD["condition_id"]
    assert (row.title, row.market_slug, row.record_id) == ("WILL IT RAIN?", "Will-It", "0xABC")


def test_a_record_without_its_wallet_takes_the_one_asked_for() -> None:
    assert read_order(written(user=...), OTHER, NOW).wallet_address == OTHER


def test_a_condition_id_of_31_bytes_is_one() -> None:
    short = "0x" + "3d" * 31
    assert read(condition_id=short).condition_id == short


@pytest.mark.parametrize("value", [SECOND, float(SECOND), str(SECOND), SECOND * 1000, str(SECOND * 1000)])
def test_an_instant_may_be_seconds_or_milliseconds_number_or_text(value: object) -> None:
    assert read(timestamp=value).traded_at == datetime(2026, 1, 26, 22, 30, 33, tzinfo=UTC)


def test_milliseconds_are_kept() -> None:
    assert read(timestamp=SECOND * 1000 + 7).traded_at == datetime(2026, 1, 26, 22, 30, 33, 7000, tzinfo=UTC)


def test_time_is_accepted_from_2020_to_a_day_ahead_inclusive() -> None:
    latest = NOW + timedelta(days=1)
    assert read(timestamp=int(EARLIEST.timestamp())).traded_at == EARLIEST
    assert read(timestamp=int(latest.timestamp())).traded_at == latest


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, "0", "1", "1.0", "0.5", "5e-1", 0.3500000007787229, 5e-324])
def test_prices_from_0_to_1_come_out_bit_for_bit(value: Any) -> None:
    assert bits(read(price=value).price) == bits(float(value))


@pytest.mark.parametrize("value", [1, 2**53 + 1, MAX_RAW - 1, MAX_RAW])
def test_shares_are_exact_from_1_to_2_to_the_63_minus_1(value: int) -> None:
    assert read(shares=value, shares_normalized=...).shares_raw == value
    assert read(shares=str(value), shares_normalized=...).shares_raw == value


def test_sizes_one_unit_apart_agree() -> None:
    assert read(shares=5_000_001).shares_raw == 5_000_001
    assert read(shares=4_999_999).shares_normalized == 5.0
    assert read(shares=5_000_001, shares_normalized="5.0").shares_raw == 5_000_001


def test_above_2_to_the_53_sizes_agree_as_closely_as_a_double_can_say() -> None:
    for raw in (2**53 + 1, 2**60 + 77, MAX_RAW - 1024, MAX_RAW):
        assert read(shares=raw, shares_normalized=raw / 1_000_000).shares_raw == raw


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [(7, 7), (7.0, 7), ("7", 7), ("0x21e", 542), ("0X1F".lower(), 31), (0, 0), (MAX_RAW, MAX_RAW), ("", None)],
)
def test_log_index_and_block_number_may_be_number_text_or_hexadecimal(given_value: Any, kept: int | None) -> None:
    assert read(log_index=given_value).log_index == kept
    assert read(block_number=given_value).block_number == kept


def test_a_token_id_may_be_a_number_of_78_digits() -> None:
    assert read(token_id=10**77).token_id == "1" + "0" * 77
    assert read(token_id="0").token_id == "0"


def test_unknown_fields_are_kept_exactly_as_received() -> None:
    big, long = str(10**77), "0.1000000000000000055511151231257827"
    unknown = f'"fee":{long},"big":{big},"nested":{{"b":[1, 2.50],"a":null}},"text":"\\u00e9 \\u0000"'
    raw = written()[:-1] + b"," + unknown.encode() + b"}"
    kept = read_order(raw, None, NOW).extra_fields
    assert kept == f'{{"big":{big},"fee":{long},"nested":{{"b":[1, 2.50],"a":null}},"text":"\\u00e9 \\u0000"}}'


def test_an_unknown_field_that_is_null_is_kept_too() -> None:
    assert read(fee_usd=None).extra_fields == '{"fee_usd":null}'


def test_of_a_field_given_twice_the_last_counts() -> None:
    raw = written()[:-1] + b',"price":0.25,"fee":1,"fee":2}'
    row = read_order(raw, None, NOW)
    assert (row.price, row.extra_fields) == (0.25, '{"fee":2}')


@pytest.mark.parametrize(("text", "answer"), [(WALLET, True), (WALLET.upper(), False), ("", False), (TX, False)])
def test_is_wallet_takes_lower_case_addresses_only(text: str, answer: bool) -> None:
    assert is_wallet(text) is answer


def assert_in_range(row: OrderRow) -> None:
    assert is_wallet(row.wallet_address)
    assert len(row.tx_hash) == 66
    assert row.tx_hash == row.tx_hash.lower()
    assert row.order_hash is None or len(row.order_hash) == 66
    assert EARLIEST <= row.traded_at <= NOW + timedelta(days=1)
    assert row.side in ("BUY", "SELL")
    assert row.token_id.isascii()
    assert row.token_id.isdigit()
    assert 0 <= row.price <= 1
    assert math.isfinite(row.shares_normalized)
    assert row.shares_normalized > 0
    assert row.shares_raw is None or 1 <= row.shares_raw <= MAX_RAW
    for number in (row.log_index, row.block_number):
        assert number is None or 0 <= number <= MAX_RAW
    for text in (row.title, row.market_slug, row.token_label, row.record_id):
        assert text is None or isinstance(text, str)
    assert row.extra_fields is None or isinstance(json.loads(row.extra_fields), dict)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["0x", TX, WALLET, WALLET.upper(), "NaN", "1e400", "-0", "0x1f", "1" * 78, 2**63, SECOND * 1000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(sorted([*GOOD, "id"])) | st.text(max_size=8)


@given(record=st.dictionaries(names, values, max_size=18), wallet=st.sampled_from([None, WALLET]))
def test_any_object_is_a_row_in_range_or_breaks_a_known_rule(record: dict[str, Any], wallet: str | None) -> None:
    check(json.dumps(record).encode(), wallet)


@given(changes=st.dictionaries(names, values | st.just(...), max_size=4), wallet=st.sampled_from([None, WALLET]))
def test_a_good_record_with_changes_is_a_row_in_range_or_breaks_a_known_rule(
    changes: dict[str, Any], wallet: str | None
) -> None:
    check(written(**changes), wallet)


@given(place=st.integers(0, 10_000), junk=st.binary(max_size=4))
def test_a_good_record_with_damaged_bytes_is_a_row_in_range_or_breaks_a_known_rule(place: int, junk: bytes) -> None:
    raw = written()
    place %= len(raw)
    check(raw[:place] + junk + raw[place + len(junk) :], None)


@given(st.binary(max_size=40))
def test_any_bytes_break_a_known_rule(raw: bytes) -> None:
    assert reason(raw) in RULES


def check(raw: bytes, wallet: str | None) -> None:
    try:
        row = read_order(raw, wallet, NOW)
    except BrokenRule as rule:
        assert rule.reason in RULES
        return
    assert_in_range(row)


@given(price=st.floats(0, 1), size=st.floats(1e-6, 9e12))
def test_doubles_come_out_bit_for_bit(price: float, size: float) -> None:
    row = read(price=price, shares=..., shares_normalized=size)
    assert bits(row.price) == bits(price)
    assert bits(row.shares_normalized) == bits(size)
    as_text = read(price=repr(price), shares=..., shares_normalized=repr(size))
    assert bits(as_text.price) == bits(price)
    assert bits(as_text.shares_normalized) == bits(size)
