"""Markets and events of the fills: Gamma first, the Dome-shaped API for what Gamma does not have."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import PolytradesError
from runner.landing.batch import BatchBuilder
from runner.settings import Settings
from runner.sources import dome, gamma
from runner.sources.http import Http
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_Lookup = Callable[[Http, list[str]], Awaitable[dict[str, bytes]]]


@dataclass
class Enriched:
    """What was found. `unknown` counts names that no upstream has; `problems` are sentences."""

    markets: int = 0
    events: int = 0
    unknown: int = 0
    problems: list[str] = field(default_factory=list)


async def enrich(
    settings: Settings, warehouse: Warehouse, spool: Path, run_id: str, seen_conditions: Iterable[str]
) -> Enriched:
    """Fetches and lands the markets of landed fills, then the events of those markets.

    Failing loses nothing: what is missing is asked for again by the next run.
    """
    result = Enriched()
    async with gamma.client(settings) as gamma_http, dome.client(settings) as dome_http:
        both = (gamma_http, dome_http)
        conditions = warehouse.conditions_to_fetch(seen_conditions)
        result.markets = await _fetch_and_land(
            "markets", conditions, both, (gamma.markets, dome.markets), warehouse, spool, run_id, result
        )
        slugs = warehouse.events_to_fetch()
        result.events = await _fetch_and_land(
            "events", slugs, both, (gamma.events, dome.events), warehouse, spool, run_id, result
        )
    return result


async def _fetch_and_land(
    table: str,
    names: list[str],
    clients: tuple[Http, Http],
    lookups: tuple[_Lookup, _Lookup],
    warehouse: Warehouse,
    spool: Path,
    run_id: str,
    result: Enriched,
) -> int:
    missing = names
    problems = []
    landed = 0
    for source, http, lookup in zip((gamma.SOURCE, dome.SOURCE), clients, lookups, strict=True):
        if not missing:
            break
        try:
            found = await lookup(http, missing)
        except PolytradesError as error:
            problems.append(str(error))
            continue
        now = utc_now()
        builder = BatchBuilder(table, source, spool)
        for name, raw in sorted(found.items()):
            builder.add((name, raw.decode("utf-8", "replace"), now), raw)
        batch = builder.build(now)
        if batch:
            warehouse.land(batch, [], [], run_id, now)
            batch.file.unlink(missing_ok=True)
            landed += len(builder)
        missing = [name for name in missing if name not in found]
    if missing and problems:
        result.problems.append(f"{len(missing)} of {len(names)} {table} could not be fetched: {problems[0]}")
    elif missing:
        result.unknown += len(missing)
    return landed
