"""Records that the real upstreams served go through HTTP, landing and dbt without losing a bit."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runner.project import mart_columns
from runner_tests.support import Home, Running, home_on

COLUMNS = (
    "wallet_address, tx_hash, order_hash, timestamp, side, token_id, price, shares_normalized, shares_raw, usdc_raw, "
    "condition_id, token_label, taker, market_slug, title, log_index, block_number, key_quality, id"
)
MARTS = ("trades", "trade_collisions", "markets", "events", "traders", "awaiting_metadata")


def bits(number: float) -> bytes:
    return struct.pack(">d", number)


def expected(record: dict[str, Any]) -> tuple[Any, ...]:
    """What the row of a record must be: the record itself, lower-cased, with the derived columns."""
    lower = {name: record[name].lower() for name in ("user", "tx_hash", "order_hash", "condition_id", "taker")}
    return (
        *(lower["user"], lower["tx_hash"], lower["order_hash"]),
        datetime.fromtimestamp(record["timestamp"], UTC),
        *(record["side"], record["token_id"]),
        *(bits(float(record["price"])), bits(float(record["shares_normalized"]))),
        record["shares"],
        round(record["price"] * record["shares"]),
        *(lower["condition_id"], record["token_label"], lower["taker"], record["market_slug"], record["title"]),
        *(record["log_index"], record["block_number"], "exact", lower["order_hash"]),
    )


def stored(home: Home) -> set[tuple[Any, ...]]:
    rows = home.query(f"select {COLUMNS} from trades")
    return {(*row[:6], bits(row[6]), bits(row[7]), *row[8:]) for row in rows}


Synced = tuple[Home, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def synced_on(
    tmp_path_factory: pytest.TempPathFactory,
    data: Path,
    start_module: Callable[..., Running],
    request: pytest.FixtureRequest,
) -> Callable[[str], Synced]:
    """Gives a home on a target after one sync of everything that was recorded, and the records; once for each."""

    @cache
    def sync(target: str) -> Synced:
        home = home_on(target, tmp_path_factory.mktemp("real"), request)
        orders = data / "dome" / "orders.ndjson"
        pages = sorted((data / "gamma" / "markets_pages").glob("*.json"))
        wallets = home.folder / "wallets.csv"
        gamma = [argument for page in pages for argument in ("--gamma-replay", page)]
        home.uses(
            start_module(
                *("--replay", orders, *gamma, "--markets-replay", data / "dome" / "markets.ndjson"),
                *("--write-wallets", wallets),
            )
        )
        # Pages of 30, so that every wallet's answer has several.
        home.variables["POLYTRADES_PAGE_SIZE"] = "30"
        summary = home.polytrades("sync", "--wallets", wallets, "--json").json
        assert summary["records_rejected"] == 0
        return home, [json.loads(line) for line in orders.read_text().splitlines()]

    return sync


@pytest.fixture(scope="module")
def synced(target: str, synced_on: Callable[[str], Synced]) -> Synced:
    """The same on the target of the test."""
    return synced_on(target)


@pytest.fixture(scope="module")
def gamma_markets(data: Path) -> dict[str, dict[str, Any]]:
    """Condition id → market, of all recorded pages of Gamma."""
    pages = sorted((data / "gamma" / "markets_pages").glob("*.json"))
    return {m["conditionId"]: m for page in pages for m in json.loads(page.read_text())["markets"]}


@pytest.fixture(scope="module")
def with_gamma_on(
    tmp_path_factory: pytest.TempPathFactory,
    data: Path,
    start_module: Callable[..., Running],
    gamma_markets: dict[str, dict[str, Any]],
    request: pytest.FixtureRequest,
) -> Callable[[str], Home]:
    """Gives a home on a target after one sync of a fill in each of these markets; once for each target."""
    orders = [
        {
            "user": "0x" + "a" * 40,
            "tx_hash": "0x" + "1" * 64,
            "order_hash": f"0x{number:064x}",
            "timestamp": 1769466633,
            "side": "BUY",
            "token_id": json.loads(market["clobTokenIds"])[0],
            "price": 0.5,
            "shares": 1_000_000,
            "condition_id": condition_id,
        }
        for number, (condition_id, market) in enumerate(gamma_markets.items())
    ]

    @cache
    def sync(target: str) -> Home:
        home = home_on(target, tmp_path_factory.mktemp("gamma"), request)
        wallets = home.folder / "wallets.csv"
        pages = sorted((data / "gamma" / "markets_pages").glob("*.json"))
        gamma = [argument for page in pages for argument in ("--gamma-replay", page)]
        file = home.records("orders.ndjson", orders)
        home.uses(start_module("--replay", file, "--write-wallets", wallets, *gamma))
        home.polytrades("sync", "--wallets", wallets)
        return home

    return sync


def test_every_value_of_a_real_record_comes_out_exactly(synced: Synced) -> None:
    home, records = synced
    assert stored(home) == {expected(record) for record in records}
    assert home.query("select count(*) from trades") == [(len(records),)]
    # The sample's own fact: usdc_raw / shares_raw gives the price back, bit for bit.
    assert home.query("select count(*) from trades where usdc_raw / shares_raw <> price") == [(0,)]


def test_the_taker_leg_is_told_by_the_exchange(synced: Synced) -> None:
    home, records = synced
    exchanges = ("0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e", "0xc5d563a36ae78145c45a50134d48a1215220f80a")
    legs = sum(record["taker"] in exchanges for record in records)
    assert legs > 0
    assert home.query("select count(*) from trades where is_taker_leg") == [(legs,)]
    assert home.query("select count(*) from trades where is_taker_leg is null") == [(0,)]


def test_the_markets_of_the_fills_are_known(synced: Synced, data: Path) -> None:
    home, records = synced
    ids = {record["condition_id"] for record in records}
    assert {row[0] for row in home.query("select condition_id from markets")} == ids
    for line in (data / "dome" / "markets.ndjson").read_text().splitlines():
        market = json.loads(line)
        [row] = home.query(
            "select title, status, side_a_id, side_b_label, winning_label, volume_total, event_slug "
            "from markets where condition_id = ?",
            [market["condition_id"]],
        )
        assert row == (
            market["title"],
            market["status"],
            market["side_a"]["id"],
            market["side_b"]["label"],
            (market["winning_side"] or {}).get("label"),
            market["volume_total"],
            market["event_slug"],
        )
    slugs = {row[0] for row in home.query("select event_slug from markets")}
    assert {row[0] for row in home.query("select event_slug from events")} == slugs


def test_a_second_sync_of_the_same_records_changes_no_row(synced: Synced) -> None:
    home, records = synced
    before = {mart: home.rows(mart) for mart in MARTS}
    home.polytrades("checkpoints", "--move-back", "2020-01-01")
    summary = home.polytrades("sync", "--json").json
    assert (summary["records_received"], summary["fills_new"]) == (len(records), 0)
    assert {mart: home.rows(mart) for mart in MARTS} == before


def test_real_gamma_pages_become_markets_and_events(
    target: str, with_gamma_on: Callable[[str], Home], gamma_markets: dict[str, dict[str, Any]]
) -> None:
    home, markets = with_gamma_on(target), gamma_markets
    rows = home.query(
        "select condition_id, title, market_slug, side_a_id, side_b_id, side_a_label, volume_total, negative_risk_id, "
        "status, start_time from markets"
    )
    assert {row[0] for row in rows} == markets.keys()
    for row in rows:
        market = markets[row[0]]
        assert row[1:3] == (market["question"], market["slug"])
        assert list(row[3:5]) == json.loads(market["clobTokenIds"])
        assert row[5] == json.loads(market["outcomes"])[0]
        assert row[6] == (float(market["volume"]) if "volume" in market else None)
        assert row[7] == market.get("negRiskMarketID")
        assert row[8] == "open"
        assert row[9] == (datetime.fromisoformat(market["startDate"]) if market.get("startDate") else None)
    slugs = {market["events"][0]["slug"] for market in markets.values() if market.get("events")}
    assert {slug for (slug,) in home.query("select event_slug from events where title is not null")} == slugs


def as_read(home: Home, mart: str) -> list[dict[str, tuple[type, Any]]]:
    """The rows of a mart in one order, each value with its type, floats by their bits.

    Without the two columns that tell when a market was fetched: each home fetched for itself.
    """
    names = sorted(mart_columns(mart).keys() - {"as_of", "row_version"})
    rows = home.query(f"select {', '.join(names)} from {mart}")
    read = [[(type(value), bits(value) if isinstance(value, float) else value) for value in row] for row in rows]
    return sorted((dict(zip(names, row, strict=True)) for row in read), key=repr)


def test_both_targets_hold_the_same_values_of_the_same_types(
    synced_on: Callable[[str], Synced], with_gamma_on: Callable[[str], Home]
) -> None:
    for on_emulator, on_duckdb in (
        (synced_on("emulator")[0], synced_on("duckdb")[0]),
        (with_gamma_on("emulator"), with_gamma_on("duckdb")),
    ):
        for mart in MARTS:
            assert as_read(on_emulator, mart) == as_read(on_duckdb, mart), mart
