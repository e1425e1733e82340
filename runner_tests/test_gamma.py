"""Gamma's two dialects against real servers: the same records by cursor and by the older lists, or an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UpstreamError, UsageError
from runner.settings import load as load_settings
from runner.sources import gamma
from runner_tests.support import UNTIL, HttpAnswer, Running, launch, server, stop

UNKNOWN = "0x" + "0" * 64
IDS = [f"0x{number:064x}" for number in range(1, 41)]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def world() -> Iterator[Running]:
    running = launch("--wallets", 3, "--fills", 150, "--until", UNTIL)
    yield running
    stop(running)


def look_up(url: str, kind: str, *portions: list[str], lists: str = "auto") -> list[dict[str, bytes]]:
    """What Gamma has of each portion, asked one after the other."""
    settings = load_settings(gamma_base_url=url, requests_per_second=1000, request_attempts=1)

    async def run() -> list[dict[str, bytes]]:
        async with gamma.client(settings) as http:
            asked = gamma.Gamma(http, lists)
            return [await (asked.markets(names) if kind == "markets" else asked.events(names)) for names in portions]

    return asyncio.run(run())


def known(running: Running, kind: str) -> dict[str, Any]:
    """Name → record, open and closed, from the older list."""
    found = {}
    for closed in ("false", "true"):
        for record in running.get(f"/{kind}", {"closed": closed, "limit": 100}).json:
            found[record["conditionId"].lower() if kind == "markets" else record["slug"]] = record
    return found


def requests(running: Running) -> dict[str, int]:
    """Path → how often it was asked."""
    found = running.get("/stats").json["requests"]
    return {path.removeprefix("/v1"): sum(by_status.values()) for path, by_status in found.items()}


@pytest.mark.parametrize("lists", ["auto", "keyset", "legacy"])
def test_open_and_closed_markets_are_found_and_what_nobody_has_is_left_out(world: Running, lists: str) -> None:
    markets = known(world, "markets")
    assert {market["closed"] for market in markets.values()} == {True, False}
    before = requests(world)
    (found,) = look_up(world.ready["url"], "markets", [*markets, UNKNOWN], lists=lists)
    assert {name: json.loads(raw) for name, raw in found.items()} == markets
    asked = {path for path, count in requests(world).items() if count > before.get(path, 0)}
    assert asked == {"/markets" if lists == "legacy" else "/markets/keyset"}


@pytest.mark.parametrize("lists", ["auto", "keyset", "legacy"])
def test_events_are_found_by_slug_and_come_without_their_markets(world: Running, lists: str) -> None:
    events = known(world, "events")
    (found,) = look_up(world.ready["url"], "events", [*events, "no-such-event"], lists=lists)
    for event in events.values():
        assert event.pop("markets")
    assert {name: json.loads(raw) for name, raw in found.items()} == events


def test_where_gamma_has_no_keyset_the_older_lists_are_asked_and_it_is_not_tried_again(
    start: Callable[..., Running],
) -> None:
    running = start("--wallets", 2, "--fills", 60, "--until", UNTIL, "--fault", "status:404@keyset")
    markets, events = known(running, "markets"), known(running, "events")
    first, second = look_up(running.ready["url"], "markets", list(markets), [UNKNOWN])
    (found,) = look_up(running.ready["url"], "events", list(events))
    assert (first.keys(), second, found.keys()) == (markets.keys(), {}, events.keys())
    asked = requests(running)
    assert (asked["/markets/keyset"], asked["/events/keyset"]) == (1, 1)
    with pytest.raises(UsageError, match="has no /markets/keyset"):
        look_up(running.ready["url"], "markets", [UNKNOWN], lists="keyset")


def in_pages(records: list[dict[str, Any]], sizes: Iterator[int] | list[int]) -> Callable[..., HttpAnswer]:
    """A keyset list of open markets that is cut into pages of these sizes; what is left is the last page."""
    pages = []
    rest = list(records)
    for size in sizes:
        pages.append(rest[:size])
        rest = rest[size:]
    pages.append(rest)

    def respond(_path: str, query: dict[str, str]) -> HttpAnswer:
        assert "cursor" not in query and query["limit"] == "100"
        number = int(query.get("after_cursor", "0"))
        body: dict[str, Any] = {"markets": pages[number] if query["closed"] == "false" else []}
        if number + 1 < len(pages) and query["closed"] == "false":
            body["next_cursor"] = str(number + 1)
        return 200, {}, json.dumps(body).encode()

    return respond


@given(st.lists(st.integers(1, 9), max_size=8).filter(lambda sizes: sum(sizes) <= len(IDS)))
def test_however_it_is_cut_into_pages_all_of_it_is_found(sizes: list[int]) -> None:
    with server(in_pages([{"conditionId": name} for name in IDS], sizes)) as (url, _):
        (found,) = look_up(url, "markets", IDS)
    assert list(found) == IDS


def keyset(*names: str, cursor: str | None) -> bytes:
    return json.dumps({"markets": [{"conditionId": name} for name in names], "next_cursor": cursor}).encode()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([keyset(IDS[0], cursor="a"), keyset(IDS[1], cursor="a")], "gave the same cursor of /markets/keyset twice"),
        ([keyset(IDS[0], cursor="a"), keyset(IDS[0], cursor="b")], "gave the same page of markets twice"),
        ([keyset(cursor="a")], "gave an empty page of /markets/keyset and says that there is more"),
        ([keyset(IDS[0], UNKNOWN, cursor=None)], f"gave another one, {UNKNOWN}: it does not look at condition_ids"),
        ([b"{}"], "in a shape that was not expected"),
        ([b"[]"], "in a shape that was not expected"),
        ([b'{"markets":[{"id":"1"}]}'], "in a shape that was not expected"),
        ([b'{"markets":[5]}'], "in a shape that was not expected"),
    ],
)
def test_what_is_no_walk_to_the_end_is_an_error_and_not_an_unknown_market(answers: list[bytes], message: str) -> None:
    coming = iter(answers)
    with server(lambda *_: (200, {}, next(coming))) as (url, _), pytest.raises(UpstreamError, match=message):
        look_up(url, "markets", IDS)


@pytest.mark.parametrize("body", [b"{}", b'{"markets":[]}', b'[{"id":"1"}]', b"[5]"])
def test_the_older_list_in_another_shape_is_an_error_too(body: bytes) -> None:
    with server(lambda *_: (200, {}, body)) as (url, _), pytest.raises(UpstreamError, match="was not expected"):
        look_up(url, "markets", IDS, lists="legacy")


def test_a_market_is_handed_on_exactly_as_it_was_received() -> None:
    record = b'{"conditionId": "' + IDS[0].encode() + b'" ,"volume":0.3500000007787229, "text":"\\u00e9"}'
    with server(lambda *_: (200, {}, b'{"markets":[' + record + b"]}")) as (url, _):
        assert look_up(url, "markets", [IDS[0]]) == [{IDS[0]: record}]
