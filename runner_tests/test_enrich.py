"""Markets and events by the thousand: what is bad costs itself, nothing is asked in vain, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.engine.enrich import Enriched, enrich, in_order
from runner.engine.lookups import Upstream, look_up
from runner.errors import Unavailable, UpstreamError, UsageError
from runner.settings import load as load_settings
from runner.warehouse.duckdb import DuckDBWarehouse
from runner.warehouse.protocol import Wanted
from runner.windows import utc_now
from runner_tests.support import Home, HttpAnswer, order, server

CONDITION = "0x" + "c" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path)


def conditions(count: int) -> list[str]:
    return [f"0x{number:064x}" for number in range(count)]


def with_fills_of(home: Home, names: Sequence[str]) -> Home:
    """Lands a fill of each market."""
    home.land(*(order(condition_id=name, tx_hash=f"0x{number:064x}") for number, name in enumerate(names)))
    return home


def night(home: Home, url: str, run_id: str = "test", began: datetime | None = None, **values: object) -> Enriched:
    """One night's look-ups, one attempt a request. `began` None: after all before it, though in the same second."""
    began = began or utc_now() + timedelta(seconds=1)
    limits = {"requests_per_second": 10_000, "request_attempts": 1} | values
    chosen = load_settings(dome_base_url=url, gamma_base_url=url, duckdb_path=home.duckdb_file, **limits)
    return asyncio.run(enrich(chosen, DuckDBWarehouse(chosen), home.folder / "spool", run_id, began))


def answer(body: object, status: int = 200) -> HttpAnswer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


class Gamma:
    """A Gamma that has the markets of `has`, all open, and none of whose markets has an event; no Dome-shaped API."""

    def __init__(self, has: Callable[[str], bool] = lambda _: True) -> None:
        self.has = has
        self.asked: list[tuple[str, list[str]]] = []
        self.spoiled: Callable[[list[str]], HttpAnswer | None] = lambda _: None

    def __call__(self, target: str, _query: dict[str, str]) -> HttpAnswer:
        """The answer to a request."""
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        names = query.get("condition_ids") or query.get("slug") or query.get("condition_id") or query["event_slug"]
        self.asked.append((parts.path, names))
        if parts.path.startswith("/polymarket"):
            return answer({"markets": [], "events": []})
        if (spoiled := self.spoiled(names)) is not None:
            return spoiled
        found = [{"conditionId": name} for name in names if query["closed"] == ["false"] and self.has(name)]
        return answer({"markets": found, "events": []})


def landed(home: Home) -> list[str]:
    return sorted(name for (name,) in home.query("select condition_id from landing.markets"))


def test_one_bad_answer_costs_its_own_request_alone(home: Home) -> None:
    names = conditions(120)
    gamma = Gamma()
    gamma.spoiled = lambda asked: answer({"oops": True}) if names[7] in asked else None
    with server(gamma, whole=True) as (url, _):
        result = night(with_fills_of(home, names), url)
    (spoiled,) = [asked for path, asked in gamma.asked if path == "/markets/keyset" and names[7] in asked]
    tally = result.markets
    assert (tally.asked, tally.landed, tally.failed, tally.unknown) == (120, 120 - len(spoiled), len(spoiled), 0)
    assert landed(home) == sorted(set(names) - set(spoiled))
    (problem,) = result.problems
    assert problem.startswith(f"{len(spoiled)} of 120 markets could not be fetched: Gamma at ")


def test_what_spoiled_a_request_has_other_neighbours_the_next_night(home: Home) -> None:
    names = conditions(400)
    gamma = Gamma(has=lambda _: False)
    gamma.spoiled = lambda asked: answer({"oops": True}) if names[0] in asked else None
    with server(gamma, whole=True) as (url, _):
        with_fills_of(home, names)
        for run_id in ("first", "second"):
            night(home, url, run_id)
    first, second = ({*asked} for path, asked in gamma.asked if path == "/markets/keyset" and names[0] in asked)
    assert first & second < first


