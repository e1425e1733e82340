"""The Dome-shaped market and event endpoints, over market records from a world or from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.datastructures import QueryParams

from simulator.answers import cursor, joined, limit_of, read_cursor, refuse, second_of
from simulator.markets import DAY, Catalogue, Market

_FILTERS = ("market_slug", "event_slug", "condition_id", "token_id", "tags")
_IMAGE = "https://images.invalid/{}.png"


class _Side(msgspec.Struct):
    id: str = ""
    label: str = ""


class _Fields(msgspec.Struct):
    """The members of a market record that filters and events look at; everything else stays raw."""

    market_slug: str
    condition_id: str
    event_slug: str | None = None
    title: str = ""
    description: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    tags: list[str] | None = None
    volume_total: float | None = None
    status: str = "open"
    image: str | None = None
    resolution_source: str | None = None
    side_a: _Side | None = None
    side_b: _Side | None = None


@dataclass(frozen=True, slots=True)
class DomeMarket:
    """One market record: its JSON text, served as it is, and the fields that filters read."""

    body: bytes
    fields: _Fields

    @classmethod
    def of(cls, body: bytes) -> DomeMarket:
        """Read the fields out of a record's JSON text. Raises msgspec.ValidationError if it is no market record."""
        return cls(body, msgspec.json.decode(body, type=_Fields))

    @property
    def volume(self) -> float:
        """Total volume in USD, 0 when the record has none."""
        return self.fields.volume_total or 0.0

    def has_token(self, token: str) -> bool:
        """Say whether `token` is one of the two sides."""
        sides = (self.fields.side_a, self.fields.side_b)
        return any(side is not None and side.id == token for side in sides)


@dataclass(frozen=True, slots=True)
class _Event:
    slug: str
    title: str
    markets: list[DomeMarket]

    @property
    def volume(self) -> float:
        return sum(market.volume for market in self.markets)

    @property
    def starts(self) -> int:
        return min((m.fields.start_time for m in self.markets if m.fields.start_time is not None), default=0)

    @property
    def tags(self) -> list[str]:
        return self.markets[0].fields.tags or []

    @property
    def status(self) -> str:
        return "open" if any(market.fields.status == "open" for market in self.markets) else "closed"

    def body(self, include_markets: bool) -> bytes:
        ends = (m.fields.end_time for m in self.markets if m.fields.end_time is not None)
        first = self.markets[0].fields
        value: dict[str, Any] = {
            "event_slug": self.slug,
            "title": self.title,
            "subtitle": first.description,
            "status": self.status,
            "start_time": self.starts,
            "end_time": max(ends, default=0),
            "volume_fiat_amount": self.volume,
            "settlement_sources": first.resolution_source or None,
            "rules_url": None,
            "image": first.image,
            "tags": self.tags,
            "market_count": len(self.markets),
        }
        if include_markets:
            value["markets"] = [msgspec.Raw(market.body) for market in self.markets]
        return msgspec.json.encode(value)


class DomeCatalogue:
    """Answers the market and event endpoints over a fixed set of records."""

    def __init__(self, markets: Iterable[DomeMarket], titles: Mapping[str, str] | None = None) -> None:
        """Index the records; events are derived from their `event_slug`, `titles` gives their titles by slug."""
        self._markets = list({market.fields.condition_id: market for market in markets}.values())
        self._by_volume = sorted(self._markets, key=lambda m: (-m.volume, m.fields.condition_id))
        self._by_start = sorted(self._markets, key=lambda m: (-(m.fields.start_time or 0), m.fields.condition_id))
        grouped: dict[str, list[DomeMarket]] = {}
        for market in self._markets:
            if market.fields.event_slug:
                grouped.setdefault(market.fields.event_slug, []).append(market)
        known = titles or {}
        events = [_Event(slug, known.get(slug, members[0].fields.title), members) for slug, members in grouped.items()]
        self._events = sorted(events, key=lambda e: (-e.volume, e.slug))

    def markets(self, params: QueryParams) -> bytes:
        """Answer `GET /polymarket/markets`: by volume when filtered or searched, else the latest start first."""
        limit = limit_of(params, default=10, most=100)
        keep = _market_filter(params)
        key = params.get("pagination_key")
        if keep is None:
            found = self._by_start
            name, value_of = "start_time", _start
        else:
            found = [market for market in self._by_volume if keep(market)]
            name, value_of = "volume_total", _volume
        begin = 0
        if key is not None:
            value, condition = read_cursor(key, {name: (int, float), "condition_id": str})
            last = (-value, condition)
            begin = next((n for n, m in enumerate(found) if (-value_of(m), m.fields.condition_id) > last), len(found))
        page = found[begin : begin + limit]
        more = begin + len(page) < len(found)
        pagination: dict[str, Any] = {"limit": limit, "total": len(found), "has_more": more}
        if more:
            pagination["pagination_key"] = cursor(
                {name: value_of(page[-1]), "condition_id": page[-1].fields.condition_id}
            )
        bodies = joined([market.body for market in page])
        return b'{"markets":' + bodies + b',"pagination":' + msgspec.json.encode(pagination) + b"}"

    def events(self, params: QueryParams) -> bytes:
        """Answer `GET /polymarket/events`: largest volume first; no total, and a null key on the last page."""
        limit = limit_of(params, default=10, most=100)
        status = _status(params)
        start, end = second_of(params, "start_time"), second_of(params, "end_time")
        slug, tags = params.get("event_slug"), set(params.getlist("tags"))
        found = [
            event
            for event in self._events
            if slug in (None, event.slug)
            and status in (None, event.status)
            and (not tags or tags & set(event.tags))
            and (start is None or event.starts >= start)
            and (end is None or event.starts <= end)
        ]
        begin = 0
        if (key := params.get("pagination_key")) is not None:
            volume, last_slug = read_cursor(key, {"lastVolume": (int, float), "lastEventSlug": str})
            last = (-volume, last_slug)
            begin = next((n for n, e in enumerate(found) if (-e.volume, e.slug) > last), len(found))
        page = found[begin : begin + limit]
        more = begin + len(page) < len(found)
        next_key = cursor({"lastVolume": page[-1].volume, "lastEventSlug": page[-1].slug}) if more else None
        pagination = {"limit": limit, "has_more": more, "pagination_key": next_key}
        bodies = joined([event.body(params.get("include_markets") == "true") for event in page])
        return b'{"events":' + bodies + b',"pagination":' + msgspec.json.encode(pagination) + b"}"


