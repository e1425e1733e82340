"""Recorded files come out of the server exactly as they went in."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner_tests.support import Running

ORDERS = "/polymarket/orders"


def exact(text: str | bytes) -> Any:
    """Parse JSON so that 102, 102.0 and 1.02e2 are three different values."""
    return json.loads(text, parse_float=lambda number: ("float", number), parse_int=lambda number: ("int", number))


def served(running: Running, **params: Any) -> list[Any]:
    """Walk to the end, with every number as text."""
    found: list[Any] = []
    while True:
        answer = running.get(ORDERS, params)
        assert answer.status == 200
        found += exact(answer.body)["orders"]
        pagination = answer.json["pagination"]
        if not pagination["has_more"]:
            return found
        params["pagination_key"] = pagination["pagination_key"]


def canonical(records: list[Any]) -> list[str]:
    return sorted(json.dumps(record, sort_keys=True) for record in records)


def test_recorded_orders_are_served_value_for_value(start: Callable[..., Running], data: Path, tmp_path: Path) -> None:
    file, wallets, fills = data / "dome" / "orders.ndjson", tmp_path / "wallets.csv", tmp_path / "fills.ndjson"
    replay = start("--replay", file, "--write-wallets", wallets, "--write-fills", fills)
    lines = file.read_text().splitlines()
    assert replay.ready["fills"] == len(lines) == 200 and replay.ready["wallets"] == 3
    assert canonical(served(replay, limit=17)) == canonical([exact(line) for line in lines])
    by_key = {(r["tx_hash"], r["order_hash"]): r for r in map(json.loads, lines)}
    for order in replay.get(ORDERS, {"limit": 1000}).json["orders"]:
        real = by_key[order["tx_hash"], order["order_hash"]]
        assert struct.pack("d", order["price"]) == struct.pack("d", real["price"])
        for name, value in real.items():
            assert order[name] == value and type(order[name]) is type(value)
    assert fills.read_text().splitlines() == lines
    header, *users = wallets.read_text().splitlines()
    assert header == "wallet_address" and set(users) == {json.loads(line)["user"] for line in lines}
    per_wallet = [order for user in users for order in served(replay, user=user, limit=50)]
    assert canonical(per_wallet) == canonical([exact(line) for line in lines])
    bounds = sorted(json.loads(line)["timestamp"] for line in lines)[20:180:159]
    expected = [exact(line) for line in lines if bounds[0] <= json.loads(line)["timestamp"] <= bounds[1]]
    assert canonical(served(replay, start_time=bounds[0], end_time=bounds[1], limit=9)) == canonical(expected)


def test_odd_numbers_survive(start: Callable[..., Running], tmp_path: Path) -> None:
    numbers = ["0.30000000000000004", "1e400", "102.0", "102", "-0.0", "18446744073709551616", "1.50", "5e-324"]
    lines = [
        f'{{"user": "0xAb", "timestamp": {1_000 + n // 3}, "price": {number}, "new_field": [1, {{"a": null}}]}}'
        for n, number in enumerate(numbers)
    ]
    file = tmp_path / "odd.ndjson"
    file.write_text("\n".join(lines) + "\n\n")
    replay = start("--replay", file)
    assert canonical(served(replay, limit=1)) == canonical([exact(line) for line in lines])
    assert len(served(replay, user="0xab")) == len(numbers)


def test_every_wrapping_of_records_is_read(start: Callable[..., Running], tmp_path: Path) -> None:
    records = [{"user": "0x1", "timestamp": n, "tx_hash": f"0x{n}", "price": 0.1 * n} for n in range(1, 6)]
    files = {
        "array.json": json.dumps(records, indent=2),
        "page.json": json.dumps({"orders": records, "pagination": {"total": 5}}),
        "pages.json": json.dumps([{"orders": records[:2]}, {"orders": records[2:]}]),
        "lines.ndjson": "\n".join(map(json.dumps, records)),
        "one.json": json.dumps(records[0]),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    replay = start("--replay", *(tmp_path / name for name in files))
    assert replay.ready["fills"] == 21
    times = [order["timestamp"] for page in replay.walk(limit=4) for order in page["orders"]]
    assert sorted(times) == sorted([1, 2, 3, 4, 5] * 4 + [1])


def test_a_cursor_outlives_new_records(start: Callable[..., Running], tmp_path: Path) -> None:
    def lines(seconds: list[int]) -> str:
        made = [{"user": "0x1", "timestamp": s, "tx_hash": f"0x{s}-{n}"} for s in seconds for n in range(4)]
        return "\n".join(map(json.dumps, made))

    old, new = tmp_path / "old.ndjson", tmp_path / "new.ndjson"
    old.write_text(lines([10, 20, 30]))
    new.write_text(lines([5, 15, 35]))
    before, after = start("--replay", old), start("--replay", old, new)
    first = before.get(ORDERS, {"limit": 6}).json
    rest = {"limit": 1000, "pagination_key": first["pagination"]["pagination_key"]}
    expected, found = before.get(ORDERS, rest).json["orders"], after.get(ORDERS, rest).json["orders"]
    assert len(expected) == 6
    assert [order for order in found if order["timestamp"] in (10, 20, 30)] == expected


def test_recorded_dome_markets_are_served_with_derived_events(start: Callable[..., Running], data: Path) -> None:
    file = data / "dome" / "markets.ndjson"
    replay = start("--markets-replay", file)
    real = [exact(line) for line in file.read_text().splitlines()]
    found = exact(replay.get("/polymarket/markets", {"limit": 100}).body)["markets"]
    assert canonical(found) == canonical(real)
    events = replay.get("/polymarket/events", {"limit": 100, "include_markets": "true"}).json["events"]
    assert {event["event_slug"] for event in events} == {market["event_slug"] for market in real}
    assert sum(event["market_count"] for event in events) == len(real)
    assert replay.get(ORDERS).json["orders"] == [] and replay.get("/markets").json == []


def gamma(running: Running, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for closed in ("false", "true"):
        params = {"closed": closed, "limit": 100}
        while True:
            answer = running.get(f"/{name}/keyset", params)
            found |= {record["id"]: record for record in exact(answer.body)[name]}
            if "next_cursor" not in answer.json:
                break
            params["after_cursor"] = answer.json["next_cursor"]
    return found


def test_recorded_gamma_files_of_every_shape_are_recognised(start: Callable[..., Running], data: Path) -> None:
    folder = data / "gamma"
    pages = sorted((folder / "markets_pages").glob("*.json"))
    singles = [file for file in sorted((folder / "single").glob("*.json")) if "tags" not in file.name]
    collections = [folder / "markets_hugompt.json", folder / "markets_pmex_crypto_weather.json"]
    replay = start("--gamma-replay", *pages, *collections, *sorted((folder / "events").glob("*.json")), *singles)
    markets, events = gamma(replay, "markets"), gamma(replay, "events")
    recorded = [m for page in pages for m in exact(page.read_bytes())["markets"]]
    recorded += exact(collections[0].read_bytes())
    recorded += [exact(file.read_bytes()) for file in singles if "market" in file.name]
    assert len(recorded) > 155
    for market in recorded:
        # Two recordings of one market differ; the first one named is served.
        first = next(one for one in recorded if one["id"] == market["id"])
        assert canonical([markets[market["id"]]]) == canonical([first])
    event = exact((folder / "events" / "event_sports_partly_closed_nba-atl-lal.json").read_bytes())
    event = event[0] if isinstance(event, list) else event
    assert canonical([events[event["id"]]]) == canonical([event])
    assert len(event["markets"]) == 46
    for inner in event["markets"]:
        outer = dict(markets[inner["id"]])
        assert outer.pop("events")[0]["id"] == event["id"]
        assert canonical([outer]) == canonical([inner])
    slugs = {exact(pages[0].read_bytes())["markets"][0]["events"][0]["slug"]}
    assert {e["slug"] for e in replay.get("/events", {"slug": list(slugs)}).json} == slugs
    assert {"fed-decision-in-june-825"} <= {e["slug"] for e in events.values()}


@pytest.mark.parametrize("option", ["--replay", "--markets-replay", "--gamma-replay"])
@pytest.mark.parametrize("content", [None, "", "[{", '{"a": 1}\nnonsense', "[1, 2]"])
def test_an_unreadable_file_is_one_line_and_exit_2(
    simulate: Callable[..., Any], tmp_path: Path, option: str, content: str | None
) -> None:
    file = tmp_path / "broken.json"
    if content is not None:
        file.write_text(content)
    done = simulate("--port", "0", option, file)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(file) in done.stderr and done.stderr.count("\n") == 1
