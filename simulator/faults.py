"""Faults on demand: what a bad day of an upstream looks like, as a layer in front of the healthy server.

To add a kind, write a function that takes the kind's arguments and returns an `Action`, and name it in the `KINDS` of
the file that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature

from starlette.types import ASGIApp, Receive, Scope, Send

from simulator import broken_bodies, broken_pages, broken_records, broken_transport
from simulator.fault_tools import Action, Kind, page_of
from simulator.pages import is_first

_PLACES = ("first", "middle", "last")
_SPEC = re.compile(
    r"(?P<kind>[^@%#]+)(?:@(?P<path>[^%#]+))?(?:%(?P<place>[^#]+))?(?:#(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?)?"
)

#: Every kind by its name.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (*broken_transport.KINDS, *broken_bodies.KINDS, *broken_pages.KINDS, *broken_records.KINDS)
}


class FaultError(Exception):
    """A `--fault` that means nothing; the text says what would."""


@dataclass(slots=True)
class Fault:
    """One `--fault`: an action for the `first`-th to `last`-th request that matches (None: no end).

    A request matches if its path contains `path` and, unless `place` is empty, its page stands there in its walk.
    """

    action: Action
    path: str = ""
    place: str = ""
    first: int = 1
    last: int | None = None
    seen: int = 0

    def strikes(self, places: frozenset[str]) -> bool:
        """Count a request with a matching path whose page stands at `places`; say whether to spoil it."""
        if self.place and self.place not in places:
            return False
        self.seen += 1
        return self.first <= self.seen and (self.last is None or self.seen <= self.last)


def parse(spec: str) -> Fault:
    """Read KIND[:ARGUMENT...][@PATHPART][%first|%middle|%last][#N[-M]]. Raises FaultError with the kinds there are.

    A single #N means the N-th matching request only.
    """
    match = _SPEC.fullmatch(spec)
    name, *arguments = match["kind"].split(":") if match else [spec]
    if match is None or name not in KINDS:
        known = ", ".join(kind.written for kind in KINDS.values())
        raise FaultError(
            f"unknown fault {spec!r}: the kinds are {known}, "
            "each with optional @PATHPART, %first, %middle or %last, and #N or #N-M"
        )
    kind = KINDS[name]
    try:
        _check_number(kind, arguments)
        action = kind.make(*arguments)
    except ValueError as error:
        raise FaultError(f"fault {spec!r} must be written {kind.written}") from error
    if match["place"] not in (None, *_PLACES):
        raise FaultError(f"fault {spec!r}: a page is one of %first, %middle and %last")
    first = int(match["first"] or 1)
    last = int(match["last"]) if match["last"] else (first if match["first"] else None)
    if first < 1 or (last is not None and last < first):
        raise FaultError(f"fault {spec!r}: requests are counted from 1, and the last is not before the first")
    return Fault(action, match["path"] or "", match["place"] or "", first, last)


def _check_number(kind: Kind, arguments: Sequence[str]) -> None:
    """Raise ValueError if a kind takes fewer or more arguments."""
    try:
        signature(kind.make).bind(*arguments)
    except TypeError as error:
        raise ValueError(arguments) from error


class Faults:
    """ASGI layer that lets at most one fault per request act: the first in the order of the command line."""

    def __init__(self, app: ASGIApp, faults: Sequence[Fault]) -> None:
        """Put `faults` in front of `app`."""
        self._app = app
        self._faults = list(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, spoiled or not. A fault also counts matching requests that another fault spoils."""
        matching = [fault for fault in self._faults if fault.path in scope["path"]]
        places = frozenset[str]()
        if any(fault.place for fault in matching):
            places = await self._places(scope, receive)
        striking = [fault for fault in matching if fault.strikes(places)]
        if striking:
            await striking[0].action(self._app, scope, receive, send)
        elif broken_pages.is_beyond(scope):
            await broken_pages.beyond(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _places(self, scope: Scope, receive: Receive) -> frozenset[str]:
        """Say where in its walk a page stands: a walk of one page has it both first and last."""
        if broken_pages.is_beyond(scope):
            return frozenset({"last"})
        places = {"first"} if is_first(scope) else set()
        page = await page_of(self._app, scope, receive)
        if page is not None and not page.has_more:
            places.add("last")
        return frozenset(places or ({"middle"} if page is not None else ()))
