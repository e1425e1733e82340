"""The Gamma endpoints: legacy lists, keyset lists and single records, over records from a world or from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec
from starlette.datastructures import QueryParams

from simulator.answers import ApiError, cursor, joined, read_cursor, whole

_DEFAULT_LIMIT = 20
_LEGACY_LIMIT, _MAX_OFFSET, _MAX_IDS = 100, 10_000, 100
#: Parameter of a list and the text of the record that it is compared with.
_MARKET_FILTERS = {"id": "id", "slug": "slug", "condition_ids": "condition_id", "clob_token_ids": "tokens"}
_EVENT_FILTERS = {"id": "id", "slug": "slug"}
_KEYSET_LIMIT = {"markets": 100, "events": 500}


class _Fields(msgspec.Struct, rename="camel"):
    """The members of a Gamma market or event that requests select by; everything else stays raw."""

    id: str
    slug: str = ""
    condition_id: str = ""
    closed: bool | None = None
    clob_token_ids: str = "[]"  # noqa: S105 - position tokens, no secret


@dataclass(frozen=True, slots=True)
class Item:
    """One market or event: its JSON text, served as it is, and what requests select by."""

    body: bytes
    id: str
    slug: str
    condition_id: str
    closed: bool
    tokens: tuple[str, ...]

    @classmethod
    def of(cls, body: bytes) -> Item:
        """Read a record's JSON text. Raises msgspec.ValidationError if it is no Gamma record."""
        fields = msgspec.json.decode(body, type=_Fields)
        tokens = tuple(msgspec.json.decode(fields.clob_token_ids, type=list[str]))
        return cls(body, fields.id, fields.slug, fields.condition_id.lower(), bool(fields.closed), tokens)

    def says(self, field: str) -> tuple[str, ...]:
        """Return the values that a list parameter is compared with."""
        return self.tokens if field == "tokens" else (getattr(self, field),)


class GammaCatalogue:
    """Answers the Gamma endpoints over a fixed set of records, in order of their numeric ids."""

    def __init__(self, markets: Iterable[Item], events: Iterable[Item]) -> None:
        """Sort the records by id."""
        self._markets = sorted(markets, key=_number)
        self._events = sorted(events, key=_number)

    def markets(self, params: QueryParams) -> bytes:
        """Answer `GET /markets`: a bare array. Closed markets only appear when asked for with `closed=true`."""
        if len(params.getlist("condition_ids")) > _MAX_IDS:
            _invalid(f"condition_ids: at most {_MAX_IDS} values")
        return _legacy(_selected(self._markets, params, _MARKET_FILTERS), params)

    def events(self, params: QueryParams) -> bytes:
        """Answer `GET /events`: a bare array, closed events only on request."""
        return _legacy(_selected(self._events, params, _EVENT_FILTERS), params)

    def markets_keyset(self, params: QueryParams) -> bytes:
        """Answer `GET /markets/keyset`: `{markets, next_cursor}`; the cursor comes back as `after_cursor`."""
        return _keyset("markets", _selected(self._markets, params, _MARKET_FILTERS), params)

    def events_keyset(self, params: QueryParams) -> bytes:
        """Answer `GET /events/keyset`."""
        return _keyset("events", _selected(self._events, params, _EVENT_FILTERS), params)

    def market(self, test: Callable[[Item], bool]) -> bytes:
        """Return one market, open or closed, or the 404 answer."""
        return _one(self._markets, test)

    def event(self, test: Callable[[Item], bool]) -> bytes:
        """Return one event, open or closed, or the 404 answer."""
        return _one(self._events, test)


def _number(item: Item) -> tuple[int, str]:
    return (whole(item.id) or 0, item.id)


def _invalid(message: str) -> NoReturn:
    raise ApiError(422, {"type": "validation error", "error": message})


def _one(items: Sequence[Item], test: Callable[[Item], bool]) -> bytes:
    for item in items:
        if test(item):
            return item.body
    raise ApiError(404, {"type": "not found error", "error": "id not found"})


def _selected(items: Sequence[Item], params: QueryParams, filters: dict[str, str]) -> list[Item]:
    closed = params.get("closed", "false")
    if closed not in ("true", "false"):
        _invalid("closed: must be true or false")
    found = [item for item in items if item.closed == (closed == "true")]
    for name, field in filters.items():
        wanted = {value.lower() for value in params.getlist(name)}
        if wanted:
            found = [item for item in found if any(value.lower() in wanted for value in item.says(field))]
    return found


def _count(params: QueryParams, name: str, default: int) -> int:
    value = whole(params.get(name, str(default)))
    if value is None or value < 0:
        _invalid(f"{name}: must be a non-negative number")
    return value


def _legacy(found: list[Item], params: QueryParams) -> bytes:
    # A larger limit is not refused but cut, so a full page of 100 is no sign of the caller's own limit.
    limit = min(_LEGACY_LIMIT, _count(params, "limit", _DEFAULT_LIMIT))
    offset = _count(params, "offset", 0)
    if offset > _MAX_OFFSET:
        _invalid(f"offset: must not exceed {_MAX_OFFSET}, use the keyset endpoints")
    return joined([item.body for item in found[offset : offset + limit]])


def _keyset(name: str, found: list[Item], params: QueryParams) -> bytes:
    if "offset" in params:
        _invalid("offset: not supported, use after_cursor")
    limit = max(1, min(_KEYSET_LIMIT[name], _count(params, "limit", _DEFAULT_LIMIT)))
    # Only `after_cursor` is read: a cursor sent under another name repeats page one, as upstream.
    if (key := params.get("after_cursor")) is not None:
        try:
            (last,) = read_cursor(key, {"id": str})
        except ApiError:
            _invalid("after_cursor: invalid cursor")
        found = [item for item in found if _number(item) > (whole(last) or 0, last)]
    page = found[:limit]
    answer: dict[str, Any] = {name: [msgspec.Raw(item.body) for item in page]}
    if len(found) > len(page):
        answer["next_cursor"] = cursor({"id": page[-1].id})
    return msgspec.json.encode(answer)
