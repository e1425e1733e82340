"""Promise: whatever a node refuses, leaves out or lags behind, all logs of a range come, or it is said why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from runner import settings as runner_settings
from runner.errors import KeyRefused, Unavailable, UpstreamError, UsageError
from runner.sources.exchanges import known_exchanges
from runner.sources.http import Budget
from runner.sources.polygon import LogFilter, Nodes
from runner.sources.ranges import Spans
from runner_tests.support import UNTIL, Running, server
from simulator.blocks import block_of, time_of

WORLD = ("--wallets", 3, "--fills", 600, "--days", 2, "--until", UNTIL)
HEAD = block_of(1_769_817_600)
Result = TypeVar("Result")
EVERYBODY = LogFilter(tuple(known_exchanges().values()), ())


def ask(
    urls: list[str], work: Callable[[Nodes], Awaitable[Result]], monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[Result, Nodes]:
    """Does some work with nodes at these addresses."""
    monkeypatch.setenv("POLYTRADES_POLYGON_RPC_URLS", " ".join(urls))
    limits = changes.pop("limits", None)
    budget = changes.pop("budget", None)
    quick = {"requests_per_second": 1000, "request_attempts": 2, "request_timeout_seconds": 20}
    settings = runner_settings.load(source="polygon", **quick | changes)

    async def run() -> tuple[Result, Nodes]:
        async with Nodes(settings, budget, limits) as nodes:
            return await work(nodes), nodes

    return asyncio.run(run())


async def everything(nodes: Nodes, first: int = HEAD - 150_000, last: int = HEAD) -> list[tuple[str, str]]:
    """Block and index of each log of a range, which is read to its beginning."""
    found: list[tuple[str, str]] = []
    while last >= first:
        answer = await nodes.logs(EVERYBODY, first, last)
        assert first <= answer.first <= answer.last == last
        found = [(log["blockNumber"], log["logIndex"]) for log in json.loads(answer.logs)] + found
        last = answer.first - 1
    return found


def url(running: Running) -> str:
    return str(running.ready["url"]) + "/rpc"


@pytest.fixture(scope="module")
def whole(start_module: Callable[..., Running]) -> tuple[Running, list[tuple[str, str]]]:
    """A node without limits, and all that it has."""
    running = start_module(*WORLD)
    with pytest.MonkeyPatch.context() as patch:
        found, nodes = ask([url(running)], everything, patch, polygon_block_range=1_000_000)
    assert nodes.requests == 1
    assert len(found) == len(set(found)) == 1200
    return running, found


@pytest.mark.parametrize(
    ("limits", "requests", "learned"),
    [
        (("style=alchemy", "max-blocks=2000"), 90, 2_000),
        (("style=quicknode", "max-blocks=10000"), 30, 10_000),
        (("style=infura", "max-results=300"), 80, None),
        (("max-results=60", "batches=0"), 500, None),
    ],
)
def test_ranges_find_a_nodes_limit_and_it_is_remembered(
    start: Callable[..., Running],
    whole: tuple[Running, list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[str, ...],
    requests: int,
    learned: int | None,
) -> None:
    node = start(*WORLD, *(f"--rpc={limit}" for limit in limits))
    found, nodes = ask([url(node)], everything, monkeypatch, polygon_block_range=1_000_000)
    assert found == whole[1]
    assert nodes.requests <= requests
    [(place, blocks)] = nodes.learned().items()
    assert place == (f"127.0.0.1:{node.ready['port']}", "everybody")
    assert blocks == learned or learned is None
    before = node.get("/stats").json["total"]
    again, nodes = ask([url(node)], everything, monkeypatch, limits={place: blocks})
    assert again == whole[1]
    if learned:
        at_least = -(-150_001 // learned)
        assert node.get("/stats").json["total"] - before in (at_least, at_least + 1), "more was tried once, if ever"


def test_what_one_node_cannot_give_another_does(
    start: Callable[..., Running], whole: tuple[Running, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = start(*WORLD, "--rpc", "keeps=20000", "--rpc", "style=publicnode")
    behind = start(*WORLD, "--rpc", "behind=3000")
    dead = "http://127.0.0.1:9/v2/a-secret-key"
    found, _ = ask([dead, url(pruned), url(behind), url(whole[0])], everything, monkeypatch)
    assert found == whole[1]
    assert pruned.get("/stats").json["total"] > 5, "what it has is asked of it"

    # Alone each says why it cannot.
    with pytest.raises(UpstreamError, match=r"no blocks so old.*archive node") as refused:
        ask([url(pruned)], everything, monkeypatch)
    assert not isinstance(refused.value, Unavailable)
    with pytest.raises(Unavailable, match="no such block yet"):
        ask([url(behind)], everything, monkeypatch)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 .*Connection refused") as unreachable:
        ask([dead], everything, monkeypatch)
    assert "secret" not in str(unreachable.value)


def test_a_block_is_found_by_its_time_with_few_requests(
    whole: tuple[Running, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(nodes: Nodes) -> None:
        head, is_final = await nodes.head("auto")
        assert (is_final, head.number) == (True, HEAD - 8)
        for at in (1_769_472_000, 1_769_472_001, 1_700_000_000, head.time, 1_612_345_678):
            block = await nodes.block_at(at, 33_605_403, head)
            assert time_of(block) >= at > time_of(block - 1) or block == 33_605_403
        assert await nodes.block_at(head.time + 1, 33_605_403, head) == head.number + 1
        latest, is_final = await nodes.head("latest")
        assert (is_final, latest.number) == (False, HEAD)

    _, nodes = ask([url(whole[0])], find, monkeypatch)
    assert nodes.requests < 60


def test_a_wrong_address_key_or_chain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "/key": (401, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Must be authenticated!"}}'),
        "/other": (200, b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'),
        "/page": (200, b"<html>"),
        "/busy": (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":429,"message":"compute units per second capacity"}}'),
    }

    async def check(nodes: Nodes) -> None:
        await nodes.check_chain()

    with server(lambda path, _: (answers[path][0], {}, answers[path][1])) as (base, _):
        with pytest.raises(KeyRefused, match="valid key"):
            ask([f"{base}/key"], check, monkeypatch)
        with pytest.raises(UsageError, match="chain 1; Polygon is chain 137"):
            ask([f"{base}/other"], check, monkeypatch)
        with pytest.raises(UpstreamError, match="HTML"):
            ask([f"{base}/page"], check, monkeypatch)
        with pytest.raises(Unavailable, match="asked too often"):
            ask([f"{base}/busy"], check, monkeypatch, request_attempts=1)
    monkeypatch.delenv("POLYTRADES_POLYGON_RPC_URLS")
    with pytest.raises(UsageError, match="set POLYTRADES_POLYGON_RPC_URLS"):
        Nodes(runner_settings.load())
    with pytest.raises(UsageError, match="http"):
        ask(["wss://node.example.com"], check, monkeypatch)


def test_a_run_sends_no_more_requests_than_it_may(
    whole: tuple[Running, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole[0].get("/stats").json["total"]
    with pytest.raises(UpstreamError, match="All 3 requests"):
        ask([url(whole[0])], everything, monkeypatch, budget=Budget(3), polygon_block_range=10)
    assert whole[0].get("/stats").json["total"] - before == 3


def test_a_limit_of_blocks_is_never_passed_again_and_one_of_results_is_tried_again_later() -> None:
    named = Spans(2_000, {})
    named.refused("wallets", 2_000, None, 500)
    for _ in range(100):
        named.worked("wallets", named.of("wallets"))
    assert named.of("wallets") == 500
    dense = Spans(2_000, {})
    dense.refused("everybody", 2_000, (1, 300), None)
    assert dense.of("everybody") == 300
    refused = 0
    for _ in range(1_000):
        if dense.of("everybody") > 1_000:
            dense.refused("everybody", dense.of("everybody"))
            refused += 1
        else:
            dense.worked("everybody", dense.of("everybody"))
    assert dense.of("everybody") >= 500
    assert refused < 20, "where more keeps being refused, it is tried seldom"
    assert (dense.of("wallets"), dense.is_known("wallets")) == (2_000, False)
