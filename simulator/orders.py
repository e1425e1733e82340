"""The order endpoint: filters, inclusive time bounds, newest first, and a cursor that survives new records."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from starlette.datastructures import QueryParams

from simulator.answers import cursor, joined, limit_of, read_cursor, refuse, seconds_of, whole

_MARKET_FILTERS = ("market_slug", "condition_id", "token_id")
_MAX_OFFSET = 10_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records a request means, apart from time. `user` is lower case; at most one market filter is set."""

    user: str | None = None
    market_slug: str | None = None
    condition_id: str | None = None
    token_id: str | None = None

    @property
    def has_market(self) -> bool:
        """Whether a market filter narrows the request."""
        return not (self.market_slug is None and self.condition_id is None and self.token_id is None)


@dataclass(frozen=True, slots=True)
class Feed:
    """Records in one total order, oldest first: by second, then by `tie` within the second.

    `render` makes the JSON text of the record that a ref stands for. Ties are not negative.
    """

    times: Sequence[int]
    ties: Sequence[int]
    refs: Sequence[int]
    render: Callable[[int], bytes]

    def between(self, start: int | None, end: int | None) -> tuple[int, int]:
        """Return the places [first, stop) of the records from second `start` to second `end`, both inclusive."""
        first = 0 if start is None else bisect_left(self.times, start)
        stop = len(self.times) if end is None else bisect_right(self.times, end)
        return first, max(first, stop)

    def key_of(self, place: int) -> str:
        """Return the cursor that names the record at `place`.

        It holds the record's position in the total order, not a count, so records added meanwhile move nothing.
        """
        return cursor({"second": self.times[place], "tie": str(self.ties[place])})

    def place_of(self, key: str, after: bool = False) -> int:
        """Return the place of the record that a cursor names, or with `after` the place just behind it."""
        second, text = read_cursor(key, {"second": int, "tie": str})
        tie, find = _tie_of(text), bisect_right if after else bisect_left
        return find(self.ties, tie, bisect_left(self.times, second), bisect_right(self.times, second))


class OrderStore(Protocol):
    """Anything that has order records: a synthetic world or replayed files."""

    wallets: list[str]

    @property
    def size(self) -> int:
        """Number of records, malformed ones left out."""

    def feed(self, scope: Scope) -> Feed:
        """Return the records in `scope`."""

    def well_formed(self) -> Feed:
        """Return every record that counts, in any order (its times and ties may be empty)."""

    def malformed(self) -> Feed:
        """Return every record that was damaged on purpose."""


def narrowed(feed: Feed, keep: Callable[[int], bool]) -> Feed:
    """Return the part of `feed` whose refs pass `keep`."""
    places = [place for place, ref in enumerate(feed.refs) if keep(ref)]
    return Feed(
        [feed.times[p] for p in places], [feed.ties[p] for p in places], [feed.refs[p] for p in places], feed.render
    )


def answer(store: OrderStore, params: QueryParams) -> bytes:
    """Answer `GET /polymarket/orders`.

    Without any filter it is the live feed of everybody; a filter that is given but empty is refused. `start_time` and
    `end_time` are Unix seconds and both inclusive. An offset works up to 10,000 and is answered with 401 beyond.
    """
    scope = scope_of(params)
    limit = limit_of(params, default=100, most=1000)
    start, end = seconds_of(params)
    offset = _offset(params)

    feed = store.feed(scope)
    first, stop = feed.between(start, end)
    total = stop - first
    key = params.get("pagination_key")
    stop = stop - offset if key is None else min(stop, feed.place_of(key))
    begin = max(first, stop - limit)

    pagination: dict[str, Any] = {"limit": limit, "offset": offset, "total": total, "has_more": begin > first}
    if begin > first:
        pagination["pagination_key"] = feed.key_of(begin)
    orders = joined([feed.render(feed.refs[place]) for place in range(stop - 1, begin - 1, -1)])
    return b'{"orders":' + orders + b',"pagination":' + msgspec.json.encode(pagination) + b"}"


def scope_of(params: QueryParams, wallet: str = "user") -> Scope:
    """Return what a request asks for, or refuse it; `wallet` is the name of the parameter that holds one."""
    given = [name for name in _MARKET_FILTERS if name in params]
    if len(given) > 1:
        refuse("Invalid filter combination", "Only one of market_slug, token_id, or condition_id can be provided")
    if any(not params[name] for name in (wallet, *_MARKET_FILTERS) if name in params):
        refuse(
            "Missing required filter parameter",
            f"At least one of market_slug, condition_id, {wallet}, or token_id must be provided",
        )
    user, condition = params.get(wallet), params.get("condition_id")
    return Scope(
        user=user.lower() if user else None,
        market_slug=params.get("market_slug"),
        condition_id=condition.lower() if condition else None,
        token_id=params.get("token_id"),
    )


def _offset(params: QueryParams) -> int:
    offset = whole(params.get("offset", "0"))
    if offset is None or offset < 0:
        refuse("Invalid offset parameter", "offset must be a non-negative number")
    if offset > _MAX_OFFSET:
        refuse(
            "Offset deprecated",
            "Offsets greater than 10,000 are no longer supported. Please use pagination_key for efficient pagination.",
            status=401,
            docs="https://docs.domeapi.io/pagination",
        )
    return offset


def _tie_of(text: str) -> int:
    """Return the tie of a cursor, or refuse it: ties may be wider than 64 bits, so they travel as text."""
    if not (text.isascii() and text.isdigit() and len(text) < 80):
        refuse("Invalid pagination key", "pagination_key is invalid or corrupted")
    return int(text)
