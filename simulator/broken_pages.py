"""Faults of a walk through pages: what they promise, repeat, lose or count wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.answers import ApiError, cursor, read_cursor
from simulator.fault_tools import Action, Kind, answer, on_page, page_of
from simulator.pages import Page, asking, cursor_of, is_first, offset_of, restarted, walk_of

_Value = TypeVar("_Value")
_MOST_WALKS = 1_000


class _Walks(Generic[_Value]):
    """What a fault remembers of the walks under way; a walk that starts again is forgotten."""

    def __init__(self, fresh: Callable[[], _Value]) -> None:
        self._fresh = fresh
        self._known: dict[tuple[str, bytes], _Value] = {}

    def of(self, scope: Scope) -> _Value:
        walk = walk_of(scope)
        if is_first(scope):
            self._known.pop(walk, None)
        if walk not in self._known:
            if len(self._known) >= _MOST_WALKS:
                self._known.clear()
            self._known[walk] = self._fresh()
        return self._known[walk]


def _repeat_page() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await app(restarted(scope), receive, send)

    return act


def _repeat_cursor() -> Action:
    # Which page a cursor stands for by now: it comes back again and again, and another page is meant every time.
    walks = _Walks[dict[str, str]](dict)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        meant, given = walks.of(scope), cursor_of(scope)
        if given is not None:
            name, key = given
            scope = asking(scope, **{name: meant.get(key, key)})
        page = await page_of(app, scope, receive)
        if page is None or given is None or page.cursor is None:
            await app(scope, receive, send)
            return
        meant[key] = page.cursor
        page.promise(key)
        await answer(send, 200, page.body())

    return act


def is_beyond(scope: Scope) -> bool:
    """Say whether a request's cursor is one that a fault made up."""
    given = cursor_of(scope)
    try:
        return given is not None and bool(read_cursor(given[1], {"beyond": int}))
    except ApiError:
        return False


async def page_at(app: ASGIApp, scope: Scope, receive: Receive) -> Page | None:
    """Return the healthy page; for a cursor that a fault made up it is an empty one, and the last."""
    if not is_beyond(scope):
        return await page_of(app, scope, receive)
    page = await page_of(app, restarted(scope), receive)
    if page is not None:
        page.records = []
        page.promise(None)
    return page


async def beyond(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a made-up cursor that no fault spoils: so the walk ends well."""
    page = await page_at(app, scope, receive)
    if page is None:
        await app(scope, receive, send)
    else:
        await answer(send, 200, page.body())


def _promising(change: Callable[[Page], None]) -> Action:
    """Return the action that changes a page and then promises more, if need be at a cursor that is made up."""
    numbers = count(1)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = await page_at(app, scope, receive)
        if page is None:
            await app(scope, receive, send)
            return
        change(page)
        page.promise(page.cursor or cursor({"beyond": next(numbers)}))
        await answer(send, 200, page.body())

    return act


def _more_for_ever() -> Action:
    return _promising(lambda page: None)


def _empty_page() -> Action:
    return _promising(lambda page: page.records.clear())


def _early_end() -> Action:
    return on_page(lambda page, scope: page.promise(None))


def _lost_record() -> Action:
    def change(page: Page, scope: Scope) -> None:
        if page.records:
            del page.records[len(page.records) // 2]

    return on_page(change)


def _no_cursor() -> Action:
    def change(page: Page, scope: Scope) -> None:
        if page.pagination is not None:
            page.pagination.pop("pagination_key", None)

    return on_page(change)


def _no_has_more() -> Action:
    def change(page: Page, scope: Scope) -> None:
        if page.pagination is not None:
            del page.pagination["has_more"]

    return on_page(change)


def _has_more_text() -> Action:
    def change(page: Page, scope: Scope) -> None:
        if page.pagination is not None:
            page.pagination["has_more"] = str(page.has_more).lower()

    return on_page(change)


def _total(wrong: Callable[[int], int]) -> Callable[[], Action]:
    def change(page: Page, scope: Scope) -> None:
        if page.pagination is not None and "total" in page.pagination:
            page.pagination["total"] = wrong(page.pagination["total"])

    return lambda: on_page(change)


def _total_shrinks() -> Action:
    walks = _Walks[Iterator[int]](lambda: count(1))

    def change(page: Page, scope: Scope) -> None:
        gone = next(walks.of(scope))
        if page.pagination is not None and "total" in page.pagination:
            page.pagination["total"] = max(0, page.pagination["total"] - gone)

    return on_page(change)


def _unsorted() -> Action:
    def change(page: Page, scope: Scope) -> None:
        page.records = page.records[1::2] + page.records[::2]

    return on_page(change)


def _duplicate_record() -> Action:
    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        page = await page_of(app, scope, receive)
        if page is None or len(page.records) < 2:
            await app(scope, receive, send)
        elif not page.has_cursors:
            await shifted(app, scope, receive, send)
        else:
            # The next page begins where it would if this one ended a record earlier.
            shorter = await page_of(app, asking(scope, limit=str(len(page.records) - 1)), receive)
            page.promise(shorter.cursor if shorter else None)
            await answer(send, 200, page.body())

    shifted = _shift("repeat")
    return act


def _shift(way: str) -> Action:
    by = {"skip": 1, "repeat": -1}.get(way)
    if by is None:
        raise ValueError(way)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        offset = offset_of(scope)
        page = await page_of(app, asking(scope, offset=str(offset + by)), receive) if offset else None
        if page is None:
            await app(scope, receive, send)
            return
        if page.pagination is not None:
            page.pagination["offset"] = offset
        await answer(send, 200, page.body())

    return act


def _cap(limit: str) -> Action:
    most = int(limit)
    if most < 1:
        raise ValueError(limit)

    async def act(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await app(asking(scope, limit=str(most)), receive, send)

    return act


KINDS = (
    Kind("repeat-page", "page one again, whatever was asked for", _repeat_page),
    Kind("repeat-cursor", "the pages go on, their cursor stays the one that was sent", _repeat_cursor),
    Kind("more-for-ever", "behind the last page empty ones without end, each with a new cursor", _more_for_ever),
    Kind("empty-page", "no record, and more is promised", _empty_page),
    Kind("early-end", "says that there is no more while there is", _early_end),
    Kind("no-cursor", "has_more without a cursor", _no_cursor),
    Kind("no-has-more", "no has_more in the pagination", _no_has_more),
    Kind("has-more-text", "has_more as a text", _has_more_text),
    Kind("total-large", "a total that is a tenth and one too large", _total(lambda total: total + total // 10 + 1)),
    Kind("total-small", "half the total", _total(lambda total: total // 2)),
    Kind("total-shrinks", "a total that is smaller with every page", _total_shrinks),
    Kind("unsorted", "the records of the page in no order", _unsorted),
    Kind("lost-record", "a page without the record in its middle", _lost_record),
    Kind("duplicate-record", "the last record again as the first of the next page", _duplicate_record),
    Kind(
        "shift:skip|repeat",
        "with an offset: a record fewer or more in front than when the walk began",
        _shift,
        ("shift:skip", "shift:repeat"),
    ),
    Kind("cap:N", "at most so many records a page, whatever was asked for", _cap, ("cap:3",)),
)