def dome_catalogue(catalogue: Catalogue, until: int) -> DomeCatalogue:
    """Return the Dome-shaped view of a world at second `until`; unlike Gamma's it has every market."""
    bodies = (msgspec.json.encode(_record(catalogue, market, until)) for market in catalogue.markets)
    return DomeCatalogue(map(DomeMarket.of, bodies), {event.slug: event.title for event in catalogue.events})


def _record(catalogue: Catalogue, market: Market, until: int) -> dict[str, Any]:
    event = catalogue.events[market.event]
    sides = [{"id": token, "label": label} for token, label in zip(market.tokens, market.labels, strict=True)]
    volume = market.volume or 0.0
    recent = volume if until - market.opens < 7 * DAY else round(volume / 3, 6)
    game = None
    if market.game_starts is not None:
        game = f"{datetime.fromtimestamp(market.game_starts, UTC):%Y-%m-%dT%H:%M:%S}.000000000Z"
    extra = {}
    if market.price_to_beat is not None:
        final = None if market.winner is None else round(market.price_to_beat * (1.01, 0.99)[market.winner], 2)
        extra = {"price_to_beat": market.price_to_beat, "final_price": final}
    return {
        "market_slug": market.slug,
        "event_slug": event.slug,
        "condition_id": market.condition_id,
        "title": market.title,
        "start_time": market.opens,
        "end_time": market.ends,
        "completed_time": market.closes,
        "close_time": market.closes,
        "game_start_time": game,
        "tags": [tag.slug.replace("-", " ") for tag in event.tags],
        "volume_1_week": recent,
        "volume_1_month": volume,
        "volume_1_year": volume,
        "volume_total": volume,
        "resolution_source": market.source,
        "image": _IMAGE.format(event.slug),
        "description": market.description,
        "negative_risk_id": market.neg_risk_id,
        "side_a": sides[0],
        "side_b": sides[1],
        "winning_side": None if market.winner is None else sides[market.winner],
        "status": "open" if market.closes is None else "closed",
        "extra_fields": extra,
    }


def _volume(market: DomeMarket) -> float:
    return market.volume


def _start(market: DomeMarket) -> float:
    return market.fields.start_time or 0


def _status(params: QueryParams) -> str | None:
    status = params.get("status")
    if status not in (None, "open", "closed"):
        refuse("Invalid status parameter", "status must be 'open' or 'closed'")
    return status


def _market_filter(params: QueryParams) -> Callable[[DomeMarket], bool] | None:
    """Return the test that a request's filters amount to, None if it has none."""
    lists = {name: {value.lower() for value in params.getlist(name)} for name in _FILTERS if name in params}
    status, search, least = _status(params), params.get("search"), params.get("min_volume")
    start, end = second_of(params, "start_time"), second_of(params, "end_time")
    tokens = lists.get("token_id", set())
    if len(tokens) > 100 or not all(token.isascii() and token.isdigit() for token in tokens):
        refuse("Invalid token_id parameter", "token_id must be at most 100 numeric strings")
    others = lists or status is not None or least is not None or start is not None or end is not None
    if search is not None:
        if len(search) < 2:
            refuse("Invalid search parameter", "search must be at least 2 characters long")
        if others:
            refuse("Invalid query parameters", "search parameter cannot be used with other filter parameters")
        words = search.lower().split()
        return lambda m: all(word in f"{m.fields.title} {m.fields.description}".lower() for word in words)
    if not others:
        return None
    try:
        floor = 0.0 if least is None else float(least)
    except ValueError:
        refuse("Invalid min_volume parameter", "min_volume must be a number")

    def keep(market: DomeMarket) -> bool:
        fields, begins = market.fields, market.fields.start_time or 0
        return (
            status in (None, fields.status)
            and market.volume >= floor
            and (start is None or begins >= start)
            and (end is None or begins <= end)
            and ("market_slug" not in lists or fields.market_slug.lower() in lists["market_slug"])
            and ("event_slug" not in lists or (fields.event_slug or "").lower() in lists["event_slug"])
            and ("condition_id" not in lists or fields.condition_id.lower() in lists["condition_id"])
            and ("token_id" not in lists or any(market.has_token(token) for token in tokens))
            and ("tags" not in lists or any(tag.lower() in lists["tags"] for tag in fields.tags or []))
        )

    return keep
