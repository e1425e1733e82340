"""The pace: in virtual time, so that its bounds are exact; and once against an upstream that counts."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import BudgetSpent, Unavailable
from runner.settings import load
from runner.sources import orders
from runner.sources.http import Budget, Http, _seconds
from runner.sources.pace import Pace, full_jitter
from runner_tests.support import Running, server


class _Waiting(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Does not wait: the time that would have passed is added to the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        """Passes the time."""
        self.now += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop in which nothing takes time but sleeping, and whatever a test adds."""

    def __init__(self) -> None:
        self.waiting = _Waiting()
        super().__init__(self.waiting)

    def time(self) -> float:
        """The virtual instant in seconds."""
        return self.waiting.now


def in_virtual_time(work: Callable[[VirtualTime], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualTime()
    try:
        loop.run_until_complete(work(loop))
    finally:
        loop.close()


def most_in_a_second(sent: list[float]) -> int:
    return max(sum(1 for other in sent if instant <= other < instant + 1) for instant in sent)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([0.5, 1, 2.5, 7, 10, 50, 100]),
    late=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.05, 0.4, 2.0]), min_size=30, max_size=120),
)
def test_no_second_ever_holds_more_than_the_limit_however_late_one_is(rate: float, late: list[float]) -> None:
    async def work(loop: VirtualTime) -> None:
        pace = Pace(rate)
        sent = []
        for delay in late:
            loop.waiting.now += delay  # somebody else had the processor
            await pace.turn()
            sent.append(loop.time())
        assert most_in_a_second(sent) <= math.ceil(rate)

    in_virtual_time(work)


@pytest.mark.parametrize("rate", [1, 3.7, 10, 100, 1000])
def test_while_there_is_work_more_than_nine_tenths_of_the_limit_are_used(rate: float) -> None:
    async def work(loop: VirtualTime) -> None:
        pace = Pace(rate)
        began = loop.time()
        count = math.ceil(rate * 30)
        await asyncio.gather(*(pace.turn() for _ in range(count)))
        assert count / (loop.time() - began) >= 0.9 * rate

    in_virtual_time(work)


def test_too_many_requests_halve_the_rate_once_for_all_that_was_in_flight_and_good_answers_win_it_back() -> None:
    async def work(loop: VirtualTime) -> None:
        pace = Pace(10)
        for _ in range(20):
            pace.slow_down(None)
        assert pace.rate == 5
        loop.waiting.now += 2
        pace.slow_down(None)
        assert pace.rate == 2.5
        for _ in range(50):
            loop.waiting.now += 2
            pace.slow_down(None)
        assert pace.rate == 0.5
        for _ in range(2000):
            pace.speed_up()
        assert pace.rate == 10

    in_virtual_time(work)


def test_the_time_that_an_upstream_gives_holds_for_everybody() -> None:
    async def work(loop: VirtualTime) -> None:
        pace = Pace(100)
        await pace.turn()
        waiting = asyncio.ensure_future(pace.turn())
        await asyncio.sleep(0)
        pace.slow_down(7)
        began = loop.time()
        await waiting
        await pace.turn()
        assert loop.time() - began >= 7

    in_virtual_time(work)


@given(st.integers(1, 40))
def test_jitter_is_within_a_bound_that_doubles(attempt: int) -> None:
    assert 0 <= full_jitter(attempt, 0.2, 10.0) <= min(10.0, 0.2 * 2**attempt)


@pytest.fixture
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_upstream_that_counts_is_never_asked_too_fast(_alone: None, start: Callable[..., Running]) -> None:
    running = start("--wallets", 1, "--fills", 5)
    rate = 40
    settings = load(dome_base_url=running.ready["url"], requests_per_second=rate, requests_in_flight=30)

    async def work() -> None:
        async with orders.client(settings) as http:
            await asyncio.gather(*(http.get("/polymarket/orders", [("limit", "1")]) for _ in range(rate * 3)))

    asyncio.run(work())
    stats = running.get("/stats").json
    assert stats["requests"]["/polymarket/orders"] == {"200": rate * 3}
    # What was sent within the limit may arrive a little closer together on a machine that does other things too.
    assert stats["busiest"]["1"] <= rate + 2


