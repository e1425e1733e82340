"""The market and event endpoints, Dome-shaped and Gamma, of a synthetic world."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner_tests.support import Running

MARKETS, EVENTS = "/polymarket/markets", "/polymarket/events"


def dome(world: Running, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = world.get(path, params)
        assert answer.status == 200, answer.body
        found += answer.json[name]
        pagination = answer.json["pagination"]
        if not pagination["has_more"]:
            assert not pagination.get("pagination_key")
            return found
        params["pagination_key"] = pagination["pagination_key"]


def keyset(world: Running, name: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = world.get(f"/{name}/keyset", params).json
        found += page[name]
        if "next_cursor" not in page:
            return found
        params["after_cursor"] = page["next_cursor"]


def gamma(world: Running, name: str) -> list[dict[str, Any]]:
    return keyset(world, name) + keyset(world, name, closed="true")


@pytest.mark.parametrize("params", [{}, {"min_volume": 0}, {"limit": 7}, {"status": "open"}, {"status": "closed"}])
def test_dome_markets_are_paged_without_repeats(world: Running, params: dict[str, Any]) -> None:
    markets = dome(world, MARKETS, "markets", **params)
    total = world.get(MARKETS, params).json["pagination"]["total"]
    assert len({m["condition_id"] for m in markets}) == len(markets) == total
    everything = {m["condition_id"]: m for m in dome(world, MARKETS, "markets", limit=100)}
    assert len(everything) == world.ready["markets"]
    status = params.get("status")
    assert {m["condition_id"] for m in markets} == {
        condition for condition, m in everything.items() if status in (None, m["status"])
    }


def test_dome_market_filters_take_several_values(world: Running) -> None:
    first, second, *_ = dome(world, MARKETS, "markets", limit=100)
    for name, values in {
        "condition_id": [first["condition_id"], second["condition_id"]],
        "market_slug": [first["market_slug"], second["market_slug"]],
        "token_id": [first["side_a"]["id"], second["side_b"]["id"]],
    }.items():
        found = dome(world, MARKETS, "markets", **{name: values})
        assert {m["market_slug"] for m in found} == {first["market_slug"], second["market_slug"]}
    siblings = dome(world, MARKETS, "markets", event_slug=first["event_slug"])
    assert {m["event_slug"] for m in siblings} == {first["event_slug"]}
    assert all("sports" in m["tags"] for m in dome(world, MARKETS, "markets", tags="sports"))


@pytest.mark.parametrize(
    ("path", "params", "error"),
    [
        (MARKETS, {"limit": 101}, "Invalid limit parameter"),
        (MARKETS, {"search": "x"}, "Invalid search parameter"),
        (MARKETS, {"search": "bitcoin", "tags": "crypto"}, "Invalid query parameters"),
        (MARKETS, {"token_id": "0x12"}, "Invalid token_id parameter"),
        (MARKETS, {"token_id": list(range(101))}, "Invalid token_id parameter"),
        (MARKETS, {"pagination_key": "?"}, "Invalid pagination key"),
        (EVENTS, {"status": "half"}, "Invalid status parameter"),
        (EVENTS, {"limit": 0}, "Invalid limit parameter"),
    ],
)
def test_wrong_dome_requests_are_refused(world: Running, path: str, params: dict[str, Any], error: str) -> None:
    answer = world.get(path, params)
    assert (answer.status, answer.json["error"]) == (400, error)


def test_search_looks_into_titles(world: Running) -> None:
    found = world.get(MARKETS, {"search": "up or down", "limit": 100}).json["markets"]
    assert found and all("up or down" in m["title"].lower() for m in found)


def test_dome_events_group_the_markets_and_are_open_while_any_is(world: Running) -> None:
    events = dome(world, EVENTS, "events", include_markets="true")
    members = [m for event in events for m in event["markets"]]
    assert {m["condition_id"] for m in members} == {m["condition_id"] for m in dome(world, MARKETS, "markets")}
    for event in events:
        assert event["market_count"] == len(event["markets"])
        assert (event["status"] == "open") == any(m["status"] == "open" for m in event["markets"])
    assert {event["status"] for event in events} == {"open", "closed"}
    one = world.get(EVENTS, {"event_slug": events[0]["event_slug"]}).json["events"]
    assert len(one) == 1 and "markets" not in one[0]


def test_dome_answers_fit_the_upstream_schema(world: Running, schema_of: Callable[[str], dict[str, Any]]) -> None:
    schema = schema_of(MARKETS)
    # The file says string; every real closed market has an object.
    market = schema["properties"]["markets"]["items"]["properties"]
    market["winning_side"] = {"anyOf": [market["side_a"], {"type": "null"}]}
    for status in ("open", "closed"):
        page = world.get(MARKETS, {"limit": 100, "status": status}).json
        assert page["markets"]
        jsonschema.validate(page, schema)
    page = world.get(EVENTS, {"limit": 100, "include_markets": "true"}).json
    jsonschema.validate(page, schema_of(EVENTS))


def test_dome_markets_have_the_fields_and_types_of_real_ones(world: Running, data: Path) -> None:
    real = [json.loads(line) for line in (data / "dome" / "markets.ndjson").read_text().splitlines()]
    allowed = {name: {type(m[name]) for m in real} for name in real[0]}
    allowed["game_start_time"].add(type(None))
    for market in dome(world, MARKETS, "markets", limit=100):
        assert set(market) == set(allowed)
        for name, value in market.items():
            assert type(value) in allowed[name], (name, value)


def test_every_traded_token_belongs_to_a_dome_market_and_some_to_none_of_gamma(world: Running) -> None:
    fills = [json.loads(line) for line in world.ready["fills_file"].read_text().splitlines()]
    markets = {m["condition_id"]: m for m in dome(world, MARKETS, "markets", limit=100)}
    for fill in fills:
        market = markets[fill["condition_id"]]
        assert fill["token_id"] in (market["side_a"]["id"], market["side_b"]["id"])
    known = {m["conditionId"] for m in gamma(world, "markets")}
    assert known < set(markets)
    assert 0.05 < 1 - len(known) / len(markets) < 0.15


def test_gamma_and_dome_agree_on_what_they_share(world: Running) -> None:
    markets = {m["condition_id"]: m for m in dome(world, MARKETS, "markets", limit=100)}
    for market in gamma(world, "markets"):
        twin = markets[market["conditionId"]]
        assert market["slug"] == twin["market_slug"] and market["question"] == twin["title"]
        tokens, outcomes = json.loads(market["clobTokenIds"]), json.loads(market["outcomes"])
        assert tokens == [twin["side_a"]["id"], twin["side_b"]["id"]]
        assert outcomes == [twin["side_a"]["label"], twin["side_b"]["label"]]
        assert market["closed"] == (twin["status"] == "closed")
        assert market["negRisk"] == (twin["negative_risk_id"] is not None)
        prices = json.loads(market["outcomePrices"])
        if twin["winning_side"]:
            assert tokens[prices.index("1")] == twin["winning_side"]["id"]
        else:
            assert "1" not in prices
        assert market["events"][0]["slug"] == twin["event_slug"]


def test_gamma_markets_have_every_field_that_real_ones_always_have(world: Running, data: Path) -> None:
    real = [
        m
        for file in (data / "gamma" / "markets_pages").glob("*.json")
        for m in json.loads(file.read_bytes())["markets"]
    ]
    required = set.intersection(*(set(m) for m in real))
    types: dict[str, set[type]] = {}
    for market in real:
        for name, value in market.items():
            types.setdefault(name, set()).add(type(value))
    number = {int, float}
    inner = set.intersection(*(set(m["events"][0]) for m in real))
    synthetic = gamma(world, "markets")
    for market in synthetic:
        assert required <= set(market)
        assert inner <= set(market["events"][0])
        for name, value in market.items():
            wanted = types.get(name)
            assert wanted is None or type(value) in (wanted | number if wanted & number else wanted), (name, value)
    assert not all("endDate" in m for m in synthetic) and not all("volumeNum" in m for m in synthetic)


def test_closed_gamma_markets_only_come_on_request(world: Running) -> None:
    open_ones, closed = keyset(world, "markets"), keyset(world, "markets", closed="true")
    assert open_ones and closed
    assert not any(m["closed"] for m in open_ones) and all(m["closed"] for m in closed)
    assert all(m["closedTime"][10] == " " and m["closedTime"].endswith("+00") for m in closed)
    asked = {"condition_ids": [closed[0]["conditionId"], open_ones[0]["conditionId"]]}
    assert [m["id"] for m in world.get("/markets", asked).json] == [open_ones[0]["id"]]
    assert [m["id"] for m in world.get("/markets", asked | {"closed": "true"}).json] == [closed[0]["id"]]
    assert world.get("/markets", {"closed": "false"}).body == world.get("/markets").body


def test_gamma_events_carry_tags_and_markets(world: Running) -> None:
    events = gamma(world, "events")
    assert all(event["tags"] and event["markets"] for event in events)
    members = {m["id"]: m for event in events for m in event["markets"]}
    assert set(members) == {m["id"] for m in gamma(world, "markets")}
    assert any(len(event["markets"]) > 1 and event["negRisk"] for event in events)
    slugs = [event["slug"] for event in events if not event["closed"]][:2]
    assert {event["slug"] for event in world.get("/events", {"slug": slugs}).json} == set(slugs)
    ids = [event["id"] for event in events if event["closed"]][:2]
    assert {event["id"] for event in world.get("/events", {"id": ids, "closed": "true"}).json} == set(ids)


def test_gamma_lists_by_offset_and_by_key_agree(start: Callable[..., Running]) -> None:
    large = start("--fills", "2400")
    by_offset: list[dict[str, Any]] = []
    # A limit of 500 is cut to 100 without a word.
    while page := large.get("/markets", {"limit": 500, "offset": len(by_offset)}).json:
        assert len(page) <= 100
        by_offset += page
    assert len(by_offset) > 100
    assert by_offset == keyset(large, "markets", limit=37)


def test_gamma_refusals(world: Running) -> None:
    assert world.get("/markets", {"offset": 10_000}).json == []
    assert world.get("/markets", {"offset": 10_001}).status == 422
    assert world.get("/events", {"offset": 10_001}).status == 422
    assert world.get("/markets/keyset", {"offset": 0}).status == 422
    assert world.get("/markets", {"condition_ids": ["0x1"] * 101}).status == 422
    assert world.get("/markets/keyset", {"after_cursor": "x"}).status == 422
    assert world.get("/markets", {"closed": "maybe"}).status == 422
    for path in ("/markets/1", "/events/1", "/markets/slug/none", "/events/slug/none"):
        answer = world.get(path)
        assert (answer.status, answer.json) == (404, {"type": "not found error", "error": "id not found"})


def test_a_gamma_cursor_under_another_name_repeats_page_one(world: Running) -> None:
    first = world.get("/markets/keyset", {"limit": 5}).json
    again = world.get("/markets/keyset", {"limit": 5, "cursor": first["next_cursor"]}).json
    assert again == first


def test_single_gamma_records_are_found_open_or_closed(world: Running) -> None:
    for name in ("markets", "events"):
        for closed in ("false", "true"):
            record = world.get(f"/{name}", {"closed": closed, "limit": 1}).json[0]
            assert world.get(f"/{name}/{record['id']}").json == record
            assert world.get(f"/{name}/slug/{record['slug']}").json == record