def test_where_nobody_answers_the_asking_stops_and_is_said_once(home: Home) -> None:
    gamma = Gamma()
    gamma.spoiled = lambda _: answer({"error": "down"}, 503)
    with server(gamma, whole=True) as (url, _):
        result = night(with_fills_of(home, conditions(2000)), url, requests_in_flight=2)
    assert Counter(path for path, _ in gamma.asked) == {"/markets/keyset": 1, "/polymarket/markets": 40}
    assert (result.markets.asked, result.markets.failed, result.markets.landed) == (2000, 2000, 0)
    (problem,) = result.problems
    assert "2000 of 2000 markets could not be fetched" in problem and "down" in problem

    # It has answered, and then no more: three in a row are enough, and no neighbour of theirs.
    gamma.asked.clear()
    gamma.spoiled = lambda _: answer({"error": "down"}, 503) if len(gamma.asked) > 20 else None
    with server(gamma, whole=True) as (url, _):
        result = night(home, url, requests_in_flight=1)
    assert [path for path, _ in gamma.asked[20:] if path == "/markets/keyset"] == ["/markets/keyset"] * 3
    assert result.markets.landed > 0
    assert len(result.problems) == 1

    nobody = night(home, "http://127.0.0.1:9", requests_in_flight=2)
    assert nobody.markets.failed == 2000
    assert len(nobody.problems) == 1


def test_nothing_is_asked_past_the_limit_and_the_rest_comes_first_the_next_night(home: Home) -> None:
    names = conditions(700)
    gamma = Gamma(has=lambda _: False)  # nobody knows them: none of them ever leaves the list
    with_fills_of(home, names)
    seen: Counter[str] = Counter()
    with server(gamma, whole=True) as (url, _):
        for number in range(3):
            gamma.asked.clear()
            result = night(home, url, f"night-{number}", metadata_requests=50)
            assert len(gamma.asked) <= 25
            tally = result.markets
            assert (tally.asked + tally.left, tally.unknown, tally.failed) == (700, tally.asked, 0)
            assert tally.left > 0
            assert result.problems == []
            asked = {name for path, part in gamma.asked if path == "/markets/keyset" for name in part}
            assert len(asked) == tally.asked
            if number == 1:
                assert seen.keys().isdisjoint(asked) or seen.keys() | asked == set(names)
            seen.update(asked)
    assert seen.keys() == set(names)
    # What is new goes before what was asked for in vain.
    new = "0x" + "e" * 64
    home.land(order(condition_id=new, tx_hash="0x" + "e" * 64))
    gamma.asked.clear()
    with server(gamma, whole=True) as (url, _):
        night(home, url, "last", metadata_requests=50)
    assert any(new in part for _, part in gamma.asked)


def test_a_run_asks_once_for_each_however_often_it_comes_back(home: Home) -> None:
    gamma = Gamma(has=lambda _: False)
    with_fills_of(home, conditions(3))
    began = utc_now()
    with server(gamma, whole=True) as (url, _):
        tally = night(home, url, began=began).markets
        assert (tally.asked, tally.unknown) == (3, 3)
        home.land(order(condition_id=CONDITION, tx_hash="0x" + "e" * 64))
        tally.add(night(home, url, began=began).markets)
        assert (tally.asked, tally.unknown, tally.left) == (4, 4, 0)
        assert night(home, url).markets.asked == 4


def test_memory_is_bounded_what_has_come_is_landed_while_more_is_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.engine.enrich._BATCH_BYTES", 10_000)
    names = conditions(1000)
    with server(Gamma(), whole=True) as (url, _):
        result = night(with_fills_of(home, names), url)
    assert (result.markets.landed, landed(home)) == (1000, names)
    assert home.query("select count(*) > 5 from landing.batches where landing_table = 'markets'") == [(True,)]


def test_a_market_that_is_again_as_it_once_was_lands_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with_fills_of(home, [CONDITION])
    clock: list[datetime] = []
    monkeypatch.setattr("runner.engine.enrich.utc_now", lambda: clock[-1])
    with server(Gamma(), whole=True) as (url, _):
        for day in (1, 2):
            clock.append(datetime(2026, 1, day, tzinfo=UTC))
            night(home, url)
    assert landed(home) == [CONDITION, CONDITION]


