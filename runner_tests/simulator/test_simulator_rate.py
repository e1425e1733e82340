"""What the simulator says about when requests came, and the limit that it can set."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from simulator.rate import Arrivals, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from runner_tests.support import Running

ORDERS = "/polymarket/orders"


def figures_of(instants: list[float]) -> dict[str, int]:
    clock = iter(instants)
    arrivals = Arrivals(lambda: next(clock))
    for _ in instants:
        with arrivals.under_way():
            pass
    busiest: dict[str, int] = arrivals.figures()["busiest"]
    return busiest


@pytest.mark.parametrize("seed", range(5))
def test_the_busiest_window_is_that_of_all_windows(seed: int) -> None:
    draw = random.Random(seed)
    instants = sorted(draw.choice((draw.uniform(0, 40), draw.uniform(10, 12))) for _ in range(300))
    expected = {
        str(length): max(sum(begin <= one < begin + length for one in instants) for begin in instants)
        for length in (1, 10)
    }
    assert figures_of(instants) == expected


def test_one_a_second_is_one_in_any_second() -> None:
    assert figures_of([float(n) for n in range(30)]) == {"1": 1, "10": 10}
    assert figures_of([0.0, 0.5, 1.0]) == {"1": 2, "10": 3}
    assert figures_of([]) == {"1": 0, "10": 0}


def test_stats_say_when_requests_came_and_how_many_at_once(start: Callable[..., Running]) -> None:
    running = start("--fills", 5, "--latency-ms", 1_000)
    fresh = running.get("/stats").json
    assert fresh["first_arrival"] is fresh["last_arrival"] is None
    assert (fresh["busiest"], fresh["peak_concurrent"]) == ({"1": 0, "10": 0}, 0)
    before = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status for answer in pool.map(lambda _: running.get(ORDERS), range(4))} == {200}
    time.sleep(1.1)
    running.get(ORDERS)
    after = time.monotonic()
    stats = running.get("/stats").json
    assert before <= stats["first_arrival"] and stats["first_arrival"] + 1.1 <= stats["last_arrival"] <= after
    assert 2 <= stats["busiest"]["1"] <= 4 < stats["busiest"]["10"] and stats["peak_concurrent"] == 4


def test_a_refused_request_is_told_to_come_back_when_it_will_be_served(start: Callable[..., Running]) -> None:
    running = start("--fills", 5, "--rate-limit", 1, "--fault", "status:503#1")
    assert running.get(ORDERS).status == 503, "within the limit, and then spoiled"
    answer = running.get(ORDERS)
    while answer.status == 200:  # a slow machine may need some tries for two within a second
        answer = running.get(ORDERS)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.json["error"] == "Too Many Requests"
    assert running.get("/healthz").status == running.get("/stats").status == 200
    time.sleep(1)
    assert running.get(ORDERS).status == 200
    counted = running.get("/stats").json["requests"][ORDERS]
    assert counted["503"] == counted["429"] == 1


def test_the_limit_holds_in_every_second_and_refuses_nothing_below_it() -> None:
    instants = [0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.1, 1.15, 2.0, 2.1]
    clock, statuses = iter(instants), []

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        statuses.append(200)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
            assert dict(message["headers"])[b"retry-after"] == b"1"

    async def receive() -> Message:
        raise AssertionError

    async def run() -> None:
        limited = RateLimit(served, 3, lambda: next(clock))
        for _ in instants:
            await limited({"type": "http"}, receive, send)

    asyncio.run(run())
    assert statuses == [200, 200, 200, 429, 200, 429, 200, 429, 200, 200]
