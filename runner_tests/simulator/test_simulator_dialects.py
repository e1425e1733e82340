"""The other endpoints with trades in them: Predexon's two versions, and the activity that is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner_tests.support import Running

V1, V2, ACTIVITY = "/v1/polymarket/trades", "/v2/polymarket/trades", "/polymarket/activity"
OLDER = {
    "token_id", "side", "market_slug", "condition_id", "shares", "shares_normalized", "price", "tx_hash", "title",
    "timestamp", "order_hash", "user",
}  # fmt: skip
NEWER = {"amount_usd", "is_yes_side", "outcome_label", "fee_usd", "exchange_version", "builder", "metadata"}


def wallets(world: Running) -> list[str]:
    lines: list[str] = world.ready["wallets_file"].read_text().splitlines()[1:]
    return lines


def fills_of(world: Running, wallet: str) -> list[dict[str, Any]]:
    fills = map(json.loads, world.ready["fills_file"].read_text().splitlines())
    return [fill for fill in fills if fill["user"] == wallet]


def older(fills: list[dict[str, Any]]) -> list[str]:
    """The older members of some records as texts in one order, to compare sets of records."""
    return sorted(json.dumps({name: fill[name] for name in OLDER}, sort_keys=True) for fill in fills)


def walk(world: Running, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    """Follow the cursor of `path` to its end."""
    more = True
    while more:
        page = world.get(path, params).json
        yield page
        more = page["pagination"]["has_more"]
        assert more == ("pagination_key" in page["pagination"])
        params["pagination_key"] = page["pagination"].get("pagination_key")


def test_the_older_version_is_walked_by_offset_and_has_the_older_members_only(world: Running) -> None:
    for wallet in wallets(world):
        found: list[dict[str, Any]] = []
        more = True
        while more:
            page = world.get(V1, {"user": wallet, "limit": 30, "offset": len(found)}).json
            assert set(page) == {"orders", "pagination"}
            more = page["pagination"].pop("has_more")
            total = len(fills_of(world, wallet))
            assert page["pagination"] == {"limit": 30, "offset": len(found), "total": total}
            assert all(set(order) == OLDER for order in page["orders"])
            found += page["orders"]
        assert older(found) == older(fills_of(world, wallet))
        times = [order["timestamp"] for order in found]
        assert times == sorted(times, reverse=True)
        upwards = world.get(V1, {"user": wallet, "limit": 1000, "order": "asc"}).json["orders"]
        assert upwards == found[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_newer_version_is_walked_by_cursor(world: Running, order: str) -> None:
    for wallet in wallets(world):
        fills = fills_of(world, wallet)
        times = sorted(fill["timestamp"] for fill in fills)
        bounds = {"start_time": times[len(times) // 4], "end_time": times[-1]}
        expected = [fill for fill in fills if fill["timestamp"] >= bounds["start_time"]]
        found: list[dict[str, Any]] = []
        for page in walk(world, V2, wallet=wallet, limit=7, order=order, **bounds):
            assert set(page) == {"trades", "pagination"}
            assert set(page["pagination"]) - {"pagination_key"} == {"limit", "count", "has_more"}
            assert page["pagination"]["count"] == len(page["trades"])
            found += page["trades"]
        assert older(found) == older(expected)
        seen = [trade["timestamp"] for trade in found]
        assert seen == sorted(seen, reverse=order == "desc")


def test_a_trade_of_the_newer_version_says_what_its_fill_says(world: Running) -> None:
    wallet = wallets(world)[0]
    by_hash = {(fill["tx_hash"], fill["order_hash"]): fill for fill in fills_of(world, wallet)}
    for trade in world.get(V2, {"wallet": wallet, "limit": 500}).json["trades"]:
        fill = by_hash[trade["tx_hash"], trade["order_hash"]]
        assert set(trade) == OLDER | NEWER | ({"taker"} & set(fill))
        assert trade["amount_usd"] == pytest.approx(fill["price"] * fill["shares"] / 1e6, abs=1e-6)
        assert trade["outcome_label"] == fill.get("token_label", "")
        assert trade["is_yes_side"] == (fill.get("token_label") == "Yes")
        assert (trade["exchange_version"], trade["fee_usd"], trade["builder"], trade["metadata"]) == (1, 0, "", "")


def test_later_fills_are_of_the_second_exchange_and_cost_a_fee(start: Callable[..., Running]) -> None:
    running = start("--fills", 20, "--until", "2026-06-30T00:00:00Z")
    for trade in running.get(V2, {"limit": 20}).json["trades"]:
        fee = 0.02 * trade["shares_normalized"] * trade["price"] * (1 - trade["price"])
        assert trade["exchange_version"] == 2 and trade["fee_usd"] == pytest.approx(fee, abs=1e-5)


def test_pending_rows_only_appear_when_all_statuses_are_asked_for(world: Running) -> None:
    wallet = max(wallets(world), key=lambda wallet: len(fills_of(world, wallet)))
    fills = fills_of(world, wallet)
    rows = [row for page in walk(world, V2, wallet=wallet, limit=9, status="all") for row in page["trades"]]
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert {row["status"] for row in rows} == {"pending", "confirmed"}
    pending = [row for row in rows if row["status"] == "pending"]
    assert older([row for row in rows if row["status"] == "confirmed"]) == older(fills)
    known = {(fill["tx_hash"], fill["order_hash"]): fill["timestamp"] for fill in fills}
    twins = [row for row in pending if (row["tx_hash"], row["order_hash"]) in known]
    assert 0 < len(twins) < len(pending), "some confirm, some never do"
    assert all(row["timestamp"] < known[row["tx_hash"], row["order_hash"]] for row in twins)
    confirmed = world.get(V2, {"wallet": wallet, "limit": 500, "status": "confirmed"}).json
    assert confirmed == world.get(V2, {"wallet": wallet, "limit": 500}).json
    assert all("status" not in trade for trade in confirmed["trades"])


def test_the_wallet_under_the_other_version_s_name_is_not_seen(world: Running) -> None:
    wallet = wallets(world)[0]
    everybody = {trade["user"] for trade in world.get(V2, {"user": wallet, "limit": 500}).json["trades"]}
    assert len(everybody) > 1
    assert world.get(V1, {"wallet": wallet}).json["error"] == "Missing required filter parameter"


@pytest.mark.parametrize(
    ("path", "params", "error"),
    [
        (V1, {"user": "0x1", "limit": 1001}, "Invalid limit parameter"),
        (V1, {"user": "0x1", "offset": 100_001}, "Invalid offset parameter"),
        (V1, {"user": "0x1", "offset": "x"}, "Invalid offset parameter"),
        (V1, {"user": "0x1", "order": "up"}, "Invalid order parameter"),
        (V2, {"limit": 501}, "Invalid limit parameter"),
        (V2, {"order": "asc"}, "Invalid order parameter"),
        (V2, {"status": "maybe"}, "Invalid status parameter"),
        (V2, {"wallet": ""}, "Missing required filter parameter"),
        (V2, {"pagination_key": "no cursor"}, "Invalid pagination key"),
        (ACTIVITY, {"limit": 1001}, "Invalid limit parameter"),
        (ACTIVITY, {"start_time": 2, "end_time": 2}, "Invalid time range"),
    ],
)
def test_a_wrong_request_is_refused(world: Running, path: str, params: dict[str, Any], error: str) -> None:
    answer = world.get(path, params)
    assert (answer.status, answer.json["error"]) == (400, error)


def test_the_largest_limits_and_offset_are_served(world: Running) -> None:
    params = {"user": wallets(world)[0], "limit": 1000, "offset": 100_000}
    answer = world.get(V1, params)
    assert (answer.status, answer.json["orders"], answer.json["pagination"]["has_more"]) == (200, [], False)
    assert world.get(V2, {"limit": 500}).status == 200


def test_activity_is_paged_and_fits_the_upstream_schema(
    world: Running, schema_of: Callable[[str], dict[str, Any]]
) -> None:
    rows: list[dict[str, Any]] = []
    counts = set()
    for page in walk(world, ACTIVITY, limit=11):
        jsonschema.validate(page, schema_of(ACTIVITY))
        rows += page["activities"]
        counts.add(page["pagination"]["count"])
    assert counts == {len(rows)} == {40}
    assert {row["side"] for row in rows} == {"SPLIT", "MERGE", "REDEEM"}
    assert all(row["token_id"] == row["order_hash"] == "" and "taker" not in row for row in rows)
    fills = [fill for wallet in wallets(world) for fill in fills_of(world, wallet)]
    assert not {row["tx_hash"] for row in rows} & {fill["tx_hash"] for fill in fills}
    wallet = rows[0]["user"]
    mine = world.get(ACTIVITY, {"user": wallet, "limit": 1000}).json["activities"]
    assert mine == [row for row in rows if row["user"] == wallet]
    condition = rows[0]["condition_id"]
    of_market = world.get(ACTIVITY, {"condition_id": condition, "limit": 1000}).json["activities"]
    assert of_market == [row for row in rows if row["condition_id"] == condition]


def test_predexon_takes_its_key_in_one_header_only(start: Callable[..., Running]) -> None:
    locked = start("--api-key", "s3cret", "--fills", 10)
    for path in (V1 + "?user=0x1", V2):
        assert locked.get(path).status == locked.get(path, authorization="Bearer s3cret").status == 401
        assert locked.get(path, **{"x-api-key": "s3cret"}).status == 200
    assert locked.get(ACTIVITY).status == 401
    assert locked.get(ACTIVITY, authorization="Bearer s3cret").status == 200


def test_malformed_records_come_through_every_version(start: Callable[..., Running], tmp_path: Path) -> None:
    bad = tmp_path / "bad.ndjson"
    running = start("--fills", 50, "--malformed", 1, "--write-malformed", bad, "--wallets", 1)
    wallet = json.loads(bad.read_text().splitlines()[0])["user"]
    assert len(running.get(V1, {"user": wallet, "limit": 1000}).json["orders"]) == 100
    for status in ("all", "confirmed"):
        rows = running.get(V2, {"wallet": wallet, "limit": 500, "status": status}).json["trades"]
        assert len([row for row in rows if row.get("status") != "pending"]) == 100


def test_recorded_files_have_no_pending_rows_and_no_activity(start: Callable[..., Running], world: Running) -> None:
    running = start("--replay", world.ready["fills_file"])
    wallet = wallets(world)[0]
    rows = running.get(V2, {"wallet": wallet, "limit": 500, "status": "all"}).json["trades"]
    assert older(rows) == older(fills_of(world, wallet)) and {row["status"] for row in rows} == {"confirmed"}
    empty = {"activities": [], "pagination": {"limit": 100, "count": 0, "has_more": False}}
    assert running.get(ACTIVITY).json == empty
