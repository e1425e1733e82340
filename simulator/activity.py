"""The activity endpoint: splits, merges and redemptions, which look like orders and are none."""

from __future__ import annotations

from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.datastructures import QueryParams

from simulator.answers import joined, limit_of, seconds_of
from simulator.orders import Feed, OrderStore, Scope, scope_of

_SIDES = ("SPLIT", "MERGE", "REDEEM")
#: One fill in so many is followed by a split, a merge or a redemption in its market, within its second.
_EACH = 10
#: Above every log index of a fill, so that the two never share a place in their block.
_LOG_INDEX = 1_000_000
_SHARED = ("market_slug", "condition_id", "shares", "shares_normalized", "title", "timestamp", "user")
_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Activity:
    """Answers `GET /polymarket/activity`."""

    def __init__(self, store: OrderStore, is_synthetic: bool) -> None:
        """Derive the rows from the fills of `store`; recorded files have none, nothing is made up beside them."""
        self._store = store
        self._is_synthetic = is_synthetic
        self._feed = lru_cache(maxsize=16)(self._make_feed)

    def answer(self, params: QueryParams) -> bytes:
        """Answer one request: newest first, both times inclusive, `count` is that of all rows that match."""
        scope = scope_of(params)
        limit = limit_of(params, default=100, most=1000)
        feed = self._feed(scope)
        first, stop = feed.between(*seconds_of(params))
        count = stop - first
        if (key := params.get("pagination_key")) is not None:
            stop = min(stop, feed.place_of(key))
        begin = max(first, stop - limit)
        pagination: dict[str, Any] = {"limit": limit, "count": count, "has_more": begin > first}
        if begin > first:
            pagination["pagination_key"] = feed.key_of(begin)
        rows = joined([feed.render(feed.refs[place]) for place in range(stop - 1, begin - 1, -1)])
        return b'{"activities":' + rows + b',"pagination":' + msgspec.json.encode(pagination) + b"}"

    @cached_property
    def _origins(self) -> frozenset[int]:
        """The fills that a row is derived from: the same ones whatever is asked for."""
        return frozenset(self._store.well_formed().refs[::_EACH] if self._is_synthetic else ())

    def _make_feed(self, scope: Scope) -> Feed:
        fills = self._store.feed(scope)
        places = [place for place, ref in enumerate(fills.refs) if ref in self._origins]
        times, ties = [fills.times[place] for place in places], [fills.ties[place] for place in places]
        return Feed(times, ties, [fills.refs[place] for place in places], lambda ref: _row(fills.render(ref), ref))


def _row(fill: bytes, ref: int) -> bytes:
    record = _RECORD.decode(fill)
    tx_hash = blake2b(bytes(record["tx_hash"]), digest_size=32).hexdigest()
    made: dict[str, Any] = {"token_id": "", "side": _SIDES[ref // _EACH % len(_SIDES)]}
    made |= {name: record[name] for name in _SHARED}
    made |= {"price": 1, "tx_hash": f"0x{tx_hash}", "order_hash": ""}
    if "block_number" in record:
        log_index = _LOG_INDEX + msgspec.json.decode(record["log_index"], type=int)
        made |= {"block_number": record["block_number"], "log_index": log_index}
    return msgspec.json.encode(made)
