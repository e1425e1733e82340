"""The order APIs: fills of a wallet, page by page, in three dialects of one shape.

Facts: bounds are inclusive Unix seconds, and the first must be before the last; newest first. Dome's older shape and
Predexon's first version have no cursor, and refuse large offsets; the second version has no total.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from runner.errors import UpstreamError
from runner.settings import Settings
from runner.sources.http import Budget, Http, decoded
from runner.windows import Window

_OLDER_FIELDS = ("order_hash", "condition_id", "market_slug", "title")
"""Fields of every record that a record may lack and be a fill all the same."""
NEWER_FIELDS = {
    "token_label": "taker",
    "taker": "token_label",
    "log_index": "block_number",
    "block_number": "log_index",
}
"""Those that records of older forms lack, each with one that is lacking too then; answers of one server mix forms."""


@dataclass(frozen=True)
class Dialect:
    """How one order API is asked and answers.

    `source` names it in landing; `wallet` is the parameter, `records` the member with the list; `largest_offset` is
    the last offset that it takes (None: it has cursors alone); `extra_fields` are fields beside the Dome-shaped ones
    that each of its records carries, sorted; `optional_fields` are Dome-shaped ones that no rule demands and each of
    its records carries nevertheless.
    """

    source: str
    path: str
    wallet: str
    records: str
    largest_page: int
    largest_offset: int | None
    extra_fields: tuple[str, ...] = ()
    optional_fields: tuple[str, ...] = _OLDER_FIELDS


DIALECTS = {
    "dome": Dialect(
        "dome",
        "/polymarket/orders",
        "user",
        "orders",
        1000,
        10_000,
        optional_fields=(*_OLDER_FIELDS, *NEWER_FIELDS),
    ),
    "predexon-v1": Dialect("predexon", "/v1/polymarket/trades", "user", "orders", 1000, 100_000),
    "predexon-v2": Dialect(
        "predexon",
        "/v2/polymarket/trades",
        "wallet",
        "trades",
        500,
        None,
        (
            "amount_usd",
            "builder",
            "exchange_version",
            "fee_usd",
            "is_yes_side",
            "metadata",
            "outcome_label",
        ),
        (*_OLDER_FIELDS, "taker"),
    ),
}
"""Setting order_api → dialect. Predexon's are below one base URL, Dome's below …/v1."""


API_SOURCES = sorted({dialect.source for dialect in DIALECTS.values()})
"""Sources whose coverage counts for one another: they tell of the same fills."""


@dataclass(frozen=True)
class Page:
    """An answer: the text of its list, whether there is more, and how many records the API says there are in all."""

    records: bytes
    has_more: bool
    declared: int | None


@dataclass(frozen=True)
class Seen:
    """What whoever reads a page found in it: how many records, and the newest and oldest of their times.

    `is_newest_first` is False where a record is newer than one before it; times are None where no record has one.
    """

    count: int
    newest: datetime | None = None
    oldest: datetime | None = None
    is_newest_first: bool = True


class _Pagination(msgspec.Struct):
    has_more: bool
    pagination_key: str | None = None
    total: int | None = None


class _Orders(msgspec.Struct):
    pagination: _Pagination
    orders: msgspec.Raw


class _Trades(msgspec.Struct):
    pagination: _Pagination
    trades: msgspec.Raw


def dialect_of(settings: Settings) -> Dialect:
    """The dialect that the settings choose."""
    return DIALECTS[settings.order_api]


def client(settings: Settings, budget: Budget | None = None) -> Http:
    """The order API's client. A key is sent when set."""
    headers = {}
    if settings.dome_api_key:
        key = settings.dome_api_key.get_secret_value()
        headers[settings.dome_auth_header] = f"{settings.dome_auth_scheme} {key}".strip()
    return Http(
        "The order API",
        settings.dome_base_url,
        "POLYTRADES_DOME_BASE_URL",
        key_settings="Set POLYTRADES_DOME_API_KEY to a valid key; POLYTRADES_DOME_AUTH_HEADER and "
        "POLYTRADES_DOME_AUTH_SCHEME say how it is sent.",
        headers=headers,
        requests_per_second=settings.requests_per_second,
        in_flight=settings.requests_in_flight,
        timeout=settings.request_timeout_seconds,
        attempts=settings.request_attempts,
        patience=settings.request_patience_seconds,
        budget=budget,
    )


