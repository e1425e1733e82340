"""Every kind of fault as a client sees it, beside the healthy answer to the same request."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from runner_tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner_tests.support import Answer, Running

ORDERS, V1 = "/polymarket/orders", "/v1/polymarket/trades"
WORLD = ("--until", "2026-01-31T00:00:00Z")


@pytest.fixture(scope="module")
def kinds() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "simulator", "--list-faults", "--json"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(listed.stdout)
    return found


def middle(world: Running, limit: int = 10) -> dict[str, Any]:
    """The request for the second page of everybody's orders."""
    first = world.get(ORDERS, {"limit": limit}).json
    return {"limit": limit, "pagination_key": first["pagination"]["pagination_key"]}


def last(world: Running, limit: int = 10) -> dict[str, Any]:
    """The request for the last page."""
    params: dict[str, Any] = {"limit": limit}
    while key := world.get(ORDERS, params).json["pagination"].get("pagination_key"):
        params["pagination_key"] = key
    return params


def seen(running: Running, params: dict[str, Any], path: str = ORDERS) -> Answer | str:
    """What a client gets: an answer, or the name of the error."""
    try:
        return running.get(path, params)
    except (HTTPException, OSError) as error:
        return type(error).__name__


def bytes_of(running: Running, path: str = ORDERS, **headers: str) -> bytes:
    """All that comes over the wire for one request."""
    with socket.create_connection(("127.0.0.1", running.ready["port"]), timeout=30) as connection:
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *(f"{n}: {v}" for n, v in headers.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        found = b""
        while part := connection.recv(1 << 20):
            found += part
    return found


def test_the_list_of_kinds_is_what_is_known(
    kinds: list[dict[str, Any]], simulate: Callable[..., Any], start: Callable[..., Running]
) -> None:
    text = simulate("--list-faults").stdout.splitlines()
    assert len(text) == len(kinds) >= 40
    for line, kind in zip(text, kinds, strict=True):
        assert line.split()[0] == kind["written"] and line.endswith("  " + kind["meaning"])
        assert kind["written"].startswith(kind["kind"]) and kind["examples"]
    assert len({kind["kind"] for kind in kinds}) == len(kinds)
    unknown = simulate("--port", "0", "--fault", "unknown").stderr
    assert all(kind["written"] in unknown for kind in kinds)


def test_every_example_spoils_its_request_or_delays_it(
    kinds: list[dict[str, Any]], world: Running, start: Callable[..., Running]
) -> None:
    """One request each, for a page in the middle of a walk; those that need another page have tests of their own."""
    examples = [example for kind in kinds for example in kind["examples"]]
    running = start(*WORLD, *(p for n, spec in enumerate(examples, 1) for p in ("--fault", f"{spec}@/orders#{n}")))
    params = middle(world)
    healthy = world.get(ORDERS, params)
    same = []
    for example in examples:
        answer = seen(running, params)
        if not isinstance(answer, str) and (answer.status, answer.body) == (200, healthy.body):
            same.append(example)
            assert example.startswith(("slow", "drip")) or "content-encoding" in answer.headers or example in (
                "more-for-ever", "shift:skip", "shift:repeat",
            )  # fmt: skip
    assert [example for example in same if example.startswith(("slow", "drip"))] == ["slow:0.05", "drip:0.3"]
    assert running.get(ORDERS, params).body == healthy.body


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_no_example_breaks_the_simulator_anywhere_in_a_walk(
    kinds: list[dict[str, Any]], world: Running, start: Callable[..., Running], place: str
) -> None:
    examples = [example for kind in kinds for example in kind["examples"]]
    specs = (p for n, spec in enumerate(examples, 1) for p in ("--fault", f"{spec}@/orders%{place}#{n}"))
    running = start(*WORLD, *specs)
    params = {"first": {"limit": 10}, "middle": middle(world), "last": last(world)}[place]
    for example in examples:
        answer = seen(running, params)
        if not isinstance(answer, str) and answer.status == 500:
            assert example == "status:500"
    healthy = world.get(ORDERS, params)
    assert running.get(ORDERS, params).body == healthy.body


# -- transport ---------------------------------------------------------------------------------------------------------


def test_a_drop_sends_no_byte_and_is_counted(start: Callable[..., Running]) -> None:
    running = start("--fault", "drop@/orders")
    assert bytes_of(running) == b""
    assert seen(running, {}) == "RemoteDisconnected"
    assert running.get("/stats").json["requests"] == {ORDERS: {"none": 2}}


def test_a_length_that_is_wrong_either_way(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "length-long#1-2", "--fault", "length-short#3-4")
    body = world.get(ORDERS).body
    assert seen(running, {}) == "IncompleteRead"
    head, _, came = bytes_of(running).partition(b"\r\n\r\n")
    assert came == body and f"content-length: {len(body) + 10}".encode() in head.lower()
    short = running.get(ORDERS)
    assert short.body == body[: len(body) // 2]
    assert bytes_of(running).partition(b"\r\n\r\n")[2] == body


def test_a_tcp_reset_is_one(start: Callable[..., Running]) -> None:
    running = start("--fills", 5_000, "--fault", "tcp-reset")
    with pytest.raises(ConnectionResetError):
        bytes_of(running, ORDERS + "?limit=1000")


def test_a_drip_is_whole_and_a_stall_is_not(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "drip:0.3#1", "--fault", "stall:0.3#2", "--fault", "slow:0.3#3")
    body = world.get(ORDERS).body
    began = time.monotonic()
    assert running.get(ORDERS).body == body and time.monotonic() - began >= 0.25
    began = time.monotonic()
    assert seen(running, {}) == "IncompleteRead" and time.monotonic() - began >= 0.3
    began = time.monotonic()
    assert running.get(ORDERS).body == body and time.monotonic() - began >= 0.3


def test_retry_after_as_a_date_counts_from_the_date_of_the_answer(start: Callable[..., Running]) -> None:
    answer = start("--fault", "retry-date:503:31536000").get(ORDERS)
    assert answer.status == 503
    wait = parsedate_to_datetime(answer.headers["retry-after"]) - parsedate_to_datetime(answer.headers["date"])
    assert abs(wait.total_seconds() - 31_536_000) <= 1


def test_a_redirect_names_another_host_and_the_same_request(start: Callable[..., Running]) -> None:
    running = start("--fault", "redirect:307:elsewhere.invalid:8080")
    answer = running.get(ORDERS, {"limit": 3})
    assert (answer.status, answer.headers["location"]) == (307, f"http://elsewhere.invalid:8080{ORDERS}?limit=3")


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "body"), [("empty", b"{}"), ("no-body", b""), ("null", b"null")])
def test_a_body_instead(start: Callable[..., Running], kind: str, body: bytes) -> None:
    answer = start("--fault", kind).get(ORDERS)
    assert (answer.status, answer.body) == (200, body)


