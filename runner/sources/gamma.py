"""Gamma: Polymarket's own market data. No key.

Facts: without `closed` a list holds open markets only, so both are asked for; `limit` is capped at 100 without a word;
lists inside a record are JSON texts.
"""

from collections.abc import Callable, Sequence

import msgspec

from runner.settings import Settings
from runner.sources.http import Http, decoded

SOURCE = "gamma"


class _Market(msgspec.Struct, rename="camel"):
    condition_id: str


class _Event(msgspec.Struct):
    slug: str


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


async def markets(http: Http, condition_ids: Sequence[str]) -> dict[str, bytes]:
    """Condition id (lower case) → market record as received; at most 50 ids, those that are not there are left out."""

    def name_of(raw: bytes) -> str:
        return decoded(raw, _Market, http, "/markets").condition_id.lower()

    return await _looked_up(http, "/markets", "condition_ids", condition_ids, name_of)


async def events(http: Http, slugs: Sequence[str]) -> dict[str, bytes]:
    """Event slug → event record as received; at most 50 slugs, those that are not there are left out."""

    def name_of(raw: bytes) -> str:
        return decoded(raw, _Event, http, "/events").slug

    return await _looked_up(http, "/events", "slug", slugs, name_of)


async def _looked_up(
    http: Http, path: str, parameter: str, names: Sequence[str], name_of: Callable[[bytes], str]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for closed in ("false", "true"):
        missing = [(parameter, name) for name in names if name not in found]
        if missing:
            body = await http.get(path, [*missing, ("closed", closed), ("limit", "100")])
            for raw in decoded(body, list[msgspec.Raw], http, path):
                found[name_of(bytes(raw))] = bytes(raw)
    return found