class Walk:
    """One wallet's window, walked from the newest page to the oldest.

    Ends only where the API says that there is no more. Everything else that looks like an end is an error: an answer
    without its list, an empty page that promises more, a cursor or a page that repeats, a total that shrinks, a full
    page as the last one when more is declared, an offset beyond what the API takes when even one second holds more.
    """

    def __init__(self, http: Http, dialect: Dialect, path: str, wallet: str, window: Window, page_size: int) -> None:
        self.declared: int | None = None
        """Records that the API said there are, by the first page."""
        self.received = 0
        self.is_sorted = True
        self.oldest: datetime | None = None
        self._http = http
        self._dialect = dialect
        self._path = path
        self._wallet = wallet
        self._window = window
        self._page_size = min(page_size, dialect.largest_page)
        self._seen: Seen | None = None
        self._is_split = False

    def saw(self, seen: Seen) -> None:
        """What the page that was last given held; must be said before the next one is asked for."""
        self._seen = seen
        self.received += seen.count
        if seen.newest is None or seen.oldest is None:
            return
        if not seen.is_newest_first or (self.oldest is not None and seen.newest > self.oldest):
            self.is_sorted = False
        self.oldest = seen.oldest if self.oldest is None else min(self.oldest, seen.oldest)

    @property
    def complete_from(self) -> datetime | None:
        """From here to the end of the window nothing is missing, though the walk has not ended; None: nothing sure.

        Newest first, so all that is newer than the oldest second seen has come; that second itself may go on.
        """
        if self.oldest is None or not self.is_sorted:
            return None
        return self.oldest.replace(microsecond=0) + timedelta(seconds=1)

    async def pages(self) -> AsyncIterator[Page]:
        """Yields the pages; `saw` must be called after each of them.

        Raises:
            UpstreamError: as above, or as Http.get.
        """
        first, last = self._window.inclusive_seconds()
        position: list[tuple[str, str]] = []
        offset = 0
        keys: set[str] = set()
        pages: set[int] = set()
        total: int | None = None
        full_page = 0
        while True:
            page, key = await self._ask(first, last, position)
            if self.declared is None and not self._is_split:
                self.declared = page.declared
            if total is not None and page.declared is not None and page.declared < total:
                raise self._error(f"first said that there are {total:,} records and then {page.declared:,}")
            total = page.declared
            if (content := hash(page.records)) in pages and page.records != b"[]":
                raise self._error("gave the same page twice: the cursor does not advance")
            pages.add(content)
            self._seen = None
            yield page
            seen = self._seen
            if seen is None:
                raise AssertionError("call saw() after each page")
            full_page = full_page or min(self._page_size, seen.count)
            if not page.has_more:
                self._check_end(page, seen.count >= full_page)
                return
            if not seen.count:
                raise self._error("gave an empty page and says that there is more")
            if key is not None:
                if key in keys:
                    raise self._error("gave the same cursor twice")
                keys.add(key)
                position = [("pagination_key", key)]
                continue
            offset += seen.count
            if self._dialect.largest_offset is not None and offset <= self._dialect.largest_offset:
                position = [("offset", str(offset))]
                continue
            last = self._next_last(first, last)
            # The total of the rest, and records that come twice: there is nothing to compare any more.
            offset, position, total, self.declared = 0, [], None, None
            self._is_split = True

    def _check_end(self, page: Page, is_full: bool) -> None:
        """A total alone proves nothing, since each API counts in its own way; with a full page it is a cut."""
        is_one_page = self.received < self._page_size
        if is_full and not is_one_page and not self._is_split and (page.declared or 0) > self.received:
            raise self._error(
                f"ended after a full page, with {self.received:,} of the {page.declared:,} records that it says there "
                "are: a limit that looks like the end"
            )

    def _next_last(self, first: int | None, last: int) -> int:
        """Where a new window begins when the offset can grow no further: the oldest second seen, once more."""
        oldest = int(self.oldest.timestamp()) if self.oldest else last
        if not self.is_sorted or oldest >= last or (first is not None and oldest <= first):
            raise self._error(
                "gives no cursor, and its largest offset does not reach the end of this window: ask for less at a "
                "time, with --since or `polytrades backfill`"
            )
        return oldest

    async def _ask(self, first: int | None, last: int, position: list[tuple[str, str]]) -> tuple[Page, str | None]:
        query = [(self._dialect.wallet, self._wallet), ("end_time", str(last)), ("limit", str(self._page_size))]
        if first is not None:
            query.append(("start_time", str(first)))
        body = await self._http.get(self._path, query + position)
        what = f"{self._path} of wallet {self._wallet}"
        if self._dialect.records == "orders":
            orders = decoded(body, _Orders, self._http, what)
            records, pagination = bytes(orders.orders), orders.pagination
        else:
            trades = decoded(body, _Trades, self._http, what)
            records, pagination = bytes(trades.trades), trades.pagination
        if records[:1] != b"[":
            raise self._error(f"answered {self._path} without a list of records")
        return Page(records, pagination.has_more, pagination.total), pagination.pagination_key

    def _error(self, what: str) -> UpstreamError:
        return UpstreamError(f"{self._http.name} {what} (wallet {self._wallet}).")
