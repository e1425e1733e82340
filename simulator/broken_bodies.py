"""Faults of a body as a whole: not what the head says, not JSON, too much of it."""

from __future__ import annotations

import asyncio
import gzip
import zlib

from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.fault_tools import Action, Kind, answer, begin, healthy, padded, part

_GZIP = [(b"content-encoding", b"gzip")]
_MEGABYTE = b" " * 1_000_000


def _instead(body: bytes, kind: bytes = b"application/json") -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, body, kind=kind)

    return act


def _html() -> Action:
    page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking browser</body></html>"
    return _instead(page, b"text/html; charset=utf-8")


def _empty() -> Action:
    return _instead(b"{}")


def _no_body() -> Action:
    return _instead(b"")


def _null() -> Action:
    return _instead(b"null")


def _error_body() -> Action:
    return _instead(b'{"error":"Internal Server Error","message":"The query took too long"}')


def _truncated() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await answer(send, status, body[: len(body) // 2])

    return act


def _not_utf8() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        # Behind the first quote that opens a value, so that only the text is broken, not the JSON around it.
        await answer(send, status, body.replace(b':"', b':"\xff\xfe', 1))

    return act


def _gzip_truncated() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        packed = gzip.compress(body, compresslevel=1)
        await answer(send, status, packed[: len(packed) // 2], _GZIP)

    return act


def _gzip_lie() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await answer(send, status, body, _GZIP)

    return act


def _gzip_bomb(megabytes: str) -> Action:
    count = size_of(megabytes)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        packer = zlib.compressobj(1, wbits=31)
        await begin(send, status, _GZIP)
        for _ in range(count):
            await part(send, packer.compress(_MEGABYTE))
            await asyncio.sleep(0)  # others are served in between
        await part(send, packer.compress(body) + packer.flush(), is_last=True)

    return act


def _big_body(megabytes: str) -> Action:
    count = size_of(megabytes)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await padded(send, status, body[:-1], b" ", count, body[-1:])

    return act


def size_of(megabytes: str) -> int:
    """Return a number of megabytes, or raise ValueError."""
    count = int(megabytes)
    if not 1 <= count <= 100_000:
        raise ValueError(megabytes)
    return count


KINDS = (
    Kind("html", "200 and a page for a browser", _html),
    Kind("empty", "200 and {}", _empty),
    Kind("no-body", "200 and no byte of body", _no_body),
    Kind("null", "200 and null", _null),
    Kind("error-body", "200 and an object that tells of an error", _error_body),
    Kind("truncated", "half the JSON, in good order otherwise", _truncated),
    Kind("not-utf8", "two bytes in a text that are no UTF-8", _not_utf8),
    Kind("gzip-truncated", "half of the compressed body, in good order otherwise", _gzip_truncated),
    Kind("gzip-lie", "a body that is said to be compressed and is not", _gzip_lie),
    Kind("gzip-bomb:MB", "a small compressed body that holds so many megabytes", _gzip_bomb, ("gzip-bomb:20",)),
    Kind("big-body:MB", "sound JSON with so many megabytes of blanks", _big_body, ("big-body:20",)),
)
