"""The Predexon-shaped trades: the older version with offsets and Dome's envelope, the newer one with a cursor.

Both show the fills of the order endpoint, each in the members that the version has.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.datastructures import QueryParams

from simulator.answers import joined, limit_of, refuse, seconds_of, whole
from simulator.blocks import SECOND_EXCHANGE
from simulator.orders import Feed, OrderStore, Scope, scope_of

_MAX_OFFSET = 100_000
#: The later exchanges charge the fee that goes with it.
_FEE = 0.02
_OLDER = (
    "token_id", "side", "market_slug", "condition_id", "shares", "shares_normalized", "price", "tx_hash", "title",
    "timestamp", "order_hash", "user",
)  # fmt: skip
#: One fill in so many (odd: both kinds occur) has a row that was seen before its block was, by so many seconds.
_PENDING_EACH, _SEEN_EARLIER = 9, 3

_Record = dict[str, msgspec.Raw]
_RECORD = msgspec.json.Decoder(_Record)


class Trades:
    """Answers `GET /v1/polymarket/trades` and `GET /v2/polymarket/trades`."""

    def __init__(self, store: OrderStore, has_pending: bool) -> None:
        """Serve the fills of `store`; `has_pending` adds the rows that only `status=all` shows."""
        self._store = store
        self._has_pending = has_pending
        self._all_statuses = lru_cache(maxsize=16)(self._with_pending)

    def v1(self, params: QueryParams) -> bytes:
        """Answer the older version: `user`, an offset up to 100,000, no cursor, and the 12 older members only."""
        scope = scope_of(params)
        if scope == Scope():
            needed = "At least one of market_slug, condition_id, token_id, or user is required"
            refuse("Missing required filter parameter", needed)
        limit, ascending = limit_of(params, default=100, most=1000), _ascending(params)
        offset = whole(params.get("offset", "0"))
        if offset is None or not 0 <= offset <= _MAX_OFFSET:
            refuse("Invalid offset parameter", f"offset must be a number between 0 and {_MAX_OFFSET}")
        feed = self._store.feed(scope)
        places = _places(*feed.between(*seconds_of(params)), ascending)
        page = [_v1_row(feed.render(feed.refs[place])) for place in places[offset : offset + limit]]
        more = offset + limit < len(places)
        pagination = {"limit": limit, "offset": offset, "total": len(places), "has_more": more}
        return b'{"orders":' + joined(page) + b',"pagination":' + msgspec.json.encode(pagination) + b"}"

    def v2(self, params: QueryParams) -> bytes:
        """Answer the newer version: `wallet`, a cursor and no total; with `status=all` also what is not confirmed."""
        scope = scope_of(params, wallet="wallet")
        limit, ascending = limit_of(params, default=100, most=500), _ascending(params)
        if ascending and scope == Scope():
            refuse("Invalid order parameter", "order=asc is only possible with a market or wallet filter")
        status = params.get("status", "confirmed")
        if status not in ("confirmed", "all"):
            refuse("Invalid status parameter", "status must be 'confirmed' or 'all'")
        feed = self._store.feed(scope)
        if status == "all":
            feed = self._all_statuses(scope, len(feed.refs))
        first, stop = feed.between(*seconds_of(params))
        if (key := params.get("pagination_key")) is not None:
            place = feed.place_of(key, after=ascending)
            first, stop = (max(first, place), stop) if ascending else (first, min(stop, place))
        places = _places(first, stop, ascending)
        page = [_v2_row(feed.render(feed.refs[place])) for place in places[:limit]]
        pagination: dict[str, Any] = {"limit": limit, "count": len(page), "has_more": len(places) > limit}
        if len(places) > limit:
            pagination["pagination_key"] = feed.key_of(places[limit - 1])
        return b'{"trades":' + joined(page) + b',"pagination":' + msgspec.json.encode(pagination) + b"}"

    def _with_pending(self, scope: Scope, size: int) -> Feed:
        """Return the feed of `scope` with its pending rows; its `size` is there to tell a feed that has grown."""
        feed = self._store.feed(scope)
        rows = [(second, 2 * tie, 2 * ref) for second, tie, ref in zip(feed.times, feed.ties, feed.refs, strict=True)]
        if self._has_pending:
            seen = (row for row in rows[::_PENDING_EACH] if row[0] > _SEEN_EARLIER)
            rows += [(second - _SEEN_EARLIER, tie + 1, ref + 1) for second, tie, ref in seen]
            rows.sort()

        def render(ref: int) -> bytes:
            record = _RECORD.decode(feed.render(ref // 2))
            record["status"] = msgspec.Raw(b'"pending"' if ref % 2 else b'"confirmed"')
            if ref % 2:
                _as_pending(record, never_confirms=ref // 2 % 2 == 1)
            return msgspec.json.encode(record)

        return Feed([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], render)


def _ascending(params: QueryParams) -> bool:
    order = params.get("order", "desc")
    if order not in ("asc", "desc"):
        refuse("Invalid order parameter", "order must be 'asc' or 'desc'")
    return order == "asc"


def _places(first: int, stop: int, ascending: bool) -> range:
    return range(first, stop) if ascending else range(stop - 1, first - 1, -1)


def _as_pending(record: _Record, never_confirms: bool) -> None:
    """Make a fill the row that was seen before it: of an earlier second, and of a transaction that may yet fail."""
    second = _number(record, "timestamp")
    if second is not None:
        record["timestamp"] = msgspec.Raw(str(int(second) - _SEEN_EARLIER).encode())
    if never_confirms and "tx_hash" in record:
        replaced = blake2b(bytes(record["tx_hash"]), digest_size=32).hexdigest()
        record["tx_hash"] = msgspec.Raw(f'"0x{replaced}"'.encode())


def _v1_row(body: bytes) -> bytes:
    record = _RECORD.decode(body)
    return msgspec.json.encode({name: record[name] for name in _OLDER if name in record})


def _v2_row(body: bytes) -> bytes:
    record = _RECORD.decode(body)
    made: dict[str, Any] = {name: record[name] for name in (*_OLDER, "taker", "status") if name in record}
    price, shares, second = (_number(record, name) for name in ("price", "shares", "timestamp"))
    label = msgspec.json.decode(record.get("token_label", b'""'))
    is_second = second is not None and second >= SECOND_EXCHANGE
    amount = fee = None
    if price is not None and shares is not None:
        amount = round(price * shares) / 1e6
        fee = round(_FEE * shares / 1e6 * price * (1 - price), 5) if is_second else 0
    made |= {
        "amount_usd": amount,
        "is_yes_side": label == "Yes",
        "outcome_label": label,
        "fee_usd": fee,
        "exchange_version": 2 if is_second else 1,
        "builder": "",
        "metadata": "",
    }
    return msgspec.json.encode(made)


def _number(record: _Record, name: str) -> float | None:
    """Return a member as a number, None if the record has none that a reader could hold."""
    try:
        return msgspec.json.decode(record[name], type=float, strict=True)
    except (KeyError, msgspec.MsgspecError):
        return None
