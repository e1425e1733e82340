"""Markets and events of the fills: Gamma first, the Dome-shaped API for what Gamma does not have."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from runner.engine.lookups import Keep, Tally, Upstream, look_up
from runner.landing.batch import BatchBuilder
from runner.settings import Settings
from runner.sources import dome, gamma, orders
from runner.warehouse.protocol import Wanted, Warehouse
from runner.windows import utc_now

_MARKETS_PER_REQUEST = 50
"""Both APIs give at most 100 records; a request line of 50 ids of 66 characters stays below the 8 kB of servers."""
_EVENTS_PER_REQUEST = 20
"""Each holds all of its markets, up to hundreds of kilobytes."""
_GAMMA_REQUESTS = 3
"""Open, closed, and once the older list where there is no newer one."""
_BATCH_BYTES = 32 * 1024 * 1024
"""Text of the records that are collected before they are landed: 5,000 markets."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Enriched:
    """What became of the names; `problems` are sentences."""

    markets: Tally = field(default_factory=Tally)
    events: Tally = field(default_factory=Tally)
    problems: list[str] = field(default_factory=list)


async def enrich(settings: Settings, warehouse: Warehouse, spool: Path, run_id: str, began: datetime) -> Enriched:
    """Fetches and lands the markets that are new, open or without a winner, then the events that are new or open.

    A run, which began at `began`, asks once for each: a backfill comes here after every few slices.
    Failing loses nothing: what is missing is asked for again by the next run, and so is what `metadata_requests` left
    out.
    """
    result = Enriched()
    async with gamma.client(settings) as gamma_http, orders.client(settings) as dome_http:
        from_gamma = gamma.Gamma(gamma_http, settings.gamma_lists)

        # An order API that nobody has set is not asked for what Gamma does not have.
        has_dome = settings.source != "polygon" or "dome_base_url" in settings.model_fields_set

        async def fetched(
            wanted: Sequence[Wanted],
            upstreams: list[Upstream],
            landing: _Landing,
            limit: int,
            kind: str,
            keep: Keep | None = None,
        ) -> Tally:
            at = utc_now()
            upstreams = [upstream for upstream in upstreams if has_dome or upstream.source != dome.SOURCE]
            wanted = [one for one in wanted if one.asked_at is None or one.asked_at < began]
            tally = await look_up(
                in_order(wanted, run_id),
                upstreams,
                keep or landing.keep,
                in_flight=settings.requests_in_flight,
                sent=lambda: gamma_http.requests + dome_http.requests,
                limit=limit,
            )
            await landing.flush()
            warehouse.note_asked(kind, tally.names_asked, at)
            if tally.failed:
                what = "markets of tokens" if kind == "tokens" else kind
                result.problems.append(f"{tally.failed} of {len(wanted)} {what} could not be fetched: {tally.problem}")
            return tally

        markets = _Landing("markets", warehouse, spool, run_id)

        async def keep_by_condition(source: str, found: dict[str, bytes]) -> None:
            await markets.keep(source, {condition: raw for raw in found.values() if (condition := _condition(raw))})

        of_tokens = await fetched(
            warehouse.tokens_to_fetch(),
            [
                Upstream(gamma.SOURCE, from_gamma.markets_of_tokens, _MARKETS_PER_REQUEST, _GAMMA_REQUESTS),
                Upstream(dome.SOURCE, lambda names: dome.markets_of_tokens(dome_http, names), _MARKETS_PER_REQUEST, 1),
            ],
            markets,
            settings.metadata_requests // 4,
            "tokens",
            keep_by_condition,
        )
        result.markets = await fetched(
            warehouse.conditions_to_fetch(utc_now() - timedelta(days=settings.winner_wait_days)),
            [
                Upstream(gamma.SOURCE, from_gamma.markets, _MARKETS_PER_REQUEST, _GAMMA_REQUESTS),
                Upstream(dome.SOURCE, lambda names: dome.markets(dome_http, names), _MARKETS_PER_REQUEST, 1),
            ],
            markets,
            settings.metadata_requests // 2,
            "markets",
        )
        left = result.markets.left
        result.markets.add(of_tokens)
        result.markets.left += left
        result.events = await fetched(
            warehouse.events_to_fetch(markets.event_slugs),
            [
                Upstream(gamma.SOURCE, from_gamma.events, _EVENTS_PER_REQUEST, _GAMMA_REQUESTS),
                Upstream(dome.SOURCE, lambda names: dome.events(dome_http, names), 1, 1),
            ],
            _Landing("events", warehouse, spool, run_id),
            settings.metadata_requests,
            "events",
        )
    return result


def in_order(wanted: Sequence[Wanted], run_id: str) -> list[str]:
    """The names in the order in which they are asked for: never asked yet, new ones first; then asked longest ago.

    Equals are mixed anew by each run, so that what spoils a request does not have the same neighbours every night.
    """

    def place(one: Wanted) -> tuple[datetime, bool, bytes]:
        mixed = hashlib.blake2b(f"{run_id}\0{one.name}".encode(), digest_size=8).digest()
        return one.asked_at or _NEVER, not one.is_new, mixed

    return [one.name for one in sorted(wanted, key=place)]


class _Slug(msgspec.Struct):
    slug: str | None = None


class _EventOfMarket(msgspec.Struct):
    event_slug: str | None = None
    events: list[_Slug] = []


class _Landing:
    """Collects records of one landing table and lands them, a batch for each source, before memory fills up."""

    def __init__(self, table: str, warehouse: Warehouse, spool: Path, run_id: str) -> None:
        self.event_slugs: set[str] = set()
        self.table = table
        self._warehouse = warehouse
        self._spool = spool
        self._run_id = run_id
        self._records: dict[str, dict[str, bytes]] = {}
        self._bytes = 0
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, source: str, found: dict[str, bytes]) -> None:
        """Takes records of a source; waits while others are being landed."""
        async with self._one_at_a_time:
            self._records.setdefault(source, {}).update(found)
            self._bytes += sum(map(len, found.values()))
            if self.table == "markets":
                self.event_slugs |= {slug for raw in found.values() if (slug := _event_slug(raw))}
            if self._bytes >= _BATCH_BYTES:
                await asyncio.to_thread(self._land)

    async def flush(self) -> None:
        """Lands what has been collected."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._land)

    def _land(self) -> None:
        records, self._records, self._bytes = self._records, {}, 0
        for source, found in records.items():
            now = utc_now()
            builder = BatchBuilder(self.table, source, self._spool)
            for name, raw in found.items():
                # The time belongs to it: a market that is as it was the week before is still news of today.
                builder.add((name, raw.decode("utf-8", "replace"), now), raw + now.isoformat().encode())
            batch = builder.build(now)
            if batch:
                self._warehouse.land(batch, [], [], self._run_id, now)
                batch.file.unlink(missing_ok=True)


class _ConditionOfMarket(msgspec.Struct):
    gamma: str | None = msgspec.field(name="conditionId", default=None)
    dome: str | None = msgspec.field(name="condition_id", default=None)


def _condition(market: bytes) -> str | None:
    """The condition id that a market record of either shape has, lower case."""
    named = msgspec.json.decode(market, type=_ConditionOfMarket)
    found = named.gamma or named.dome
    return found.lower() if found else None


def _event_slug(market: bytes) -> str | None:
    """The event that a market record of either shape names, as staging reads it."""
    try:
        named = msgspec.json.decode(market, type=_EventOfMarket)
    except msgspec.DecodeError:
        return None
    return named.event_slug or (named.events[0].slug if named.events else None)