def test_an_error_in_a_200(start: Callable[..., Running]) -> None:
    answer = start("--fault", "error-body").get(ORDERS)
    assert answer.status == 200 and set(answer.json) == {"error", "message"}


def test_bytes_that_are_no_text(start: Callable[..., Running], world: Running) -> None:
    answer = start(*WORLD, "--fault", "not-utf8").get(ORDERS)
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    assert answer.body.replace(b"\xff\xfe", b"") == world.get(ORDERS).body


def test_compression_that_lies(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "gzip-truncated#1", "--fault", "gzip-lie#2", "--fault", "gzip-bomb:20#3")
    body = world.get(ORDERS).body
    cut, lie, bomb = (running.get(ORDERS, **{"accept-encoding": "gzip"}) for _ in range(3))
    assert {answer.headers["content-encoding"] for answer in (cut, lie, bomb)} == {"gzip"}
    assert int(cut.headers["content-length"]) == len(cut.body)
    with pytest.raises(EOFError):
        gzip.decompress(cut.body)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(lie.body)
    assert len(bomb.body) < 1_000_000
    assert gzip.decompress(bomb.body) == b" " * 20_000_000 + body


def test_too_much_of_it(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "big-body:20#1", "--fault", "big-record:20#2")
    healthy = world.get(ORDERS)
    body = running.get(ORDERS)
    assert len(body.body) == len(healthy.body) + 20_000_000 and body.json == healthy.json
    record = running.get(ORDERS).json
    assert record["orders"][0].pop("padding") == "x" * 20_000_000 and record == healthy.json


# -- pages -------------------------------------------------------------------------------------------------------------


def test_an_empty_page_promises_more(start: Callable[..., Running], world: Running) -> None:
    params = middle(world)
    page, healthy = start(*WORLD, "--fault", "empty-page").get(ORDERS, params).json, world.get(ORDERS, params).json
    assert page == healthy | {"orders": []} and page["pagination"]["has_more"]


@pytest.mark.parametrize("selector", ["", "%last"])
def test_more_for_ever_never_gives_the_same_cursor(
    start: Callable[..., Running], world: Running, selector: str
) -> None:
    running = start(*WORLD, "--fault", f"more-for-ever{selector}")
    params: dict[str, Any] = {"limit": 150}
    pages, keys = [], []
    for _ in range(6):
        pages.append(running.get(ORDERS, params).json)
        assert pages[-1]["pagination"]["has_more"]
        keys.append(pages[-1]["pagination"]["pagination_key"])
        params["pagination_key"] = keys[-1]
    assert len(set(keys)) == 6
    healthy = [page["orders"] for page in world.walk(limit=150)]
    assert [page["orders"] for page in pages] == [*healthy, [], [], []]


