"""When requests came: how many at most in any window, how many at once, and a limit that refuses the rest."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.fault_tools import answer

#: Lengths in seconds of the windows that are looked at.
WINDOWS = (1, 10)
#: A window of more arrivals than this is not told from one of exactly so many.
_MOST = 500_000


class _Window:
    """The arrivals of the last `length` seconds; one that is exactly so old is no longer among them."""

    def __init__(self, length: float) -> None:
        self._length = length
        self.arrivals: deque[float] = deque(maxlen=_MOST)

    def at(self, now: float) -> deque[float]:
        while self.arrivals and self.arrivals[0] <= now - self._length:
            self.arrivals.popleft()
        return self.arrivals


class Arrivals:
    """Keeps count of the requests of one server. Instants are of the machine's monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start without any; `now` is the clock."""
        self._now = now
        self._windows = {length: _Window(length) for length in WINDOWS}
        self._busiest = dict.fromkeys(WINDOWS, 0)
        self._first: float | None = None
        self._last: float | None = None
        self._open = 0
        self._most_open = 0

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count one request in, and out again when the context ends."""
        now = self._now()
        self._first = now if self._first is None else self._first
        self._last = now
        for length, window in self._windows.items():
            window.at(now).append(now)
            self._busiest[length] = max(self._busiest[length], len(window.arrivals))
        self._open += 1
        self._most_open = max(self._most_open, self._open)
        try:
            yield
        finally:
            self._open -= 1

    def figures(self) -> dict[str, Any]:
        """Return what `/stats` says about time."""
        return {
            "busiest": {str(length): most for length, most in self._busiest.items()},
            "first_arrival": self._first,
            "last_arrival": self._last,
            "peak_concurrent": self._most_open,
        }


class RateLimit:
    """ASGI layer that serves at most `per_second` requests in any second and answers 429 to the others."""

    def __init__(self, app: ASGIApp, per_second: int, now: Callable[[], float] = time.monotonic) -> None:
        """Put the limit in front of `app`; `now` is the clock."""
        self._app = app
        self._per_second = per_second
        self._now = now
        self._served = _Window(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or refuse it; what is refused does not count against the limit."""
        now = self._now()
        served = self._served.at(now)
        if len(served) < self._per_second:
            served.append(now)
            await self._app(scope, receive, send)
            return
        wait = math.ceil(served[0] + 1 - now)
        body = {"error": "Too Many Requests", "message": f"Rate limit of {self._per_second} per second exceeded"}
        await answer(send, 429, msgspec.json.encode(body), [(b"retry-after", str(wait).encode())])
