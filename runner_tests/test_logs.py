"""Promise: an OrderFilled log is read as what its event says, exactly; one that cannot be read costs no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UpstreamError
from runner.landing.logs import LogReader, Logs
from runner.sources.exchanges import known_exchanges

EXCHANGES = known_exchanges()
FIRST, NEG_RISK, LATER, LATER_NEG_RISK = list(EXCHANGES)[:4]
FAR = 10**9


def read(logs: list[dict[str, Any]], *wallets: str) -> Logs:
    return LogReader(EXCHANGES).read(json.dumps(logs).encode(), wallets, 0, FAR)


def rows(logs: Logs) -> list[dict[str, Any]]:
    columns = {**logs.columns, "seconds": logs.seconds}
    return [{name: column[place].as_py() for name, column in columns.items()} for place in range(len(logs))]


def receipt(file: Path, tx_hash: str) -> list[dict[str, Any]]:
    """The fills of a receipt whose authors left out where it stands: by their place in it."""
    topics = {exchange.topic for exchange in EXCHANGES.values()}
    return [
        {**log, "blockNumber": "0x64", "transactionHash": tx_hash, "logIndex": hex(place)}
        for place, log in enumerate(json.loads(file.read_bytes())["logs"])
        if log["topics"][0] in topics
    ]


def test_a_real_purchase_on_the_first_exchange(data: Path) -> None:
    # By hand: makerAssetId is 0, so it is a BUY; 0x716f10 = 7,434,000 given, 0x10e14a0 = 17,700,000 received; the fee
    # 0x1b0210 = 1,770,000 is in what the maker receives, which is shares.
    log = json.loads((data / "onchain" / "v1_log_order_filled_0x31d5dc.json").read_bytes())
    assert rows(read([log])) == [
        {
            "wallet_address": "0x00000003a358014c7c0e227483dbe01619871000",
            "tx_hash": "0x31d5dca405136cb4ed09bcf817d2b6c2ce1331b18d4b5738eae2e76f7e73e391",
            "order_hash": "0xcad66ce0a358cde360f7565f226a7749c1fa08648b57ec3ffd0bf6c0f8a46b8b",
            "side": "BUY",
            "token_id": "114856201873541567677341731370365137173235058495071385195611596664202155739948",
            "price": 0.42,
            "shares_normalized": 17.7,
            "shares_raw": 17_700_000,
            "usdc_raw": 7_434_000,
            "taker": "0xe55b90febea370d4611a4b0a9ff201183268b24e",
            "log_index": 1_357,
            "block_number": 81_344_785,
            "contract_address": FIRST,
            "is_removed": False,
            "fee_raw": 1_770_000,
            "fee_unit": "shares",
            "extra_fields": None,
            "seconds": 1_767_808_829,
        }
    ]


def test_a_real_mint_of_two_buyers_and_the_takers_own_leg(data: Path) -> None:
    # By hand: both makers buy one token at 0.33, the taker buys the other one at 0.67; shares are the same on both
    # sides and together cost a dollar each; only the taker pays, 0x5a32 = 23,090, in collateral.
    logs = json.loads((data / "onchain" / "v2_logs_one_tx_mint_0xc88f7c.json").read_bytes())
    maker, other, taker = rows(read(logs))
    assert [(row["side"], row["shares_raw"], row["usdc_raw"]) for row in (maker, other, taker)] == [
        ("BUY", 1_300_000, 429_000),
        ("BUY", 192_536, 63_537),
        ("BUY", 1_492_536, 999_999),
    ]
    assert maker["token_id"] == other["token_id"] != taker["token_id"]
    assert maker["taker"] == other["taker"] == taker["wallet_address"]
    assert taker["taker"] == taker["contract_address"] == LATER
    assert other["price"] == 63_537 / 192_536
    assert [(row["fee_raw"], row["fee_unit"]) for row in (maker, other, taker)] == [
        (0, "usdc"),
        (0, "usdc"),
        (23_090, "usdc"),
    ]
    assert {row["block_number"] for row in (maker, other, taker)} == {91_045_018}
    assert [row["log_index"] for row in (maker, other, taker)] == [693, 695, 699]


@pytest.mark.parametrize(
    ("file", "fills", "shares", "usdc", "side", "fee"),
    [
        ("v2_receipt_logs_buy_0x818b33.json", 2, 10_131_711, 9_999_998, "BUY", 3_900),
        ("v2_receipt_logs_sweep_0xfa65d9.json", 51, 645_000_000, 644_355_000, "SELL", 19_330),
    ],
)
def test_real_receipts_balance(data: Path, file: str, fills: int, shares: int, usdc: int, side: str, fee: int) -> None:
    """Among events of other kinds: all makers together gave what the taker took, and the taker alone pays the fee."""
    found = rows(read(receipt(data / "onchain" / file, "0x" + "1" * 64)))
    taker = [row for row in found if row["taker"] == LATER_NEG_RISK]
    makers = [row for row in found if row["taker"] != LATER_NEG_RISK]
    assert len(found) == fills == len({(row["wallet_address"], row["order_hash"]) for row in found})
    assert [(row["shares_raw"], row["usdc_raw"], row["side"], row["fee_raw"]) for row in taker] == [
        (shares, usdc, side, fee)
    ]
    assert (sum(row["shares_raw"] for row in makers), sum(row["usdc_raw"] for row in makers)) == (shares, usdc)
    assert {row["side"] for row in makers} == {"BUY", "SELL"} - {side}
    assert {row["taker"] for row in makers} == {taker[0]["wallet_address"]}
    assert all(row["fee_raw"] == 0 for row in makers)
    one = rows(read(receipt(data / "onchain" / file, "0x" + "1" * 64), taker[0]["wallet_address"]))
    assert one == taker, "of a wallet that is asked for, and of nobody else"


def log_of(exchange: str, *words: int, **changes: Any) -> dict[str, Any]:
    topics = [EXCHANGES[exchange].topic, "0x" + "3" * 64, "0x" + "0" * 24 + "A" * 40, "0x" + "0" * 24 + "b" * 40]
    data = "0x" + "".join(f"{word:064x}" for word in words)
    place = {"blockNumber": "0x64", "transactionHash": "0x" + "D" * 64, "logIndex": "0x0"}
    return {"address": exchange, "topics": topics, "data": data, **place, **changes}


amounts = st.one_of(st.integers(1, 10**9), st.integers(1, 2**63 - 1))


@given(
    version=st.sampled_from([FIRST, LATER]), is_sell=st.booleans(), token=st.integers(1, 2**256 - 1), shares=amounts,
    data=st.data(), fee=st.integers(0, 2**63 - 1), builder=st.sampled_from([0, 17]),
)  # fmt: skip
def test_any_log_is_read_to_the_last_digit(
    version: str, is_sell: bool, token: int, shares: int, data: st.DataObject, fee: int, builder: int
) -> None:
    usdc = data.draw(st.integers(0, shares))
    given_and_received = (shares, usdc) if is_sell else (usdc, shares)
    if version == FIRST:
        words = ((token, 0) if is_sell else (0, token)) + given_and_received + (fee,)
    else:
        words = (int(is_sell), token, *given_and_received, fee, builder, 0)
    [row] = rows(read([log_of(version, *words)]))
    assert (row["side"], row["token_id"]) == ("SELL" if is_sell else "BUY", str(token))
    assert (row["shares_raw"], row["usdc_raw"], row["fee_raw"]) == (shares, usdc, fee)
    assert row["fee_unit"] == ("shares" if version == FIRST and not is_sell else "usdc")
    assert (row["price"], row["shares_normalized"]) == (usdc / shares, shares / 1_000_000)
    assert (row["wallet_address"], row["tx_hash"]) == ("0x" + "a" * 40, "0x" + "d" * 64)
    assert row["extra_fields"] == (f'{{"builder":"0x{17:064x}"}}' if version == LATER and builder else None)
    assert row["log_index"] == 0


def test_a_log_that_cannot_be_read_is_set_apart_with_its_reason() -> None:
    good = log_of(FIRST, 0, 5, 1, 2, 0)
    broken = {
        "bad_size": log_of(FIRST, 0, 5, 1, 2**63, 0),
        "bad_price": log_of(FIRST, 0, 5, 3, 2, 0),
        "bad_log": log_of(FIRST, 7, 5, 1, 2, 0),
    }
    found = read([good, *broken.values(), log_of(FIRST, 0, 5, 1), log_of(LATER, 2, 5, 1, 2, 0, 0, 0), {"address": 1}])
    assert len(found) == 1
    assert [log.rule.reason for log in found.broken] == [*broken, "bad_log", "bad_log", "bad_log"]
    [removed] = rows(read([{**good, "removed": True}]))
    assert removed["is_removed"]


def test_an_answer_to_another_question_is_none() -> None:
    foreign = {**log_of(FIRST, 0, 5, 1, 2, 0), "address": "0x" + "9" * 40}
    with pytest.raises(UpstreamError, match="does not look at the filter"):
        read([foreign])
    with pytest.raises(UpstreamError, match="does not look at the range"):
        LogReader(EXCHANGES).read(json.dumps([log_of(FIRST, 0, 5, 1, 2, 0)]).encode(), (), 101, FAR)
    assert len(read([])) == 0
