"""Cheap serving: what is rendered before is what would be rendered when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner_tests.support import Running

UNTIL = ("--until", "2026-01-31T00:00:00Z")
ORDERS = "/polymarket/orders"


def test_prerendered_answers_are_the_same_bytes(start: Callable[..., Running]) -> None:
    world = (*UNTIL, "--malformed", 0.1, "--late", 0.1)
    plain, ready = start(*world), start(*world, "--prerender")
    first = plain.get(ORDERS).json
    wallet = first["orders"][0]["user"]
    requests: list[tuple[str, dict[str, Any]]] = [
        (ORDERS, {"limit": 1000}),
        (ORDERS, {"limit": 7, "pagination_key": first["pagination"]["pagination_key"]}),
        (ORDERS, {"limit": 1000, "user": wallet}),
        (ORDERS, {"limit": 1000, "condition_id": first["orders"][0]["condition_id"]}),
        ("/v1/polymarket/trades", {"limit": 1000, "user": wallet}),
        ("/v2/polymarket/trades", {"limit": 500, "status": "all"}),
        ("/polymarket/activity", {"limit": 1000}),
    ]
    for path, params in requests:
        assert ready.get(path, params).body == plain.get(path, params).body
    assert len(plain.get(ORDERS, {"limit": 1000}).json["orders"]) > 390


@pytest.mark.parametrize("fills", [0, 1])
def test_a_world_of_next_to_nothing_is_prerendered_too(start: Callable[..., Running], fills: int) -> None:
    running = start("--fills", fills, "--prerender")
    assert len(running.get(ORDERS).json["orders"]) == fills


def test_without_compression_nobody_gets_it(start: Callable[..., Running], world: Running) -> None:
    plain = start(*UNTIL, "--no-compression").get(ORDERS, **{"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert plain.body == world.get(ORDERS).body
