"""How fast an upstream may be asked: never above its limit in any window, slower when it says so."""

import asyncio
import random
from collections import deque

_WINDOW = 1.03
"""Seconds in which no more than a second's worth is sent. A little more than one: on its way to the upstream a request
may fall behind or catch up, and the upstream counts when they arrive."""
_SLOWEST = 0.05
"""Share of the configured rate below which 429s slow us no further."""
_RECOVERY = 0.02
"""Share of the configured rate won back with each second's worth of good answers."""


class Pace:
    """A rate limit shared by all requests to an upstream, in requests a second.

    Requests are spread evenly, and the instants of the last second's are kept, so that lateness made up for never
    becomes a burst. An answer "too many requests" halves the rate; good answers win it back little by little.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._limit = requests_per_second
        self._most = max(1, int(requests_per_second))
        self._rate = requests_per_second
        self._sent: deque[float] = deque(maxlen=self._most)
        self._next = 0.0
        self._paused_until = 0.0
        self._slowed_at = float("-inf")
        self._turn = asyncio.Lock()

    @property
    def rate(self) -> float:
        """Requests a second at this moment."""
        return self._rate

    async def turn(self) -> None:
        """Waits until one more request may be sent. First come, first served."""
        async with self._turn:
            now = asyncio.get_running_loop().time
            # Again, because an answer may have paused everything meanwhile.
            while (earliest := self._earliest()) > now():  # noqa: ASYNC110 - waits for an instant, not for an event
                await asyncio.sleep(earliest - now())
            sent = now()
            # Half a slot of lateness may be made up for; more would be a burst.
            self._next = max(self._next, sent - 0.5 / self._rate) + 1 / self._rate
            self._sent.append(sent)

    def _earliest(self) -> float:
        earliest = max(self._next, self._paused_until)
        if len(self._sent) == self._most:
            earliest = max(earliest, self._sent[0] + _WINDOW * self._most / self._limit)
        return earliest

    def slow_down(self, seconds: float | None) -> None:
        """The upstream has had too much: half the rate, and nothing at all for `seconds` if it gave a time."""
        now = asyncio.get_running_loop().time()
        if now - self._slowed_at > _WINDOW:  # the answers to all that was in flight are one complaint
            self._rate = max(self._limit * _SLOWEST, self._rate / 2)
            self._slowed_at = now
        if seconds:
            self._paused_until = max(self._paused_until, now + seconds)

    def speed_up(self) -> None:
        """A good answer."""
        if self._rate < self._limit:
            self._rate = min(self._limit, self._rate + _RECOVERY * self._limit / max(1.0, self._rate))


def full_jitter(attempt: int, first: float, longest: float) -> float:
    """Seconds before attempt `attempt` + 1: anything up to a bound that doubles. So clients do not move in step."""
    return random.uniform(0, min(longest, first * 2**attempt))  # noqa: S311 - no secret
