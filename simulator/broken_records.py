"""Faults inside the records: drift of their shape, and values that hurt a reader."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.broken_bodies import size_of
from simulator.fault_tools import Action, Kind, answer, on_page, padded, page_of
from simulator.pages import RECORD, Page, Record

_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def _drift(how: str, field: str = "") -> Action:
    if how not in _DRIFTS or (how == "add") != (field == ""):
        raise ValueError(how)
    change = _DRIFTS[how]

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = await page_of(app, scope, receive)
        if page is None:
            await app(scope, receive, send)
        else:
            await answer(send, 200, _drifted(page, field, change))

    return act


def _drifted(page: Page, field: str, change: Callable[[Record, str], None]) -> bytes:
    """Change a member of every record, or if none has it, of the pagination or of the answer itself."""
    records = [RECORD.decode(record) for record in page.records]
    having = [record for record in records if not field or field in record]
    for record in having:
        change(record, field)
    page.records = [msgspec.json.encode(record) for record in records]
    if having or page.name is None:
        return page.body()
    whole = RECORD.decode(page.body())
    inner = RECORD.decode(whole.get("pagination", b"{}"))
    if field in inner:
        change(inner, field)
        whole["pagination"] = msgspec.Raw(msgspec.json.encode(inner))
    elif field in whole:
        change(whole, field)
    return msgspec.json.encode(whole)


def _add(record: Record, field: str) -> None:
    record["added_lately"] = msgspec.Raw(b'{"since":2}')


def _missing(record: Record, field: str) -> None:
    del record[field]


def _rename(record: Record, field: str) -> None:
    record[f"{field}_renamed"] = record.pop(field)


def _retype(record: Record, field: str) -> None:
    value = bytes(record[field])
    if not value.startswith(b'"'):
        record[field] = msgspec.Raw(msgspec.json.encode(value.decode()))
    elif _NUMBER.fullmatch(value[1:-1]):
        record[field] = msgspec.Raw(value[1:-1])
    else:
        record[field] = msgspec.Raw(b'{"value":' + value + b"}")


_DRIFTS: dict[str, Callable[[Record, str], None]] = {
    "add": _add,
    "missing": _missing,
    "rename": _rename,
    "retype": _retype,
}


def _with_member(page: Page, name: str, value: bytes) -> None:
    """Give the first record of the page, if there is one, a member more."""
    if page.records:
        page.records[0] = page.records[0].rstrip()[:-1] + b',"' + name.encode() + b'":' + value + b"}"


def _nan() -> Action:
    def change(page: Page, scope: Scope) -> None:
        for place, body in enumerate(page.records[:1]):
            record = RECORD.decode(body)
            number = next((name for name, value in record.items() if _NUMBER.fullmatch(bytes(value))), "price")
            page.records[place] = msgspec.json.encode(record | {number: msgspec.Raw(b"NaN")})

    return on_page(change)


def _deep(levels: str) -> Action:
    depth = int(levels)
    if not 1 <= depth <= 10_000_000:
        raise ValueError(levels)
    return on_page(lambda page, scope: _with_member(page, "nested", b"[" * depth + b"]" * depth))


def _big_record(megabytes: str) -> Action:
    count = size_of(megabytes)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = await page_of(app, scope, receive)
        if page is None or not page.records:
            await app(scope, receive, send)
            return
        _with_member(page, "padding", b'""')
        before, opening, after = page.body().partition(b'"padding":"')
        await padded(send, 200, before + opening, b"x", count, after)

    return act


KINDS = (
    Kind(
        "drift:add|missing:FIELD|rename:FIELD|retype:FIELD",
        "members of every record: one more, one gone, one renamed, one of another type",
        _drift,
        (
            "drift:add",
            *(f"drift:{how}:{field}" for how in ("missing", "rename") for field in ("tx_hash", "has_more", "orders")),
            *(f"drift:retype:{field}" for field in ("timestamp", "token_id", "side", "total")),
        ),
    ),
    Kind("nan", "NaN where the first record has a number", _nan),
    Kind("deep:LEVELS", "arrays in arrays, so many levels, in the first record", _deep, ("deep:100000",)),
    Kind("big-record:MB", "so many megabytes in the first record", _big_record, ("big-record:20",)),
)
