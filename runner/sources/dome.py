"""The Dome-shaped API's markets and events, for those that Gamma does not have. At most 100 a page."""

from collections.abc import Sequence

import msgspec

from runner.sources.http import Http, decoded

SOURCE = "dome"
_MARKETS = "/polymarket/markets"
_EVENTS = "/polymarket/events"


class _Condition(msgspec.Struct):
    condition_id: str


class _Side(msgspec.Struct):
    id: str | None = None


class _Sides(msgspec.Struct):
    side_a: _Side | None = None
    side_b: _Side | None = None


class _Event(msgspec.Struct):
    event_slug: str


class _MarketsPage(msgspec.Struct):
    markets: list[msgspec.Raw]


class _EventsPage(msgspec.Struct):
    events: list[msgspec.Raw]


async def markets(http: Http, condition_ids: Sequence[str]) -> dict[str, bytes]:
    """Condition id (lower case) → market record as received; at most 50 ids, those that are not there are left out."""
    query = [("condition_id", condition_id) for condition_id in condition_ids] + [("limit", "100")]
    found = {}
    for raw in decoded(await http.get(_MARKETS, query), _MarketsPage, http, _MARKETS).markets:
        found[decoded(bytes(raw), _Condition, http, _MARKETS).condition_id.lower()] = bytes(raw)
    return found


async def markets_of_tokens(http: Http, token_ids: Sequence[str]) -> dict[str, bytes]:
    """Token id → record of its market as received; at most 50 ids, those that are not there are left out."""
    query = [("token_id", token_id) for token_id in token_ids] + [("limit", "100")]
    found = {}
    for raw in decoded(await http.get(_MARKETS, query), _MarketsPage, http, _MARKETS).markets:
        sides = decoded(bytes(raw), _Sides, http, _MARKETS)
        found.update({side.id: bytes(raw) for side in (sides.side_a, sides.side_b) if side and side.id})
    return found


async def events(http: Http, slugs: Sequence[str]) -> dict[str, bytes]:
    """Event slug → event record as received. The API takes one slug a request."""
    found = {}
    for slug in slugs:
        query = [("event_slug", slug), ("limit", "10")]
        for raw in decoded(await http.get(_EVENTS, query), _EventsPage, http, _EVENTS).events:
            found[decoded(bytes(raw), _Event, http, _EVENTS).event_slug] = bytes(raw)
    return found