def test_a_limit_that_answers_429_is_obeyed_and_everything_comes_in(
    _alone: None, start: Callable[..., Running]
) -> None:
    running = start("--wallets", 1, "--fills", 5, "--rate-limit", 20)
    settings = load(dome_base_url=running.ready["url"], requests_per_second=200, request_attempts=20)

    async def work() -> None:
        async with orders.client(settings) as http:
            await asyncio.gather(*(http.get("/polymarket/orders", [("limit", "1")]) for _ in range(60)))

    asyncio.run(work())
    answered = running.get("/stats").json["requests"]["/polymarket/orders"]
    assert answered["200"] == 60
    assert 0 < answered["429"] < 60, "told once or twice, it asks more slowly"


def test_a_budget_is_shared_and_never_passed(_alone: None) -> None:
    budget = Budget(7)

    async def work(url: str) -> list[bytes | BaseException]:
        one, other = (orders.client(load(dome_base_url=url, requests_per_second=1000), budget) for _ in range(2))
        async with one, other:
            asked = [http.get("/polymarket/orders", []) for http in (one, other) for _ in range(6)]
            return await asyncio.gather(*asked, return_exceptions=True)

    with server(lambda *_: (200, {}, b"{}")) as (url, asked):
        answers = asyncio.run(work(url))
    assert len(asked) == 7
    assert sum(isinstance(answer, BudgetSpent) for answer in answers) == 5


def test_an_upstream_that_is_down_is_asked_no_more(_alone: None) -> None:
    async def work(url: str) -> list[str]:
        said = []
        known = {"requests_per_second": 1000, "request_attempts": 1, "request_patience_seconds": 0.1}
        async with orders.client(load(dome_base_url=url, **known)) as http:
            for _ in range(15):
                with pytest.raises(Unavailable) as caught:
                    await http.get("/polymarket/orders", [])
                said.append(str(caught.value))
        return said

    with server(lambda *_: (503, {}, b"{}")) as (url, asked):
        said = asyncio.run(work(url))
    assert len(asked) == 11, "ten, and one more after everybody has waited"
    assert "nothing more is asked of it" in said[-1]


def test_an_outage_that_ends_meanwhile_costs_only_those_that_met_it(_alone: None) -> None:
    answers = iter([503] * 10)

    async def work(url: str) -> list[object]:
        known = {"requests_per_second": 1000, "request_attempts": 1, "request_patience_seconds": 0.1}
        async with orders.client(load(dome_base_url=url, requests_in_flight=2, **known)) as http:
            first = [await _caught(http) for _ in range(10)]
            return first + list(await asyncio.gather(*(_caught(http) for _ in range(20))))

    with server(lambda *_: (next(answers, 200), {}, b"{}")) as (url, asked):
        said = asyncio.run(work(url))
    assert [isinstance(answer, Unavailable) for answer in said] == [True] * 10 + [False] * 20
    assert len(asked) == 30


def test_nobody_waits_for_an_upstream_that_may_not_be_asked_any_more(_alone: None) -> None:
    async def work(url: str) -> list[object]:
        known = {"requests_per_second": 1000, "request_attempts": 5, "request_patience_seconds": 30}
        async with orders.client(load(dome_base_url=url, **known), Budget(10)) as http:
            http._unanswered = 10
            asking = (http.get("/polymarket/orders", []) for _ in range(30))
            http.budget.sent = 10
            return list(await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), timeout=20))

    with server(lambda *_: (503, {}, b"{}")) as (url, asked):
        said = asyncio.run(work(url))
    assert not asked
    assert all(isinstance(answer, BudgetSpent) for answer in said)


async def _caught(http: Http) -> object:
    try:
        return await http.get("/polymarket/orders", [])
    except Unavailable as error:
        return error


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("5", 5), ("3600", 60), ("inf", 60), ("nan", None), ("-3", 0), ("Fri, 31 Dec 2100 23:59:59 GMT", 60), ("x", None)],
)
def test_no_upstream_makes_us_wait_longer_than_a_minute(said: str, seconds: float | None) -> None:
    assert _seconds(said) == seconds
