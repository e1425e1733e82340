"""What holds in every synthetic world, whatever its seed."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.blocks import block_of
from simulator.malformed import KINDS
from simulator.orders import Feed, Scope
from simulator.world import EXCHANGES, Settings, World

DAY = 86_400

small_worlds = st.builds(
    Settings,
    seed=st.integers(-(10**6), 10**12),
    wallets=st.integers(1, 12),
    fills=st.integers(0, 250),
    days=st.integers(1, 60),
    until=st.integers(1_700_000_000, 1_777_000_000),
    malformed=st.sampled_from([0.0, 0.0, 0.3]),
)


def records(feed: Feed) -> list[dict[str, Any]]:
    return [json.loads(feed.render(ref)) for ref in feed.refs]


@settings(max_examples=60, deadline=None)
@given(small_worlds)
def test_the_fills_of_any_world_are_sound(made: Settings) -> None:
    world = World(made)
    fills = records(world.well_formed())
    assert len(fills) == made.fills
    assert len({(f["user"], f["tx_hash"], f["order_hash"]) for f in fills}) == made.fills
    markets = {m.condition_id: m for m in world.catalogue.markets}
    for fill in fills:
        assert made.until - made.days * DAY < fill["timestamp"] < made.until
        assert re.fullmatch("0x[0-9a-f]{40}", fill["user"]) and fill["user"] in world.wallets
        assert re.fullmatch("0x[0-9a-f]{64}", fill["tx_hash"]) and re.fullmatch("0x[0-9a-f]{64}", fill["order_hash"])
        assert re.fullmatch("[0-9]{77,78}", fill["token_id"])
        assert fill["side"] in ("BUY", "SELL")
        shares, price = fill["shares"], fill["price"]
        assert type(shares) is int and 0 < shares < 2**53 and 0 < price < 1
        usdc = round(price * shares)
        assert usdc / shares == price
        normalized = fill["shares_normalized"]
        assert normalized == shares / 1_000_000
        assert type(normalized) is (float if shares % 1_000_000 else int)
        market = markets[fill["condition_id"]]
        assert fill["market_slug"] == market.slug and fill["title"] == market.title
        side = market.tokens.index(fill["token_id"])
        assert len(fill) in (12, 16)
        if len(fill) == 16:
            assert fill["token_label"] == market.order_labels[side]
            assert fill["block_number"] == block_of(fill["timestamp"])
            assert re.fullmatch("0x[0-9a-f]{40}", fill["taker"])
            if fill["taker"] in EXCHANGES:
                assert fill["taker"] == EXCHANGES[market.neg_risk_id is not None]
    logs = [(f["block_number"], f["log_index"]) for f in fills if "log_index" in f]
    assert len(logs) == len(set(logs))


@settings(max_examples=40, deadline=None)
@given(small_worlds)
def test_a_transaction_has_one_second_and_an_order_one_owner_and_token(made: Settings) -> None:
    seconds, owners = defaultdict(set), defaultdict(set)
    for fill in records(World(made).well_formed()):
        seconds[fill["tx_hash"]].add(fill["timestamp"])
        owners[fill["order_hash"]].add((fill["user"], fill["token_id"], fill["side"]))
    assert all(len(found) == 1 for found in (*seconds.values(), *owners.values()))


@settings(max_examples=40, deadline=None)
@given(small_worlds)
def test_feeds_of_any_world_are_totally_ordered_and_agree(made: Settings) -> None:
    world = World(made)
    everything = world.feed(Scope())
    keys = list(zip(everything.times, everything.ties, strict=True))
    assert keys == sorted(set(keys))
    rest = set(everything.refs)
    for wallet in world.wallets:
        feed = world.feed(Scope(user=wallet))
        assert list(feed.times) == sorted(feed.times)
        assert rest >= set(feed.refs)
        rest -= set(feed.refs)
    assert not rest
    expected = set(world.well_formed().refs) | set(world.malformed().refs)
    assert set(everything.refs) == expected and len(expected) == made.fills + round(made.fills * made.malformed)


@settings(max_examples=20, deadline=None)
@given(small_worlds)
def test_equal_settings_make_equal_worlds_and_the_seed_matters(made: Settings) -> None:
    def texts(settings: Settings) -> list[bytes]:
        feed = World(settings).feed(Scope())
        return [feed.render(ref) for ref in feed.refs]

    assert texts(made) == texts(made)
    other = replace(made, seed=made.seed + 1)
    assert made.fills == 0 or not set(texts(made)) & set(texts(other))


@settings(max_examples=30, deadline=None)
@given(small_worlds)
def test_markets_of_any_world_are_sound(made: Settings) -> None:
    world = World(made)
    markets, events = world.catalogue.markets, world.catalogue.events
    assert len({m.condition_id for m in markets}) == len({m.slug for m in markets}) == len(markets) >= 12
    assert len({token for m in markets for token in m.tokens}) == 2 * len(markets)
    assert len({event.slug for event in events}) == len(events)
    assert sum(event.count for event in events) == len(markets)
    assert any(m.closes for m in markets) and any(m.closes is None for m in markets)
    assert any(event.neg_risk_id and event.count > 1 for event in events)
    for market in markets:
        assert market.closes is None or market.closes < made.until
        assert market.winner is None or market.closes is not None
        assert 0 < market.price_milli < 1000


def test_the_default_world_has_the_awkward_cases() -> None:
    fills = records(World(Settings()).well_formed())
    orders, transactions, users = defaultdict(set), defaultdict(set), defaultdict(set)
    seconds = defaultdict(list)
    for fill in fills:
        orders[fill["order_hash"]].add(fill["tx_hash"])
        transactions[fill["user"], fill["tx_hash"]].add(fill["order_hash"])
        users[fill["tx_hash"]].add(fill["user"])
        seconds[fill["timestamp"]].append(fill)
    assert max(map(len, orders.values())) > 3, "one order filled in many transactions"
    assert max(map(len, transactions.values())) > 1, "several orders of one wallet in one transaction"
    assert max(map(len, users.values())) > 1, "two wallets in one transaction"
    assert max(map(len, seconds.values())) > 1, "several fills in one second"
    assert {fill["timestamp"] % 2 for fill in fills} == {0, 1}
    full = [fill for fill in fills if len(fill) == 16]
    assert 0.1 < 1 - len(full) / len(fills) < 0.2
    against_exchange = sum(fill["taker"] in EXCHANGES for fill in full) / len(full)
    assert 0.3 < against_exchange < 0.46
    assert any(len(repr(fill["price"])) > 6 for fill in fills), "prices that are no tick"
    assert any(type(f["shares_normalized"]) is int for f in fills)
    counts = Counter(fill["user"] for fill in fills)
    assert max(counts.values()) > 3 * min(counts.values())


@pytest.mark.parametrize(("fills", "wallets"), [(0, 3), (2, 5), (5, 5), (1000, 7)])
def test_fills_are_shared_out_exactly(fills: int, wallets: int) -> None:
    world = World(Settings(fills=fills, wallets=wallets))
    sizes = [len(world.feed(Scope(user=wallet)).refs) for wallet in world.wallets]
    assert sum(sizes) == fills
    assert fills < wallets or min(sizes) > 0


def test_malformed_records_come_on_top_and_are_wrong_in_every_way() -> None:
    plain, spoiled = World(Settings()), World(Settings(malformed=0.1))
    assert plain.well_formed().refs == spoiled.well_formed().refs
    good, feed = plain.well_formed(), spoiled.malformed()
    assert [good.render(ref) for ref in good.refs] == [spoiled.render(ref) for ref in good.refs]
    texts = [feed.render(ref).decode() for ref in feed.refs]
    assert len(set(texts)) == len(texts) == 40
    damage: dict[str, Callable[[str], bool]] = {
        "no tx_hash": lambda t: '"tx_hash"' not in t,
        "no timestamp": lambda t: '"timestamp"' not in t,
        "bad hex": lambda t: '"tx_hash":"0xzz' in t,
        "price 1.7": lambda t: '"price":1.7,' in t,
        "price abc": lambda t: '"price":"abc"' in t,
        "price 1e400": lambda t: '"price":1e400' in t,
        "negative": lambda t: '"shares":-' in t,
        "2**64": lambda t: f'"shares":{2**64}' in t,
        "HOLD": lambda t: '"side":"HOLD"' in t,
        "timestamp 12": lambda t: '"timestamp":12,' in t,
        "apart": lambda t: (
            "shares_normalized" in t and json.loads(t)["shares_normalized"] * 1e6 > 100 * abs(json.loads(t)["shares"])
        ),
    }
    assert len(damage) == len(KINDS)
    found = [[name for name, test in damage.items() if test(text)] for text in texts]
    assert all(len(names) == 1 for names in found)
    assert {names[0] for names in found} == set(damage)
