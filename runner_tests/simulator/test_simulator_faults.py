"""Faults: each kind as a client sees it, and on which requests it strikes."""

from __future__ import annotations

import json
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any

import pytest

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


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("explode", "the kinds are html, status:CODE"),
        ("status", "must be written status:CODE"),
        ("status:abc", "must be written status:CODE"),
        ("slow:soon", "must be written slow:SECONDS"),
        ("html:1", "must be written html"),
        ("html#0", "counted from 1"),
        ("html#3-2", "counted from 1"),
        ("", "the kinds are"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(simulate: Callable[..., Any], spec: str, says: str) -> None:
    done = simulate("--port", "0", "--fault", spec)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.count("\n") == 1
