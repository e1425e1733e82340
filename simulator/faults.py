"""Faults on demand: what a bad day of an upstream looks like, as a layer in front of the healthy server.

To add a kind, write a function that takes the kind's arguments and returns an `Action`, and name it in `KINDS`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Runs one faulty request. It may answer alone or pass on to the app it is given.
Action = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]

_UNTOUCHED = ("/healthz", "/stats")
_PAGING = ("pagination_key", "after_cursor", "offset", "cursor")
_SPEC = re.compile(r"(?P<kind>[^@#]+)(?:@(?P<path>[^#]+))?(?:#(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?)?")


class FaultError(Exception):
    """A `--fault` that means nothing; the text says what would."""


async def _send(send: Send, status: int, kind: str, body: bytes, extra: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Return the healthy answer: its start message and its whole body, not compressed."""
    start: Message = {}
    body = bytearray()

    async def keep(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        else:
            body.extend(message.get("body", b""))

    headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    await app({**scope, "headers": headers}, receive, keep)
    return start, bytes(body)


def _html() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking browser</body></html>"
        await _send(send, 200, "text/html; charset=utf-8", page)

    return act


def _status(code: str) -> Action:
    status = int(code)
    if not 200 <= status <= 599:
        raise ValueError(code)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        body = {"error": f"Simulated {status}", "message": "This answer was asked for with --fault"}
        await _send(send, status, "application/json", msgspec.json.encode(body))

    return act


def _retry_after(code: str, seconds: str) -> Action:
    status, wait = int(code), str(float(seconds)).removesuffix(".0").encode()

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        body = msgspec.json.encode({"error": "Too Many Requests", "message": "Rate limit exceeded"})
        await _send(send, status, "application/json", body, [(b"retry-after", wait)])

    return act


def _reset() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await _answer_of(app, scope, receive)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body) + 1).encode())]
        await send({"type": "http.response.start", "status": start["status"], "headers": headers})
        # Ending here without the promised rest makes the server drop the connection.
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})

    return act


def _empty() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await _send(send, 200, "application/json", b"{}")

    return act


def _truncated() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await _answer_of(app, scope, receive)
        await _send(send, start["status"], "application/json", body[: len(body) // 2])

    return act


def _repeat_page() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        kept = urlencode([(name, value) for name, value in query if name not in _PAGING])
        await app({**scope, "query_string": kept.encode()}, receive, send)

    return act


def _slow(seconds: str) -> Action:
    wait = float(seconds)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(wait)
        await app(scope, receive, send)

    return act


#: Each kind: how it is written, and the function that makes its action from the parts after the colon.
KINDS: dict[str, tuple[str, Callable[..., Action]]] = {
    "html": ("html", _html),
    "status": ("status:CODE", _status),
    "retry-after": ("retry-after:CODE:SECONDS", _retry_after),
    "reset": ("reset", _reset),
    "empty": ("empty", _empty),
    "truncated": ("truncated", _truncated),
    "repeat-page": ("repeat-page", _repeat_page),
    "slow": ("slow:SECONDS", _slow),
}


@dataclass(slots=True)
class Fault:
    """One `--fault`: an action for the `first`-th to `last`-th request whose path contains `path` (None: no end)."""

    action: Action
    path: str = ""
    first: int = 1
    last: int | None = None
    seen: int = 0

    def strikes(self, path: str) -> bool:
        """Count a request with this path and say whether it is one of those to spoil."""
        if self.path not in path:
            return False
        self.seen += 1
        return self.first <= self.seen and (self.last is None or self.seen <= self.last)


def parse(spec: str) -> Fault:
    """Read KIND[:ARGUMENT...][@PATHPART][#N[-M]]. Raises FaultError with the kinds there are.

    A single #N means the N-th matching request only.
    """
    match = _SPEC.fullmatch(spec)
    name, *arguments = match["kind"].split(":") if match else [spec]
    if match is None or name not in KINDS:
        known = ", ".join(written for written, _ in KINDS.values())
        raise FaultError(f"unknown fault {spec!r}: the kinds are {known}, each with optional @PATHPART and #N or #N-M")
    written, make = KINDS[name]
    try:
        action = make(*arguments)
    except (TypeError, ValueError) as error:
        raise FaultError(f"fault {spec!r} must be written {written}") from error
    first = int(match["first"] or 1)
    last = int(match["last"]) if match["last"] else (first if match["first"] else None)
    if first < 1 or (last is not None and last < first):
        raise FaultError(f"fault {spec!r}: requests are counted from 1, and the last is not before the first")
    return Fault(action, match["path"] or "", first, last)


class Faults:
    """ASGI layer that lets at most one fault per request act: the first in the order of the command line."""

    def __init__(self, app: ASGIApp, faults: Sequence[Fault]) -> None:
        """Put `faults` in front of `app`."""
        self._app = app
        self._faults = list(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, spoiled or not. A fault also counts matching requests that another fault spoils."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path not in _UNTOUCHED:
            striking = [fault for fault in self._faults if fault.strikes(path)]
            if striking:
                await striking[0].action(self._app, scope, receive, send)
                return
        await self._app(scope, receive, send)
