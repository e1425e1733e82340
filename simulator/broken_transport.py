"""Faults of the connection and of the head of an answer."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.fault_tools import JSON, Action, Kind, answer, begin, healthy, part
from simulator.wire import raw

_A_YEAR = 31_536_000
_STATUSES = (401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504)
#: A drip is so many bytes at a time, with so many seconds between.
_DROP, _PAUSE = 8, 0.05


def _drop() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await send(raw(None))

    return act


def _reset() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await begin(send, status, [_length(len(body) + 1)])
        await part(send, body[: len(body) // 2])

    return act


def _tcp_reset() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await send(raw(status, _head(len(body)), body[: len(body) // 2], is_reset=True))

    return act


def _length_long() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await begin(send, status, [_length(len(body) + 10)])
        await part(send, body)

    return act


def _length_short() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await send(raw(status, _head(len(body) // 2), body))

    return act


def _slow(seconds: str) -> Action:
    wait = _seconds(seconds)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(wait)
        await app(scope, receive, send)

    return act


def _drip(seconds: str) -> Action:
    times = int(_seconds(seconds) / _PAUSE)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await begin(send, status, [_length(len(body))])
        for turn in range(times):
            await part(send, body[turn * _DROP : (turn + 1) * _DROP])
            await asyncio.sleep(_PAUSE)
        await part(send, body[times * _DROP :], is_last=True)

    return act


def _stall(seconds: str) -> Action:
    wait = _seconds(seconds)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await healthy(app, scope, receive)
        await begin(send, status, [_length(len(body))])
        await part(send, body[: len(body) // 2])
        await asyncio.sleep(wait)

    return act


def _status(code: str) -> Action:
    status = _code(code)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        body = {"error": f"Simulated {status}", "message": "This answer was asked for with --fault"}
        await answer(send, status, msgspec.json.encode(body))

    return act


_BUSY = msgspec.json.encode({"error": "Too Many Requests", "message": "Rate limit exceeded"})


def _retry_after(code: str, seconds: str) -> Action:
    status, wait = _code(code), str(float(seconds)).removesuffix(".0").encode()

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, status, _BUSY, [(b"retry-after", wait)])

    return act


def _retry_date(code: str, seconds: str) -> Action:
    status, wait = _code(code), float(seconds)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        when = formatdate(scope["now"]() + wait, usegmt=True)
        await answer(send, status, _BUSY, [(b"retry-after", when.encode())])

    return act


def _redirect(code: str, *host: str) -> Action:
    status, authority = _code(code), ":".join(host)
    if not 300 <= status <= 399 or not authority:
        raise ValueError(code)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"]
        target = f"http://{authority}{scope['path']}".encode() + (b"?" + query if query else b"")
        await answer(send, status, b"{}", [(b"location", target)])

    return act


def _code(text: str) -> int:
    code = int(text)
    if not 200 <= code <= 599:
        raise ValueError(text)
    return code


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise ValueError(text)
    return seconds


def _length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


def _head(size: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", JSON), _length(size)]


KINDS = (
    Kind("status:CODE", "that status and a JSON error", _status, tuple(f"status:{code}" for code in _STATUSES)),
    Kind(
        "retry-after:CODE:SECONDS",
        "that status with Retry-After in seconds",
        _retry_after,
        ("retry-after:429:1", "retry-after:503:1", f"retry-after:429:{_A_YEAR}"),
    ),
    Kind(
        "retry-date:CODE:SECONDS",
        "that status with Retry-After as the date in so many seconds",
        _retry_date,
        ("retry-date:429:1", f"retry-date:503:{_A_YEAR}"),
    ),
    Kind(
        "redirect:CODE:HOST[:PORT]",
        "a redirect to the same path on another host",
        _redirect,
        ("redirect:302:elsewhere.invalid", "redirect:308:elsewhere.invalid:8080"),
    ),
    Kind("drop", "the connection closes before any byte", _drop),
    Kind("reset", "the connection closes in the middle of the body", _reset),
    Kind("tcp-reset", "a TCP reset in the middle of the body", _tcp_reset),
    Kind("length-long", "a content-length of ten more bytes than come", _length_long),
    Kind("length-short", "a content-length of half the bytes that come", _length_short),
    Kind("slow:SECONDS", "the answer comes later, and whole", _slow, ("slow:0.05",)),
    Kind("drip:SECONDS", "a few bytes at a time for so long, then the rest at once", _drip, ("drip:0.3",)),
    Kind("stall:SECONDS", "half the body, silence for so long, then the connection closes", _stall, ("stall:0.3",)),
)
