"""Many look-ups by name at a time: upstreams in turn, a limit on requests, and what comes is handed on at once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from runner.engine.workers import work_together
from runner.errors import PolytradesError, Unavailable, UsageError

_GIVE_UP_AFTER = 3
"""Requests in a row without an answer: then the upstream is the trouble, not the request. One, if it never answered."""

Keep = Callable[[str, dict[str, bytes]], Awaitable[None]]
"""Takes what a source had: name → record as received."""


@dataclass
class Upstream:
    """One upstream's look-up of one kind. It is asked no more once nobody answers there.

    `look_up` takes at most `names_per_request` names and sends at most `requests` requests for them.
    """

    source: str
    look_up: Callable[[Sequence[str]], Awaitable[dict[str, bytes]]]
    names_per_request: int
    requests: int
    problem: str | None = None
    is_given_up: bool = False
    _has_answered: bool = field(default=False, init=False)
    _unanswered: int = field(default=0, init=False)

    async def ask(self, names: Sequence[str]) -> dict[str, bytes] | None:
        """What it has of `names`; None if that could not be learned. The first reason becomes `problem`."""
        try:
            found = await self.look_up(names)
        except PolytradesError as error:
            self.problem = self.problem or str(error)
            if isinstance(error, Unavailable):
                self._unanswered += 1
            else:
                self._answered()
            if isinstance(error, UsageError) or self._unanswered >= (_GIVE_UP_AFTER if self._has_answered else 1):
                self.is_given_up = True
            return None
        self._answered()
        return {name: found[name] for name in names if name in found}

    def _answered(self) -> None:
        self._has_answered = True
        self._unanswered = 0


@dataclass
class Tally:
    """What became of the names of one kind: asked + left of all; landed + unknown + failed of those asked."""

    asked: int = 0
    landed: int = 0
    unknown: int = 0
    failed: int = 0
    left: int = 0
    names_asked: list[str] = field(default_factory=list)
    problem: str | None = None

    def add(self, later: "Tally") -> None:
        """Counts in what the same run did later: what was left before has been asked for since, or is left still."""
        self.asked += later.asked
        self.landed += later.landed
        self.unknown += later.unknown
        self.failed += later.failed
        self.left = later.left


async def look_up(
    names: Sequence[str],
    upstreams: Sequence[Upstream],
    keep: Keep,
    *,
    in_flight: int,
    sent: Callable[[], int],
    limit: int,
) -> Tally:
    """Asks for all names in their order, the next upstream for what the one before does not have.

    A bad answer costs its own request. Names are left out once the next request could be more than `limit`, of which
    `sent()` have been sent, and count as failed once no upstream answers. Memory: each of `in_flight` workers holds the
    answers of one portion until they are kept.
    """
    tally = Tally()
    size = max(upstream.names_per_request for upstream in upstreams)
    portions = _portions(names, size)
    most = sum(-(-size // upstream.names_per_request) * upstream.requests for upstream in upstreams)
    working = 0

    async def ask_portion() -> bool:
        nonlocal working
        # What others are about to send counts as sent: the limit is never passed.
        if sent() + most * (working + 1) > limit or all(upstream.is_given_up for upstream in upstreams):
            return False
        portion = next(portions, None)
        if portion is None:
            return False
        working += 1
        await _asked(portion, upstreams, keep, tally)
        working -= 1
        return True

    async def work() -> None:
        while await ask_portion():
            pass

    await ask_portion()  # alone: that nobody answers, or that a list is not there, is learned by one request
    await work_together(work, min(in_flight, -(-len(names) // size)))
    rest = sum(len(portion) for portion in portions)
    if all(upstream.is_given_up for upstream in upstreams):
        tally.asked += rest
        tally.failed += rest
    else:
        tally.left = rest
    tally.problem = next((upstream.problem for upstream in upstreams if upstream.problem), None)
    return tally


async def _asked(portion: Sequence[str], upstreams: Sequence[Upstream], keep: Keep, tally: Tally) -> None:
    missing = list(portion)
    is_known = True  # that nobody has what is missing
    for upstream in upstreams:
        not_found: list[str] = []
        for names in _portions(missing, upstream.names_per_request):
            found = None if upstream.is_given_up else await upstream.ask(names)
            if found is None:
                is_known = False
            elif found:
                tally.landed += len(found)
                await keep(upstream.source, found)
            not_found += [name for name in names if not found or name not in found]
        missing = not_found
    tally.asked += len(portion)
    tally.names_asked += portion
    if is_known:
        tally.unknown += len(missing)
    else:
        tally.failed += len(missing)


def _portions(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))