def test_the_event_of_a_market_of_tonight_is_asked_for_tonight(home: Home) -> None:
    def respond(path: str, query: dict[str, str]) -> HttpAnswer:
        if query.get("closed") == "true" or path.startswith("/polymarket"):
            return answer({"markets": [], "events": []})
        if path == "/markets/keyset":
            return answer({"markets": [{"conditionId": CONDITION, "events": [{"slug": "an-event"}]}]})
        return answer({"events": [{"slug": query["slug"], "markets": [{"conditionId": CONDITION}], "title": "é"}]})

    with server(respond) as (url, _):
        result = night(with_fills_of(home, [CONDITION]), url)
    assert (result.events.asked, result.events.landed) == (1, 1)
    assert home.query("select event_slug, payload from landing.events") == [
        ("an-event", '{"slug":"an-event","title":"\\u00e9"}')
    ]


# Properties.

NAMES = [f"n{number:03d}" for number in range(120)]
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(names=st.integers(1, 120), each_night=st.integers(1, 40), new_each_night=st.integers(0, 5))
def test_nobody_waits_longer_than_the_list_is_long(names: int, each_night: int, new_each_night: int) -> None:
    """As many names are asked each night as the limit allows; fewer new ones come than that."""
    new_each_night = min(new_each_night, each_night - 1)
    asked_at: dict[str, datetime] = {}
    waiting = NAMES[:names]
    nights = math.ceil(names / (each_night - new_each_night))
    for number in range(nights):
        new = [f"new-{number}-{index}" for index in range(new_each_night)]
        wanted = [Wanted(name, True, None) for name in new]
        wanted += [Wanted(name, False, asked_at.get(name)) for name in waiting]
        tonight = in_order(wanted, f"run-{number}")[:each_night]
        assert set(new) <= set(tonight)
        asked_at |= {name: START + timedelta(days=number) for name in tonight}
    assert asked_at.keys() >= set(waiting)


@settings(deadline=None)
@given(
    first=st.lists(st.sampled_from(["has", "lacks", "bad", "silent"]), min_size=120, max_size=120),
    second=st.lists(st.sampled_from(["has", "lacks", "gone"]), min_size=120, max_size=120),
    count=st.integers(0, 120),
    limit=st.integers(0, 60),
    in_flight=st.integers(1, 6),
)
def test_every_name_is_accounted_for_and_the_limit_is_kept(
    first: list[str], second: list[str], count: int, limit: int, in_flight: int
) -> None:
    sent = 0
    kept: dict[str, str] = {}

    def upstream(source: str, says: dict[str, str], size: int) -> Upstream:
        async def ask(names: Sequence[str]) -> dict[str, bytes]:
            nonlocal sent
            sent += 1
            assert len(names) <= size
            await asyncio.sleep(0)
            said = {says[name] for name in names}
            for word, error in (("bad", UpstreamError), ("silent", Unavailable), ("gone", UsageError)):
                if word in said:
                    raise error(word)
            return {name: b"{}" for name in names if says[name] == "has"}

        return Upstream(source, ask, size, 1)

    async def keep(source: str, found: dict[str, bytes]) -> None:
        await asyncio.sleep(0)
        assert not kept.keys() & found.keys()
        kept.update(dict.fromkeys(found, source))

    names = NAMES[:count]
    upstreams = [
        upstream("a", dict(zip(NAMES, first, strict=True)), 5),
        upstream("b", dict(zip(NAMES, second, strict=True)), 2),
    ]
    tally = asyncio.run(look_up(names, upstreams, keep, in_flight=in_flight, sent=lambda: sent, limit=limit))
    assert sent <= limit
    assert tally.asked + tally.left == count
    assert tally.landed + tally.unknown + tally.failed == tally.asked
    assert len(kept) == tally.landed
    assert len(set(tally.names_asked)) == len(tally.names_asked) <= tally.asked
    assert tally.problem or not tally.failed
