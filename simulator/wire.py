"""The bytes of an answer: a date on each, and answers that no server would send, written past the server.

A layer further in may send a message of type RAW. Its bytes go to the connection as they are, and the connection ends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

RAW = "simulator.raw"
#: Linger for no time at all: closing then sends a reset and drops what was not read.
_NO_LINGER = struct.pack("ii", 1, 0)

Headers = Sequence[tuple[bytes, bytes]]


def raw(status: int | None, headers: Headers = (), body: bytes = b"", is_reset: bool = False) -> Message:
    """Return the message for an answer past the server; without a status not a single byte is sent."""
    return {"type": RAW, "status": status, "headers": headers, "body": body, "is_reset": is_reset}


class Protocol(H11Protocol):
    """Lets a request know the connection that it came by."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the connection where every request's scope gets a copy from."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class Wire:
    """Outermost ASGI layer. `now` gives Unix seconds; every request's scope has it under the same name."""

    def __init__(self, app: ASGIApp, now: Callable[[], float]) -> None:
        """Send the answers of `app`."""
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        ended = False

        async def sending(message: Message) -> None:
            nonlocal ended
            if message["type"] == RAW:
                _write(scope["state"]["transport"], message, self._date())
                ended = True
                return
            if message["type"] == "http.response.start":
                message = {**message, "headers": [self._date(), *message["headers"]]}
            await send(message)

        await self._app({**scope, "now": self._now}, receive, sending)
        while ended and (await receive())["type"] != "http.disconnect":
            pass  # the server takes a request without an answer as a failure until the connection is gone

    def _date(self) -> tuple[bytes, bytes]:
        return (b"date", formatdate(self._now(), usegmt=True).encode())


def _write(transport: Any, message: Message, date: tuple[bytes, bytes]) -> None:
    if message["status"] is not None:
        status = HTTPStatus(message["status"])
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [name + b": " + value for name, value in (date, *message["headers"], (b"connection", b"close"))]
        transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + message["body"])
    if message["is_reset"]:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    else:
        transport.close()
