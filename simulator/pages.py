"""List answers taken apart: what faults look at and change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.types import Scope

from simulator.answers import joined

_LISTS = ("orders", "trades", "activities", "markets", "events")
_PAGING = ("pagination_key", "after_cursor", "cursor", "offset")
_CURSORS = _PAGING[:2]
#: A bare array says nothing about more; its limit when none is asked for, and the largest.
_BARE_LIMIT, _BARE_MOST = 20, 100

Record = dict[str, msgspec.Raw]
RECORD = msgspec.json.Decoder(Record)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
Pairs = list[tuple[str, str]]


def query_of(scope: Scope) -> Pairs:
    """Return the parameters of a request."""
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def asking(scope: Scope, **changed: str) -> Scope:
    """Return the same request with some parameters replaced or added."""
    kept = [(name, value) for name, value in query_of(scope) if name not in changed]
    return {**scope, "query_string": urlencode([*kept, *changed.items()]).encode()}


def restarted(scope: Scope) -> Scope:
    """Return the request for the first page of the same walk."""
    kept = [(name, value) for name, value in query_of(scope) if name not in _PAGING]
    return {**scope, "query_string": urlencode(kept).encode()}


def walk_of(scope: Scope) -> tuple[str, bytes]:
    """Return what the requests of one walk through pages have in common."""
    return (scope["path"], restarted(scope)["query_string"])


def cursor_of(scope: Scope) -> tuple[str, str] | None:
    """Return name and value of the cursor that a request was made with."""
    return next(((name, value) for name, value in query_of(scope) if name in _CURSORS), None)


def offset_of(scope: Scope) -> int:
    """Return the offset of a request, 0 when it has none that counts."""
    text = dict(query_of(scope)).get("offset", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def is_first(scope: Scope) -> bool:
    """Say whether a request starts a walk: no cursor, no offset."""
    return cursor_of(scope) is None and not offset_of(scope)


@dataclass(slots=True)
class Page:
    """One page. `name` is the member with the records, None for a bare array; `has_cursors` is a matter of the path."""

    name: str | None
    records: list[bytes]
    pagination: dict[str, Any] | None
    next_cursor: str | None
    has_cursors: bool
    limit: int

    @classmethod
    def of(cls, body: bytes, scope: Scope) -> Page | None:
        """Take an answer apart, or return None if it is no list."""
        text = dict(query_of(scope)).get("limit", "")
        limit = min(_BARE_MOST, int(text)) if text.isascii() and text.isdigit() else _BARE_LIMIT
        if body.startswith(b"["):
            return cls(None, [bytes(one) for one in _ARRAY.decode(body)], None, None, False, limit)
        members = RECORD.decode(body)
        name = next((name for name in _LISTS if name in members), None)
        if name is None or not set(members) <= {name, "pagination", "next_cursor"}:
            return None
        pagination = msgspec.json.decode(members.get("pagination", b"null"))
        following = msgspec.json.decode(members.get("next_cursor", b"null"))
        has_cursors = not scope["path"].endswith("/v1/polymarket/trades")
        records = [bytes(one) for one in _ARRAY.decode(members[name])]
        return cls(name, records, pagination, following, has_cursors, limit)

    @property
    def has_more(self) -> bool:
        """Whether the page says that another follows."""
        if self.pagination is not None:
            return bool(self.pagination["has_more"])
        return self.next_cursor is not None if self.name else len(self.records) >= self.limit > 0

    @property
    def cursor(self) -> str | None:
        """The cursor of the next page."""
        return self.next_cursor if self.pagination is None else self.pagination.get("pagination_key")

    def promise(self, cursor: str | None) -> None:
        """Say that more follows, at `cursor` where the endpoint has such; None says that this was all."""
        if self.pagination is not None:
            self.pagination["has_more"] = cursor is not None
            self.pagination.pop("pagination_key", None)
            if cursor is not None and self.has_cursors:
                self.pagination["pagination_key"] = cursor
        elif self.name is not None:
            self.next_cursor = cursor

    def body(self) -> bytes:
        """Put the answer together again."""
        records = joined(self.records)
        if self.name is None:
            return records
        parts = [b'"' + self.name.encode() + b'":' + records]
        if self.pagination is not None:
            parts.append(b'"pagination":' + msgspec.json.encode(self.pagination))
        if self.next_cursor is not None:
            parts.append(b'"next_cursor":' + msgspec.json.encode(self.next_cursor))
        return b"{" + b",".join(parts) + b"}"
