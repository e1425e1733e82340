"""The Dome-shaped order API: fills of a wallet, and markets and events that Gamma does not have.

Facts: bounds are inclusive Unix seconds; newest first; a cursor (`pagination_key`) while there is more, or in the older
shape none; offsets above 10,000 are refused; at most 1,000 orders or 100 markets a page.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec

from runner.errors import UpstreamError
from runner.settings import Settings
from runner.sources.http import Http, decoded
from runner.windows import Window

SOURCE = "dome"
_ORDERS = "/polymarket/orders"
_MARKETS = "/polymarket/markets"
_EVENTS = "/polymarket/events"


class _Pagination(msgspec.Struct):
    has_more: bool
    pagination_key: str | None = None


class _OrdersPage(msgspec.Struct):
    orders: list[msgspec.Raw]
    pagination: _Pagination


class _Condition(msgspec.Struct):
    condition_id: str


class _Event(msgspec.Struct):
    event_slug: str


class _MarketsPage(msgspec.Struct):
    markets: list[msgspec.Raw]


class _EventsPage(msgspec.Struct):
    events: list[msgspec.Raw]


def client(settings: Settings) -> Http:
    """The API's client. A key is sent when set."""
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
    )


async def order_pages(http: Http, wallet: str, window: Window, page_size: int) -> AsyncIterator[list[bytes]]:
    """Yields the wallet's order records in `window`, page by page, each record as received.

    Ends only where the API says that there is no more. Everything else that looks like an end is an error: an answer
    without `orders`, an empty page that promises more, a cursor or a page that repeats.

    Raises:
        UpstreamError: as above, or as Http.get.
    """
    first, last = window.inclusive_seconds()
    base = [("user", wallet), ("end_time", str(last)), ("limit", str(page_size))]
    if first is not None:
        base.append(("start_time", str(first)))
    position: list[tuple[str, str]] = []
    seen_keys: set[str] = set()
    offset = 0
    previous: list[msgspec.Raw] = []
    while True:
        page = decoded(await http.get(_ORDERS, base + position), _OrdersPage, http, f"{_ORDERS} of wallet {wallet}")
        if page.orders and page.orders == previous:
            raise UpstreamError(
                f"{http.name} gave the same page of wallet {wallet} twice: the cursor does not advance."
            )
        yield [bytes(order) for order in page.orders]
        if not page.pagination.has_more:
            return
        if not page.orders:
            raise UpstreamError(f"{http.name} gave an empty page of wallet {wallet} and says that there is more.")
        previous = page.orders
        offset += len(page.orders)
        key = page.pagination.pagination_key
        if key is None:
            position = [("offset", str(offset))]
            continue
        if key in seen_keys:
            raise UpstreamError(f"{http.name} gave the same cursor for wallet {wallet} twice.")
        seen_keys.add(key)
        position = [("pagination_key", key)]


async def markets(http: Http, condition_ids: Sequence[str]) -> dict[str, bytes]:
    """Condition id (lower case) → market record as received; at most 50 ids, those that are not there are left out."""
    query = [("condition_id", condition_id) for condition_id in condition_ids] + [("limit", "100")]
    found = {}
    for raw in decoded(await http.get(_MARKETS, query), _MarketsPage, http, _MARKETS).markets:
        found[decoded(bytes(raw), _Condition, http, _MARKETS).condition_id.lower()] = bytes(raw)
    return found


async def events(http: Http, slugs: Sequence[str]) -> dict[str, bytes]:
    """Event slug → event record as received. The API takes one slug a request."""
    found = {}
    for slug in slugs:
        query = [("event_slug", slug), ("limit", "10")]
        for raw in decoded(await http.get(_EVENTS, query), _EventsPage, http, _EVENTS).events:
            found[decoded(bytes(raw), _Event, http, _EVENTS).event_slug] = bytes(raw)
    return found
