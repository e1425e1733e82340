"""Promise: the simulator's node tells of the same fills as its order API, and refuses and errs as real ones do."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from runner_tests.chain import ORDER_FILLED, call, fill_of, logs, padded, post
from runner_tests.support import UNTIL, Running
from simulator.blocks import block_of, time_of


@pytest.mark.parametrize("until", [UNTIL, "2026-08-31T00:00:00Z"], ids=["first exchanges", "later exchanges"])
def test_each_fill_of_the_order_api_is_a_log_and_the_other_way_round(start: Callable[..., Running], until: str) -> None:
    node = start("--wallets", 4, "--fills", 300, "--until", until, "--twice-each", 10)
    orders = node.get("/polymarket/orders", {"limit": 1000}).json["orders"]
    wallets = sorted({order["user"] for order in orders})
    found = [fill_of(log) for log in logs(node, topics=[ORDER_FILLED, None, [padded(wallet) for wallet in wallets]])]
    keys = [(fill["block_number"], fill["log_index"]) for fill in found]
    assert keys == sorted(set(keys))
    whole = [order for order in orders if "log_index" in order]
    assert len(found) == len(orders) == 300 > len(whole) > 200
    by_place = dict(zip(keys, found, strict=True))
    assert all(int(log["blockTimestamp"], 16) == time_of(int(log["blockNumber"], 16)) for log in logs(node))
    for order in whole:
        fill = by_place[order["block_number"], order["log_index"]]
        assert fill == {name: order[name] for name in fill}
    short = {(order["user"], order["tx_hash"], order["order_hash"], order["shares"]) for order in orders}
    assert short == {(fill["user"], fill["tx_hash"], fill["order_hash"], fill["shares"]) for fill in found}
    assert len({(fill["user"], fill["tx_hash"], fill["order_hash"]) for fill in found}) < 300, "some orders fill twice"
    # Without a filter there are the others, too; an empty list at a position is none.
    everybody = logs(node, topics=[ORDER_FILLED, None, []])
    assert len(everybody) == 600
    assert logs(node, topics=[[ORDER_FILLED[0][:-1] + "0"]]) == []
    assert logs(node, address="0x" + "9" * 40) == []


def test_blocks_are_uneven_and_each_second_of_a_fill_is_a_blocks(start: Callable[..., Running]) -> None:
    for at in range(1_769_200_000, 1_769_900_000, 7_001):
        number = block_of(at)
        assert time_of(number) <= at < time_of(number + 1) or time_of(number) - at <= 1
    steps = {time_of(number + 1) - time_of(number) for number in range(82_100_000, 82_300_000)}
    assert steps >= {1, 2}
    node = start("--wallets", 1, "--fills", 10, "--until", UNTIL, "--rpc", "finality=5")
    head = call(node, "eth_getBlockByNumber", "latest", False)
    assert head["number"] == call(node, "eth_blockNumber")
    parent = call(node, "eth_getBlockByNumber", hex(int(head["number"], 16) - 1), False)
    assert (parent["hash"], call(node, "eth_chainId")) == (head["parentHash"], "0x89")
    finalized = call(node, "eth_getBlockByNumber", "finalized", False)
    assert int(head["number"], 16) - int(finalized["number"], 16) == 5
    assert call(node, "eth_getBlockByNumber", hex(2**40), False) is None
    # A batch is answered as a whole, and what is wrong in it is wrong alone.
    status, answers = post(node, [{"id": 1, "method": "eth_blockNumber"}, {"id": 2, "method": "eth_mine"}])
    assert (status, answers[0]["result"], answers[1]["error"]["code"]) == (200, head["number"], -32601)


@pytest.mark.parametrize(
    ("settings", "status", "code", "words"),
    [
        (("style=alchemy", "max-blocks=10"), 400, -32600, "up to a 10 block range.*should work: \\[0x1, 0xa\\]"),
        (("style=quicknode", "max-blocks=10000"), 413, -32614, "limited to a 10,000 range"),
        (("style=infura", "max-results=50"), 200, -32005, "more than 50 results. Try with this block range \\[0x1, "),
        (("style=publicnode", "keeps=1000"), 403, -32602, "Archive requests"),
        (("keeps=1000",), 200, 4444, "pruned"),
    ],
)
def test_a_node_refuses_in_the_words_of_its_provider(
    start: Callable[..., Running], settings: tuple[str, ...], status: int, code: int, words: str
) -> None:
    node = start("--wallets", 1, "--fills", 100, "--until", UNTIL, *(f"--rpc={setting}" for setting in settings))
    wanted = {"fromBlock": "0x1", "toBlock": "latest", "topics": [ORDER_FILLED]}
    got, answer = post(node, {"id": 1, "method": "eth_getLogs", "params": [wanted]})
    assert (got, answer["error"]["code"]) == (status, code)
    assert re.search(words, answer["error"]["message"])


def test_a_reorganisation_moves_and_drops_what_was_in_its_blocks_and_nothing_else(
    start: Callable[..., Running],
) -> None:
    node = start("--wallets", 3, "--fills", 2000, "--days", 1, "--until", UNTIL, "--head", 100)
    before = [fill_of(log) for log in logs(node)]
    head = int(call(node, "eth_blockNumber"), 16)
    hashes = [call(node, "eth_getBlockByNumber", hex(head - back), False)["hash"] for back in (5_000, 4_999, 0)]
    assert post(node, None, "/chain/reorganise?depth=5000&salt=4")[1] == {"first": head - 4_999}
    now = [call(node, "eth_getBlockByNumber", hex(head - back), False)["hash"] for back in (5_000, 4_999, 0)]
    assert [one == two for one, two in zip(hashes, now, strict=True)] == [True, False, False]
    after = [fill_of(log) for log in logs(node)]
    old = [fill for fill in before if fill["block_number"] <= head - 5_000]
    assert [fill for fill in after if fill["block_number"] <= head - 5_000] == old
    place = {(fill["order_hash"], fill["tx_hash"]): fill["block_number"] for fill in after}
    touched = [fill for fill in before if fill["block_number"] > head - 5_000]
    fates = [place.get((fill["order_hash"], fill["tx_hash"])) for fill in touched]
    assert None in fates
    assert any(fate == fill["block_number"] for fate, fill in zip(fates, touched, strict=True))
    assert any(fate and fate > fill["block_number"] for fate, fill in zip(fates, touched, strict=True))
    assert post(node, None, "/chain/grow?blocks=100")[1] == {"head": head + 100}
