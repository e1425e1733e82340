"""Markets and events of the fills: Gamma first, the Dome-shaped API for what Gamma does not have."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import PolytradesError, Unavailable, UsageError
from runner.landing.batch import BatchBuilder
from runner.settings import Settings
from runner.sources import dome, gamma, orders
from runner.sources.http import Http
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_NAMES_PER_REQUEST = 50
"""Both APIs give at most 100 records; a request line of 50 ids of 66 characters stays below the 8 kB of servers."""

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
    async with gamma.client(settings) as gamma_http, orders.client(settings) as dome_http:
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
        found, troubles = await _looked_up(http, lookup, missing)
        problems += troubles
        now = utc_now()
        builder = BatchBuilder(table, source, spool)
        for name, raw in sorted(found.items()):
            # The time belongs to it: a market that is as it was the week before is still news of today.
            builder.add((name, raw.decode("utf-8", "replace"), now), raw + now.isoformat().encode())
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


async def _looked_up(http: Http, lookup: _Lookup, names: list[str]) -> tuple[dict[str, bytes], list[str]]:
    """What an upstream has of `names`, and what went wrong: a bad answer costs its own request and no other."""
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for start in range(0, len(names), _NAMES_PER_REQUEST):
        asked = names[start : start + _NAMES_PER_REQUEST]
        try:
            answer = await lookup(http, asked)
        except PolytradesError as error:
            problems.append(str(error))
            if isinstance(error, Unavailable | UsageError):
                break  # nobody answers, or not there at all: the other requests would end alike
            continue
        found.update({name: answer[name] for name in asked if name in answer})
    return found, problems