@pytest.mark.parametrize(("spec", "last_pages"), [("more-for-ever", [100, 0]), ("empty-page", [0, 0])])
def test_a_walk_that_was_led_beyond_its_end_once_still_ends(
    start: Callable[..., Running], spec: str, last_pages: list[int]
) -> None:
    running = start(*WORLD, "--fault", f"{spec}@/orders%last#1", "--fault", f"{spec}@keyset#1")
    assert [len(page["orders"]) for page in running.walk(limit=150)] == [150, 150, *last_pages]
    key = running.get("/markets/keyset", {"limit": 100}).json["next_cursor"]
    assert running.get("/markets/keyset", {"limit": 100, "after_cursor": key}).json == {"markets": []}


def test_more_for_ever_by_offset_and_by_keyset(start: Callable[..., Running]) -> None:
    running = start("--fills", 10, "--wallets", 1, "--fault", "more-for-ever")
    wallet = running.get("/v2/polymarket/trades").json["trades"][0]["user"]
    for offset in (0, 10, 20):
        page = running.get(V1, {"user": wallet, "offset": offset}).json
        assert page["pagination"]["has_more"] and "pagination_key" not in page["pagination"]
    keys = [running.get("/markets/keyset", {"limit": 100}).json["next_cursor"]]
    for _ in range(3):
        page = running.get("/markets/keyset", {"limit": 100, "after_cursor": keys[-1]}).json
        assert page["markets"] == []
        keys.append(page["next_cursor"])
    assert len(set(keys)) == 4


def test_a_repeated_cursor_still_leads_through_every_page(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "repeat-cursor")
    for _ in range(2):  # a second walk is like the first
        params: dict[str, Any] = {"limit": 70}
        pages, keys = [], []
        for _ in range(6):
            page = running.get(ORDERS, params).json
            pages.append(page["orders"])
            if page["pagination"]["has_more"]:
                keys.append(page["pagination"]["pagination_key"])
                params["pagination_key"] = keys[-1]
        assert len(keys) == 5 and len(set(keys)) == 1
        assert pages == [page["orders"] for page in world.walk(limit=70)]


def test_what_a_page_says_about_more_is_missing_or_wrong(start: Callable[..., Running], world: Running) -> None:
    kinds = ("no-has-more", "has-more-text", "no-cursor", "early-end")
    running = start(*WORLD, *(p for n, kind in enumerate(kinds, 1) for p in ("--fault", f"{kind}#{n}")))
    healthy = world.get(ORDERS).json["pagination"]
    missing, text, alone, end = (running.get(ORDERS).json["pagination"] for _ in kinds)
    key = healthy["pagination_key"]
    assert missing == {name: value for name, value in healthy.items() if name != "has_more"}
    assert text == healthy | {"has_more": "true"}
    assert alone | {"pagination_key": key} == healthy and "pagination_key" not in alone
    assert end | {"pagination_key": key, "has_more": True} == healthy and end["has_more"] is False


def test_totals_that_are_wrong(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "total-large#1", "--fault", "total-small#2", "--fault", "total-shrinks")
    totals = [running.get(ORDERS).json["pagination"]["total"] for _ in range(2)]
    assert totals == [441, 200]
    params: dict[str, Any] = {"limit": 100}
    for expected in (399, 398, 397, 396, 399):
        page = running.get(ORDERS, params).json["pagination"]
        assert page["total"] == expected
        params = {"limit": 100} | ({"pagination_key": page["pagination_key"]} if page["has_more"] else {})


def test_a_page_without_order_and_a_page_without_a_record(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "unsorted#1", "--fault", "lost-record#2", "--fault", "cap:3#3")
    healthy = world.get(ORDERS, {"limit": 50}).json
    mixed, lost, capped = (running.get(ORDERS, {"limit": 50}).json for _ in range(3))
    assert mixed["orders"] != healthy["orders"]
    assert sorted(mixed["orders"], key=json.dumps) == sorted(healthy["orders"], key=json.dumps)
    times = [order["timestamp"] for order in mixed["orders"]]
    assert times not in (sorted(times), sorted(times, reverse=True))
    assert lost["orders"] == healthy["orders"][:25] + healthy["orders"][26:]
    assert lost["pagination"] == mixed["pagination"] == healthy["pagination"]
    assert capped["orders"] == healthy["orders"][:3] and capped["pagination"]["has_more"]


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_duplicate_stands_on_two_pages(start: Callable[..., Running], world: Running, place: str) -> None:
    running = start(*WORLD, "--fault", f"duplicate-record%{place}#1")
    healthy = [order for page in world.walk(limit=150) for order in page["orders"]]
    found = [order for page in running.walk(limit=150) for order in page["orders"]]
    assert len(found) == len(healthy) + 1
    twice = [n for n in range(1, len(found)) if found[n] == found[n - 1]]
    assert [n for n, order in enumerate(found) if order in found[:n]] == twice
    assert twice == {"first": [150], "middle": [300], "last": [400]}[place]


