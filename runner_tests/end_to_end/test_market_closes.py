"""Promise: a market that closes after its last fill is closed in `markets` after the next night, winner and all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from runner.windows import utc_now
from runner_tests.support import Home, Running, launch, order, stop

IN_GAMMA, FIRST_IN_DOME = "0x" + "c" * 64, "0x" + "d" * 64
CLOSED = f"{utc_now() - timedelta(hours=5):%Y-%m-%d %H:%M:%S}+00"


def gamma_market(condition_id: str, number: int, prices: str | None) -> dict[str, Any]:
    """A market as Gamma has it; `prices` None: it is open. Its `updatedAt` does not move, as that of others may not."""
    state: dict[str, Any] = {"closed": False, "outcomePrices": '["0.4", "0.6"]'}
    if prices is not None:
        state = {"closed": True, "outcomePrices": prices, "closedTime": CLOSED}
    return {
        "id": str(number),
        "conditionId": condition_id,
        "slug": f"market-{number}",
        "question": f"Market {number}?",
        "outcomes": '["Yes", "No"]',
        "clobTokenIds": '["11", "12"]',
        "updatedAt": "2026-01-01T00:00:00Z",
        "events": [{"id": "7", "slug": "an-event", "title": "An event", "closed": prices is not None}],
        **state,
    }


def night(home: Home, gamma: list[dict[str, Any]], dome: list[dict[str, Any]]) -> tuple[dict[str, Any], set[str]]:
    """A sync against an upstream that says this; gives its summary and the paths beside the orders that it asked."""
    files = {"--replay": [order(), order(condition_id=FIRST_IN_DOME, tx_hash="0x" + "3" * 64)]}
    files |= {option: records for option, records in (("--gamma-replay", gamma), ("--markets-replay", dome)) if records}
    arguments: list[object] = []
    for option, records in files.items():
        arguments += [option, home.records(f"{option[2:]}.ndjson", records)]
    running = launch(*arguments)
    try:
        home.uses(running)
        summary = home.polytrades("sync", "--wallets", home.folder / "wallets.csv", "--json").json
        return summary, {path.removeprefix("/v1") for path in running.get("/stats").json["requests"]}
    finally:
        stop(running)


def lookups(summary: dict[str, Any], kind: str) -> tuple[int, int, int, int]:
    asked, landed, unknown, left = (summary[f"{kind}_{what}"] for what in ("asked", "landed", "unknown", "left"))
    return asked, landed, unknown, left


@pytest.mark.duckdb_only("runner_tests/warehouse/test_metadata.py asks both targets who is wanted")
def test_markets_that_close_after_their_last_fill_are_closed_the_next_night(home: Home) -> None:
    (home.folder / "wallets.csv").write_text(order()["user"] + "\n")

    def markets() -> list[tuple[Any, ...]]:
        return home.query("select condition_id, status, winning_label, source from markets order by 1")

    dome = {
        "market_slug": "market-2",
        "condition_id": FIRST_IN_DOME,
        "event_slug": "an-event",
        "title": "Market 2?",
        "status": "open",
        "side_a": {"id": "11", "label": "Yes"},
        "side_b": {"id": "12", "label": "No"},
    }
    summary, _ = night(home, [gamma_market(IN_GAMMA, 1, None)], [dome])
    assert (lookups(summary, "markets"), lookups(summary, "events")) == ((2, 2, 0, 0), (1, 1, 0, 0))
    assert markets() == [(IN_GAMMA, "open", None, "gamma"), (FIRST_IN_DOME, "open", None, "dome")]
    assert home.query("select event_slug, status from events") == [("an-event", "open")]

    # Closed, and not yet resolved; and Gamma knows the other one by now, from an older time than it was asked for.
    unresolved, won = '["0", "0"]', '["0", "1"]'
    summary, _ = night(home, [gamma_market(IN_GAMMA, 1, unresolved), gamma_market(FIRST_IN_DOME, 2, won)], [])
    assert (lookups(summary, "markets"), lookups(summary, "events")) == ((2, 2, 0, 0), (1, 1, 0, 0))
    assert markets() == [(IN_GAMMA, "closed", None, "gamma"), (FIRST_IN_DOME, "closed", "No", "gamma")]
    assert home.query("select event_slug, status from events") == [("an-event", "closed")]

    # Resolved: asked for once more, and never again.
    resolved = [gamma_market(IN_GAMMA, 1, '["1", "0"]'), gamma_market(FIRST_IN_DOME, 2, won)]
    summary, _ = night(home, resolved, [])
    assert (lookups(summary, "markets"), lookups(summary, "events")) == ((1, 1, 0, 0), (0, 0, 0, 0))
    assert markets() == [(IN_GAMMA, "closed", "Yes", "gamma"), (FIRST_IN_DOME, "closed", "No", "gamma")]
    before = home.rows("markets")
    summary, paths = night(home, resolved, [])
    assert (lookups(summary, "markets"), lookups(summary, "events")) == ((0, 0, 0, 0), (0, 0, 0, 0))
    assert paths == {"/polymarket/orders"}
    assert home.rows("markets") == before
    history = "select status, winning_label from history.markets_history where condition_id = ? order by dbt_valid_from"
    assert home.query(history, [IN_GAMMA]) == [("open", None), ("closed", None), ("closed", "Yes")]


@pytest.mark.duckdb_only("runner_tests/warehouse/test_metadata.py asks both targets who is wanted")
def test_a_night_of_a_whole_world_asks_for_every_open_market_again_and_says_what_it_left_out(
    home: Home, start: Callable[..., Running]
) -> None:
    wallets = home.folder / "wallets.csv"
    home.uses(start("--wallets", 3, "--fills", 120, "--write-wallets", wallets))
    first = home.polytrades("sync", "--wallets", wallets, "--json").json
    assert first["markets_asked"] == first["markets_landed"] > 0
    open_and_owing = "select count(*) from markets where status = 'open' or winning_id is null"
    [(wanted,)] = home.query(open_and_owing)
    assert 0 < wanted < first["markets_landed"]
    again = home.polytrades("sync", "--json").json
    assert (again["markets_asked"], again["markets_landed"]) == (wanted, wanted)
    assert (again["markets_left"], again["markets_unknown"], again["events_left"]) == (0, 0, 0)
    text = home.polytrades("sync").stdout
    assert f"markets         {wanted} landed of {wanted} asked" in text
