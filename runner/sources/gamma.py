"""Gamma: Polymarket's own market data. No key.

Facts: a list is walked by cursor (`/markets/keyset`, `/events/keyset`): `next_cursor` goes back as `after_cursor`,
under another name it is ignored, and it is absent on the last page. The older lists (`/markets`, `/events`) are bare
arrays and may be gone one day. Without `closed` a list holds open records only, so both are asked for; `limit` is
capped at 100 without a word; lists inside a record are JSON texts; an event holds all of its markets.
"""

from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from runner.errors import UpstreamError, UsageError
from runner.settings import Settings
from runner.sources.http import Http, decoded

SOURCE = "gamma"
_PAGE = ("limit", "100")


class _Market(msgspec.Struct, rename="camel"):
    condition_id: str
    clob_token_ids: str | None = None


class _Event(msgspec.Struct):
    slug: str


class _MarketsPage(msgspec.Struct):
    records: list[msgspec.Raw] = msgspec.field(name="markets")
    next_cursor: str | None = None


class _EventsPage(msgspec.Struct):
    records: list[msgspec.Raw] = msgspec.field(name="events")
    next_cursor: str | None = None


def client(settings: Settings) -> Http:
    """Gamma's client."""
    return Http(
        "Gamma",
        settings.gamma_base_url,
        "POLYTRADES_GAMMA_BASE_URL",
        requests_per_second=settings.requests_per_second,
        in_flight=settings.requests_in_flight,
        timeout=settings.request_timeout_seconds,
        attempts=settings.request_attempts,
    )


class Gamma:
    """Look-ups by name. Which lists Gamma has is found out once and remembered.

    Args:
        http: the client.
        lists: `keyset`, `legacy`, or `auto`: keyset, and legacy where keyset answers 404.
    """

    def __init__(self, http: Http, lists: str) -> None:
        self.http = http
        self._lists = lists
        self._without_keyset: set[str] = set()

    async def markets(self, condition_ids: Sequence[str]) -> dict[str, bytes]:
        """Condition id (lower case) → market record as received; at most 50 ids, those that are not there are left out.

        Raises:
            UpstreamError: an answer cannot be used, the same page or cursor came twice, or what came was not asked for.
            UsageError: there is no such list at the address.
        """

        def names_of(raw: bytes) -> list[str]:
            return [self._market(raw).condition_id.lower()]

        return await self._looked_up("markets", "condition_ids", condition_ids, names_of)

    async def markets_of_tokens(self, token_ids: Sequence[str]) -> dict[str, bytes]:
        """Token id → record of its market; at most 50 tokens, those of no known market are left out.

        Raises:
            UpstreamError, UsageError: as above.
        """

        def names_of(raw: bytes) -> list[str]:
            return decoded((self._market(raw).clob_token_ids or "[]").encode(), list[str], self.http, "/markets")

        return await self._looked_up("markets", "clob_token_ids", token_ids, names_of)

    def _market(self, raw: bytes) -> _Market:
        return decoded(raw, _Market, self.http, "/markets")

    async def events(self, slugs: Sequence[str]) -> dict[str, bytes]:
        """Event slug → event record without its markets; at most 50 slugs, those that are not there are left out.

        An event's markets are records of their own, and up to 98 % of its text; the rest is as received.

        Raises:
            UpstreamError, UsageError: as above.
        """

        def names_of(raw: bytes) -> list[str]:
            return [decoded(raw, _Event, self.http, "/events").slug]

        found = await self._looked_up("events", "slug", slugs, names_of)
        return {slug: self._without_markets(raw) for slug, raw in found.items()}

    def _without_markets(self, raw: bytes) -> bytes:
        fields = decoded(raw, dict[str, msgspec.Raw], self.http, "/events")
        return msgspec.json.encode({name: value for name, value in fields.items() if name != "markets"})

    async def _looked_up(
        self, kind: str, parameter: str, names: Sequence[str], names_of: Callable[[bytes], list[str]]
    ) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for closed in ("false", "true"):
            missing = {name for name in names if name not in found}
            if not missing:
                break
            query = [*((parameter, name) for name in names if name in missing), ("closed", closed)]
            async for records in self._pages(kind, query):
                page: dict[str, bytes] = {}
                for raw in map(bytes, records):
                    own = names_of(raw)
                    asked = {name: raw for name in own if name in missing}
                    if not asked:
                        raise UpstreamError(
                            f"{self.http.name} was asked for {len(missing)} {kind} and gave another one, "
                            f"{next(iter(own), 'without a name')}: it does not look at {parameter}."
                        )
                    page |= asked
                if page and page.keys() <= found.keys():
                    raise UpstreamError(
                        f"{self.http.name} gave the same page of {kind} twice: the cursor does not advance."
                    )
                found |= page
        return found

    async def _pages(self, kind: str, query: list[tuple[str, str]]) -> AsyncIterator[list[msgspec.Raw]]:
        if self._lists != "legacy" and kind not in self._without_keyset:
            try:
                async for page in self._by_cursor(kind, query):
                    yield page
                return
            except UsageError:  # 404, and nothing has come from there
                if self._lists == "keyset":
                    raise
                self._without_keyset.add(kind)
        # One page: fewer are asked for than it can hold.
        body = await self.http.get(f"/{kind}", [*query, _PAGE])
        yield decoded(body, list[msgspec.Raw], self.http, f"/{kind}")

    async def _by_cursor(self, kind: str, query: list[tuple[str, str]]) -> AsyncIterator[list[msgspec.Raw]]:
        path = f"/{kind}/keyset"
        shape: type[_MarketsPage | _EventsPage] = _MarketsPage if kind == "markets" else _EventsPage
        position: list[tuple[str, str]] = []
        seen: set[str] = set()
        while True:
            page = decoded(await self.http.get(path, [*query, _PAGE, *position]), shape, self.http, path)
            yield page.records
            if not page.next_cursor:
                return
            if not page.records:
                raise UpstreamError(f"{self.http.name} gave an empty page of {path} and says that there is more.")
            if page.next_cursor in seen:
                raise UpstreamError(f"{self.http.name} gave the same cursor of {path} twice.")
            seen.add(page.next_cursor)
            position = [("after_cursor", page.next_cursor)]
