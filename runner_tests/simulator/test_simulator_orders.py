"""The order endpoint: paging, bounds, refusals, over a real socket."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner_tests.support import Running

ORDERS = "/polymarket/orders"
OLD_FIELDS = {
    "token_id", "side", "market_slug", "condition_id", "shares", "shares_normalized", "price", "tx_hash", "title",
    "timestamp", "order_hash", "user",
}  # fmt: skip


def key(order: dict[str, Any]) -> tuple[str, str, str]:
    return order["user"], order["tx_hash"], order["order_hash"]


def fills_of(world: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in world.ready["fills_file"].read_text().splitlines()]


def by_key(orders: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {key(order): order for order in orders}


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_paging_reaches_every_record_once_and_the_total_is_right(world: Running, limit: int) -> None:
    pages = world.walk(limit=limit)
    orders = [order for page in pages for order in page["orders"]]
    assert len(orders) == len(by_key(orders)) == 400
    assert by_key(orders) == by_key(fills_of(world))
    assert {page["pagination"]["total"] for page in pages} == {400}
    times = [order["timestamp"] for order in orders]
    assert times == sorted(times, reverse=True)


def test_the_wallets_together_have_every_record(world: Running) -> None:
    header, *wallets = world.ready["wallets_file"].read_text().splitlines()
    assert header == "wallet_address" and len(wallets) == 5
    seen: list[dict[str, Any]] = []
    for wallet in wallets:
        orders = [order for page in world.walk(user=wallet, limit=50) for order in page["orders"]]
        assert {order["user"] for order in orders} == {wallet}
        seen += orders
    assert by_key(seen) == by_key(fills_of(world))


def test_a_wallet_in_checksum_case_is_the_same_wallet(world: Running) -> None:
    wallet = fills_of(world)[0]["user"]
    upper = "0x" + wallet[2:].upper()
    assert world.get(ORDERS, {"user": upper}).body == world.get(ORDERS, {"user": wallet}).body
    assert world.get(ORDERS, {"user": "0x" + "0" * 40}).json["pagination"]["total"] == 0


def test_both_time_bounds_are_inclusive(world: Running) -> None:
    times = sorted({order["timestamp"] for order in fills_of(world)})
    start, end = times[10], times[-10]
    expected = by_key([order for order in fills_of(world) if start <= order["timestamp"] <= end])
    orders = [order for page in world.walk(start_time=start, end_time=end, limit=33) for order in page["orders"]]
    assert by_key(orders) == expected
    assert {start, end} <= {order["timestamp"] for order in orders}
    inside = world.get(ORDERS, {"start_time": start + 1, "end_time": end - 1}).json["pagination"]["total"]
    assert inside < len(expected)


def test_a_second_with_many_fills_is_walked_through(world: Running) -> None:
    counts: dict[int, int] = {}
    for order in fills_of(world):
        counts[order["timestamp"]] = counts.get(order["timestamp"], 0) + 1
    busiest = max(counts, key=lambda second: counts[second])
    assert counts[busiest] > 1
    pages = world.walk(start_time=busiest, end_time=busiest + 1, limit=1)
    orders = [order for page in pages for order in page["orders"] if order["timestamp"] == busiest]
    assert len(by_key(orders)) == len(orders) == counts[busiest]


@pytest.mark.parametrize("name", ["market_slug", "condition_id", "token_id"])
def test_a_market_filter_selects_exactly_its_records(world: Running, name: str) -> None:
    fills = fills_of(world)
    value, wallet = fills[0][name], fills[0]["user"]
    orders = [order for page in world.walk(**{name: value}, limit=10) for order in page["orders"]]
    assert by_key(orders) == by_key([order for order in fills if order[name] == value])
    orders = [order for page in world.walk(**{name: value}, user=wallet) for order in page["orders"]]
    assert by_key(orders) == by_key([o for o in fills if o[name] == value and o["user"] == wallet])


def test_an_offset_still_works(world: Running) -> None:
    pages = [world.get(ORDERS, {"limit": 100, "offset": offset}).json for offset in (0, 100, 200, 300, 400)]
    orders = [order for page in pages for order in page["orders"]]
    assert by_key(orders) == by_key(fills_of(world))
    assert [page["pagination"]["offset"] for page in pages] == [0, 100, 200, 300, 400]
    assert pages[-1]["orders"] == [] and not pages[-1]["pagination"]["has_more"]


@pytest.mark.parametrize(
    ("params", "status", "error"),
    [
        ({"limit": 0}, 400, "Invalid limit parameter"),
        ({"limit": 1001}, 400, "Invalid limit parameter"),
        ({"limit": "ten"}, 400, "Invalid limit parameter"),
        ({"start_time": "yesterday"}, 400, "Invalid start_time parameter"),
        ({"end_time": "1.5"}, 400, "Invalid end_time parameter"),
        ({"start_time": 1769466633, "end_time": 1769466633}, 400, "Invalid time range"),
        ({"start_time": 1769466634, "end_time": 1769466633}, 400, "Invalid time range"),
        ({"user": ""}, 400, "Missing required filter parameter"),
        ({"market_slug": "a", "token_id": "1"}, 400, "Invalid filter combination"),
        ({"pagination_key": "no cursor"}, 400, "Invalid pagination key"),
        ({"pagination_key": "eyJhIjoxfQ=="}, 400, "Invalid pagination key"),
        ({"offset": -1}, 400, "Invalid offset parameter"),
        ({"offset": 10_001}, 401, "Offset deprecated"),
    ],
)
def test_a_wrong_request_is_refused_with_the_documented_body(
    world: Running, params: dict[str, Any], status: int, error: str
) -> None:
    answer = world.get(ORDERS, params)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert answer.json["message"]
    assert ("docs" in answer.json) == (status == 401)


def test_offset_ten_thousand_is_the_last_one_served(world: Running) -> None:
    assert world.get(ORDERS, {"offset": 10_000}).status == 200


@pytest.mark.parametrize("path", ["/polymarket/order", "/", "/v2/polymarket/orders", "/polymarket/orders/"])
def test_a_wrong_path_is_a_json_404(world: Running, path: str) -> None:
    answer = world.get(path)
    assert (answer.status, answer.json["error"]) == (404, "Not Found")


def test_the_same_answer_stands_at_the_root_and_below_v1(world: Running) -> None:
    for path in (ORDERS, "/polymarket/markets", "/polymarket/events", "/markets", "/events", "/markets/keyset"):
        assert world.get("/v1" + path).body == world.get(path).body


def test_large_answers_are_compressed_for_those_who_accept_it(world: Running) -> None:
    plain, packed = world.get(ORDERS), world.get(ORDERS, **{"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip" and len(packed.body) < len(plain.body)
    assert gzip.decompress(packed.body) == plain.body


def test_answers_fit_the_upstream_schema(world: Running, schema_of: Callable[[str], dict[str, Any]]) -> None:
    page = world.get(ORDERS, {"limit": 1000}).json
    jsonschema.validate(page, schema_of(ORDERS))
    described = set(schema_of(ORDERS)["properties"]["orders"]["items"]["properties"])
    shapes = {frozenset(order) for order in page["orders"]}
    assert shapes == {frozenset(described), frozenset(OLD_FIELDS)}


def test_a_key_is_asked_for_on_dome_paths_only(start: Callable[..., Running]) -> None:
    locked = start("--api-key", "s3cret", "--fills", "10")
    for path in (ORDERS, "/v1" + ORDERS, "/polymarket/markets", "/polymarket/events"):
        refused = locked.get(path)
        assert (refused.status, refused.json["error"]) == (401, "Unauthorized")
        assert locked.get(path, authorization="Bearer wrong").status == 401
        assert locked.get(path, authorization="Bearer s3cret").status == 200
        assert locked.get(path, **{"x-api-key": "s3cret"}).status == 200
    assert locked.get("/markets").status == locked.get("/events").status == 200


def test_requests_are_counted_by_path_and_status(start: Callable[..., Running]) -> None:
    fresh = start("--fills", "10")
    assert fresh.get("/healthz").json == {"ok": True}
    for params in ({}, {}, {"limit": 0}):
        fresh.get(ORDERS, params)
    fresh.get("/markets/1")
    expected = {ORDERS: {"200": 2, "400": 1}, "/markets/1": {"404": 1}}
    stats = fresh.get("/stats").json
    assert (stats["total"], stats["requests"]) == (4, expected)
