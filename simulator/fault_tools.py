"""What the kinds of faults are made with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.pages import Page
from simulator.wire import Headers

#: Runs one faulty request. It may answer alone or pass on to the app it is given.
Action = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how it is written, what it does, and the function that makes its action.

    The function takes the parts after the colons. `shown` are specs that together show all there is to the kind;
    a kind without arguments needs none.
    """

    written: str
    meaning: str
    make: Callable[..., Action]
    shown: tuple[str, ...] = ()

    @property
    def examples(self) -> tuple[str, ...]:
        """Specs to try the kind with."""
        return self.shown or (self.name,)

    @property
    def name(self) -> str:
        """The part before the first colon."""
        return self.written.partition(":")[0]


async def answer(send: Send, status: int, body: bytes, headers: Headers = (), kind: bytes = JSON) -> None:
    """Send a whole and sound answer."""
    about = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body})


async def begin(send: Send, status: int, headers: Headers = ()) -> None:
    """Send the head of a JSON answer; what is not sent of its body before the action ends drops the connection."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", JSON), *headers]})


async def part(send: Send, body: bytes, is_last: bool = False) -> None:
    """Send a part of a body."""
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def padded(send: Send, status: int, before: bytes, filler: bytes, megabytes: int, after: bytes) -> None:
    """Send a body with megabytes of one byte in its middle, none of them kept."""
    await begin(send, status)
    await part(send, before)
    chunk = filler * _CHUNK
    for _ in range(megabytes * 1_000_000 // _CHUNK):
        await part(send, chunk)
        await asyncio.sleep(0)  # others are served in between
    await part(send, filler * (megabytes * 1_000_000 % _CHUNK) + after, is_last=True)


async def healthy(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[int, bytes]:
    """Return status and body of the healthy answer, not compressed."""
    status, body = 0, bytearray()

    async def keep(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            body.extend(message.get("body", b""))

    headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    await app({**scope, "headers": headers}, receive, keep)
    return status, bytes(body)


async def page_of(app: ASGIApp, scope: Scope, receive: Receive) -> Page | None:
    """Return the healthy page, None if the answer is no list or no 200."""
    status, body = await healthy(app, scope, receive)
    return Page.of(body, scope) if status == 200 else None


def on_page(change: Callable[[Page, Scope], None]) -> Action:
    """Return the action that changes a page; other answers stay what they are."""

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = await page_of(app, scope, receive)
        if page is None:
            await app(scope, receive, send)
            return
        change(page, scope)
        await answer(send, 200, page.body())

    return act
