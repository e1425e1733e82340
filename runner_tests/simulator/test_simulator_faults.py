"""Faults: each kind as a client sees it, and on which requests it strikes."""

from __future__ import annotations

import json
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any

import pytest

from runner_tests.support import UNTIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner_tests.support import Running

ORDERS = "/polymarket/orders"


def test_each_kind_strikes_its_request_and_no_other(start: Callable[..., Running]) -> None:
    kinds = ["html", "status:503", "retry-after:429:1", "reset", "empty", "truncated", "slow:0.01"]
    specs = [part for number, kind in enumerate(kinds, start=1) for part in ("--fault", f"{kind}@/orders#{number}")]
    running = start("--fills", "300", *specs)

    page = running.get(ORDERS)
    assert page.status == 200 and page.headers["content-type"].startswith("text/html") and b"<html>" in page.body
    failed = running.get(ORDERS)
    assert failed.status == 503 and "error" in failed.json
    busy = running.get(ORDERS)
    assert (busy.status, busy.headers["retry-after"]) == (429, "1") and "error" in busy.json
    with pytest.raises(IncompleteRead) as broken:
        running.get(ORDERS)
    assert broken.value.partial
    empty = running.get(ORDERS)
    assert (empty.status, empty.json) == (200, {})
    cut = running.get(ORDERS, **{"accept-encoding": "gzip"})
    assert cut.status == 200 and int(cut.headers["content-length"]) == len(cut.body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.body)
    slow, healthy = running.get(ORDERS), running.get(ORDERS)
    assert slow.body == healthy.body and len(healthy.json["orders"]) == 100
    assert healthy.body.startswith(cut.body)
    counted = running.get("/stats").json["requests"][ORDERS]
    assert counted == {"200": 6, "429": 1, "503": 1}


def test_a_repeated_page_never_ends(start: Callable[..., Running]) -> None:
    running = start("--fault", "repeat-page")
    first = running.get(ORDERS, {"limit": 10}).json
    again = running.get(ORDERS, {"limit": 10, "pagination_key": first["pagination"]["pagination_key"]}).json
    assert again == first and again["pagination"]["has_more"]
    listed = running.get("/markets/keyset", {"limit": 3}).json
    assert running.get("/markets/keyset", {"limit": 3, "after_cursor": listed["next_cursor"]}).json == listed


def test_a_range_and_a_path_limit_a_fault(start: Callable[..., Running]) -> None:
    running = start("--fault", "status:500@/markets#2-3", "--fault", "status:418@/events")
    assert [running.get("/markets").status for _ in range(4)] == [200, 500, 500, 200]
    assert [running.get("/events").status for _ in range(2)] == [418, 418]
    assert running.get(ORDERS).status == 200


def test_a_fault_without_a_path_spares_health_and_stats(start: Callable[..., Running]) -> None:
    running = start("--fault", "status:503")
    assert running.get(ORDERS).status == running.get("/events").status == 503
    assert running.get("/healthz").status == running.get("/stats").status == 200


def test_a_page_selector_limits_a_fault_to_its_place_in_a_walk(start: Callable[..., Running]) -> None:
    statuses = {"first": 501, "middle": 502, "last": 503}
    # Without an end of their own the two worlds would end when each is started, and a cursor of one mean nothing to the
    # other.
    world = ("--fills", 35, "--until", UNTIL)
    running = start(*world, *(p for place, code in statuses.items() for p in ("--fault", f"status:{code}%{place}")))
    healthy = start(*world)

    def walked(path: str, name: str, limit: int) -> list[int]:
        found, params = [], {"limit": limit}
        while params:
            found.append(running.get(path, params).status)
            page = healthy.get(path, params).json
            key = page.get("next_cursor") or page.get("pagination", {}).get("pagination_key")
            params = {"limit": limit, name: key} if key else {}
        return found

    assert walked(ORDERS, "pagination_key", 10) == [501, 502, 502, 503]
    assert walked("/v2/polymarket/trades", "pagination_key", 12) == [501, 502, 503]
    keyset = walked("/markets/keyset", "after_cursor", 3)
    assert keyset == [501, *[502] * (len(keyset) - 2), 503] and len(keyset) > 2
    offsets = [running.get(ORDERS, {"limit": 10, "offset": offset}).status for offset in (0, 10, 20, 30)]
    assert offsets == [501, 502, 502, 503]
    bare = [running.get("/markets", {"limit": 3, "offset": offset}).status for offset in (0, 3, 10_000)]
    assert bare == [501, 502, 503]
    assert running.get("/markets/1").status == 501, "what is no list has a first page only"
    assert running.get(ORDERS, {"pagination_key": "no cursor"}).status == 400, "what is refused stands nowhere"


def test_a_walk_of_one_page_has_it_first_and_last(start: Callable[..., Running]) -> None:
    running = start(
        "--fills", 5, "--fault", "status:503%last#1", "--fault", "status:502%middle", "--fault", "html%first#2"
    )
    assert running.get(ORDERS).status == 503
    assert running.get(ORDERS).body.startswith(b"<!DOCTYPE html>")
    assert len(running.get(ORDERS).json["orders"]) == 5


def test_a_page_selector_counts_its_own_pages_only(start: Callable[..., Running]) -> None:
    running = start("--fills", 35, "--fault", "status:503@/orders%middle#2")
    assert [running.get(ORDERS, {"limit": 10, "offset": o}).status for o in (0, 10, 30, 0, 20, 10)] == [
        200, 200, 200, 200, 503, 200,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("explode", "the kinds are status:CODE, retry-after:CODE:SECONDS"),
        ("status", "must be written status:CODE"),
        ("status:abc", "must be written status:CODE"),
        ("slow:soon", "must be written slow:SECONDS"),
        ("html:1", "must be written html"),
        ("redirect:200:elsewhere", "must be written redirect:CODE:HOST[:PORT]"),
        ("redirect:302", "must be written redirect:CODE:HOST[:PORT]"),
        ("status:99", "must be written status:CODE"),
        ("drip:-1", "must be written drip:SECONDS"),
        ("big-body:0", "must be written big-body:MB"),
        ("shift:up", "must be written shift:skip|repeat"),
        ("cap:0", "must be written cap:N"),
        ("deep:0", "must be written deep:LEVELS"),
        ("drift:missing", "must be written drift:add"),
        ("drift:add:price", "must be written drift:add"),
        ("drift:turn:price", "must be written drift:add"),
        ("html%second", "one of %first, %middle and %last"),
        ("html#0", "counted from 1"),
        ("html#3-2", "counted from 1"),
        ("", "the kinds are"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(simulate: Callable[..., Any], spec: str, says: str) -> None:
    done = simulate("--port", "0", "--fault", spec)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.count("\n") == 1