@pytest.mark.parametrize(("way", "by"), [("skip", 1), ("repeat", -1)])
@pytest.mark.parametrize("path", [ORDERS, V1, "/markets"])
def test_a_shifted_page_is_one_record_off(
    start_shifted: dict[str, Running], world: Running, path: str, way: str, by: int
) -> None:
    running = start_shifted[way]
    wallet = world.ready["wallets_file"].read_text().split()[1]
    params = {"limit": 5, "user": wallet}
    off = running.get(path, params | {"offset": 5}).json
    expected = world.get(path, params | {"offset": 5 + by}).json
    if isinstance(expected, dict):
        expected["pagination"]["offset"] = 5
    assert off == expected
    assert running.get(path, params).body == world.get(path, params).body, "nothing stands before the first page"


@pytest.fixture(scope="module")
def start_shifted(start_module: Callable[..., Running]) -> dict[str, Running]:
    return {way: start_module(*WORLD, "--fault", f"shift:{way}") for way in ("skip", "repeat")}


# -- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "name", "value"),
    [
        ("retype:timestamp", "timestamp", str),
        ("retype:token_id", "token_id", int),
        ("retype:side", "side", lambda side: {"value": side}),
    ],
)
def test_a_member_of_every_record_changes_its_type(
    start: Callable[..., Running], world: Running, spec: str, name: str, value: Callable[[Any], Any]
) -> None:
    healthy = world.get(ORDERS).json
    drifted = start(*WORLD, "--fault", f"drift:{spec}").get(ORDERS).json
    assert drifted == healthy | {"orders": [order | {name: value(order[name])} for order in healthy["orders"]]}


def test_members_come_go_and_are_renamed(start: Callable[..., Running], world: Running) -> None:
    specs = ("add", "missing:tx_hash", "rename:tx_hash")
    running = start(*WORLD, *(p for n, spec in enumerate(specs, 1) for p in ("--fault", f"drift:{spec}#{n}")))
    healthy = world.get(ORDERS).json["orders"]
    added, gone, renamed = (running.get(ORDERS).json["orders"] for _ in specs)
    assert added == [order | {"added_lately": {"since": 2}} for order in healthy]
    assert [order | {"tx_hash": was["tx_hash"]} for order, was in zip(gone, healthy, strict=True)] == healthy
    assert all("tx_hash" not in order for order in gone + renamed)
    assert [order["tx_hash_renamed"] for order in renamed] == [order["tx_hash"] for order in healthy]


def test_the_answer_around_the_records_drifts_too(start: Callable[..., Running], world: Running) -> None:
    specs = ("missing:has_more", "rename:orders", "retype:total", "missing:pagination", "missing:no_such_member")
    running = start(*WORLD, *(p for n, spec in enumerate(specs, 1) for p in ("--fault", f"drift:{spec}#{n}")))
    healthy = world.get(ORDERS).json
    unsaid, renamed, text, bare, same = (running.get(ORDERS).json for _ in specs)
    assert unsaid["orders"] == healthy["orders"] and "has_more" not in unsaid["pagination"]
    assert renamed == {"orders_renamed": healthy["orders"], "pagination": healthy["pagination"]}
    assert text["pagination"] == healthy["pagination"] | {"total": "400"}
    assert bare == {"orders": healthy["orders"]}
    assert same == healthy


def test_a_number_that_is_none_and_arrays_without_bottom(start: Callable[..., Running], world: Running) -> None:
    running = start(*WORLD, "--fault", "nan#1", "--fault", "deep:50000#2")
    healthy = world.get(ORDERS).json
    first = running.get(ORDERS)
    assert first.body.count(b":NaN") == 1
    assert first.json["orders"][1:] == healthy["orders"][1:]
    deep = running.get(ORDERS).body
    nested = b',"nested":' + b"[" * 50_000 + b"]" * 50_000
    assert deep.count(nested) == 1 and deep.replace(nested, b"") == world.get(ORDERS).body
