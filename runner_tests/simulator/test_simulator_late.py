"""Fills that show up late, and a clock that is wrong."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner_tests.support import Running

ORDERS, V2 = "/polymarket/orders", "/v2/polymarket/trades"
UNTIL = ("--until", "2026-01-31T00:00:00Z")


def post(running: Running, path: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", running.ready["port"], timeout=30)
    try:
        connection.request("POST", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def texts(records: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(record, sort_keys=True) for record in records}


def served(running: Running, **params: Any) -> set[str]:
    return texts([order for page in running.walk(limit=50, **params) for order in page["orders"]])


def test_late_fills_appear_inside_windows_that_were_read(start: Callable[..., Running], tmp_path: Path) -> None:
    fills, bad = tmp_path / "fills.ndjson", tmp_path / "bad.ndjson"
    written = ("--write-fills", fills, "--write-malformed", bad)
    running = start(*UNTIL, "--late", 0.2, "--malformed", 0.05, *written)
    good, malformed = (texts([json.loads(line) for line in file.read_text().splitlines()]) for file in (fills, bad))
    assert len(good) == running.ready["fills"] == 400
    before = served(running)
    hidden = good - before
    assert 60 <= len(hidden) <= 100 and before == good - hidden | malformed
    assert running.get(ORDERS).json["pagination"]["total"] == len(before)
    seconds = sorted(json.loads(order)["timestamp"] for order in before & good)
    inside = [order for order in hidden if seconds[0] <= json.loads(order)["timestamp"] <= seconds[-1]]
    assert len(inside) > 40
    wallet = json.loads(min(hidden))["user"]
    mine = {order for order in good | malformed if json.loads(order).get("user") == wallet}
    assert served(running, user=wallet) == mine - hidden

    assert running.get("/reveal").status == 405
    assert post(running, "/reveal") == (200, {"revealed": len(hidden)})
    assert served(running) == good | malformed and served(running, user=wallet) == mine
    assert post(running, "/reveal") == (200, {"revealed": 0})


def test_a_cursor_from_before_stays_good(start: Callable[..., Running]) -> None:
    running = start(*UNTIL, "--late", 0.5)
    first = running.get(ORDERS, {"limit": 50}).json
    following = {"limit": 1000, "pagination_key": first["pagination"]["pagination_key"]}
    before = running.get(ORDERS, following).json["orders"]
    post(running, "/reveal")
    after = running.get(ORDERS, following).json["orders"]
    assert len(after) > len(before) and texts(before) < texts(after)
    assert max(order["timestamp"] for order in after) <= first["orders"][-1]["timestamp"]


def test_the_same_fills_are_late_every_time_and_in_every_version(start: Callable[..., Running]) -> None:
    one, two = (start(*UNTIL, "--late", 0.3) for _ in range(2))
    assert one.get(ORDERS, {"limit": 1000}).body == two.get(ORDERS, {"limit": 1000}).body
    activity = one.get("/polymarket/activity", {"limit": 1000}).body
    for status in ("confirmed", "all"):
        params = {"limit": 500, "status": status}
        hidden = len(one.get(V2, params).json["trades"])
        post(one, "/reveal")
        assert hidden < len(one.get(V2, params).json["trades"])
        one = two
    assert two.get("/polymarket/activity", {"limit": 1000}).body == activity


def test_all_may_be_late_and_faults_leave_the_revealing_alone(start: Callable[..., Running]) -> None:
    running = start("--fills", 20, "--late", 1, "--fault", "status:503@reveal", "--rate-limit", 1)
    assert running.get(ORDERS).json["orders"] == []
    assert post(running, "/reveal") == (200, {"revealed": 20})
    assert running.get("/stats").json["total"] == 1


@pytest.mark.parametrize("skew", [-86_400, 3_600])
def test_the_clock_runs_as_asked(start: Callable[..., Running], skew: int) -> None:
    running = start(
        "--clock-skew", skew, "--days", 1, "--fills", 200, "--fault", "retry-date:429:60#3", "--fault", "reset#4"
    )
    before = time.time()
    answers = [running.get(ORDERS, {"limit": 1000}), running.get("/nothing"), running.get(ORDERS)]
    after = time.time()
    for answer in answers:
        assert before + skew - 1 <= parsedate_to_datetime(answer.headers["date"]).timestamp() <= after + skew
    newest = max(order["timestamp"] for order in answers[0].json["orders"])
    assert abs(newest - (before + skew)) < 43_200
    assert newest <= after + skew
    wait = parsedate_to_datetime(answers[2].headers["retry-after"]) - parsedate_to_datetime(answers[2].headers["date"])
    assert 59 <= wait.total_seconds() <= 61


def test_every_answer_has_one_date(start: Callable[..., Running]) -> None:
    running = start("--fills", 5, "--fault", "length-short@/events")
    for path in (ORDERS, "/healthz", "/stats", "/nothing", "/markets", "/events"):
        connection = HTTPConnection("127.0.0.1", running.ready["port"], timeout=30)
        connection.request("GET", path)
        assert len(connection.getresponse().headers.get_all("date") or []) == 1
        connection.close()
