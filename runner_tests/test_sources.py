"""The Dome and Gamma clients against real servers: complete answers, or an error that says what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from runner.errors import KeyRefused, Unavailable, UpstreamError, UsageError
from runner.settings import Settings
from runner.settings import load as load_settings
from runner.sources import dome, gamma, orders
from runner.sources.http import Http
from runner.windows import Window
from runner_tests.support import UNTIL, HttpAnswer, Running, launch, order, server, stop

Result = TypeVar("Result")
EVER = Window(None, datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=1))
ORDERS = "/polymarket/orders"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POLYTRADES_{name.upper()}", raising=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, list[bytes]]]]:
    """Start a healthy simulator; its wallets with their records, as text."""
    file = tmp_path_factory.mktemp("world") / "fills.ndjson"
    running = launch("--wallets", 3, "--fills", 150, "--until", UNTIL, "--write-fills", file)
    fills: dict[str, list[bytes]] = {}
    for line in file.read_bytes().splitlines():
        fills.setdefault(json.loads(line)["user"], []).append(line)
    yield running, fills
    stop(running)


def ask(
    url: str,
    work: Callable[[Http], Awaitable[Result]],
    client: Callable[[Settings], Http] = orders.client,
    **flags: Any,
) -> Result:
    """Do `work` with a client of `url`. Two attempts a request, so that giving up is quick."""
    values: dict[str, Any] = {"requests_per_second": 1000, "request_attempts": 2} | flags
    settings = load_settings(dome_base_url=url, gamma_base_url=url, **values)

    async def run() -> Result:
        async with client(settings) as http:
            return await work(http)

    return asyncio.run(run())


def fills_of(url: str, wallet: str, window: Window = EVER, page_size: int = 1000, **flags: Any) -> list[list[bytes]]:
    return walk(url, wallet, window, page_size, **flags)[0]


def walk(
    url: str, wallet: str, window: Window = EVER, page_size: int = 1000, order_api: str = "dome", **flags: Any
) -> tuple[list[list[bytes]], orders.Walk]:
    """Walks a wallet's window; gives the records of each page, and the walk."""
    dialect = orders.DIALECTS[order_api]

    async def work(http: Http) -> tuple[list[list[bytes]], orders.Walk]:
        walk = orders.Walk(http, dialect, dialect.path, wallet, window, page_size)
        pages = []
        async for page in walk.pages():
            pages.append([bytes(raw) for raw in msgspec.json.decode(page.records, type=list[msgspec.Raw])])
            seconds = [second for record in pages[-1] if (second := json.loads(record).get("timestamp"))]
            times = [datetime.fromtimestamp(second, UTC) for second in seconds]
            is_newest_first = times == sorted(times, reverse=True)
            newest, oldest = (max(times), min(times)) if times else (None, None)
            walk.saw(orders.Seen(len(pages[-1]), newest, oldest, is_newest_first))
        return pages, walk

    return ask(url, work, order_api=order_api, **flags)


def requests(running: Running, path: str = ORDERS) -> dict[str, int]:
    counted: dict[str, int] = running.get("/stats").json["requests"].get(path, {})
    return counted


def page(*orders: dict[str, Any], **pagination: Any) -> HttpAnswer:
    body = {"orders": orders, "pagination": {"has_more": False} | pagination}
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def test_a_cursor_walk_gives_every_record_once_and_byte_for_byte(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    running, fills = world
    for wallet, expected in fills.items():
        pages = fills_of(running.ready["url"], wallet, page_size=7)
        assert [len(page) for page in pages[:-1]] == [7] * (len(pages) - 1)
        found = [record for page in pages for record in page]
        assert sorted(found) == sorted(expected)


def test_a_window_is_half_open_at_the_upstream_too(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    running, fills = world
    wallet, expected = max(fills.items(), key=lambda item: len(item[1]))
    seconds = sorted(json.loads(line)["timestamp"] for line in expected)
    middle = datetime.fromtimestamp(seconds[len(seconds) // 2], UTC)
    first = fills_of(running.ready["url"], wallet, Window(None, middle))
    second = fills_of(running.ready["url"], wallet, Window(middle, EVER.end))
    before = [record for page in first for record in page]
    after = [record for page in second for record in page]
    assert all(json.loads(record)["timestamp"] < middle.timestamp() for record in before)
    assert sorted(before + after) == sorted(expected)
    assert before
    assert after


def test_a_wallet_without_fills_is_one_empty_page(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    assert fills_of(world[0].ready["url"], "0x" + "0" * 40) == [[]]


def test_without_cursors_the_offset_is_walked_to_the_end() -> None:
    records = [{"n": n} for n in range(25)]

    def answer(path: str, query: dict[str, str]) -> HttpAnswer:
        offset, limit = int(query.get("offset", 0)), int(query["limit"])
        return page(*records[offset : offset + limit], has_more=offset + limit < len(records), offset=offset)

    with server(answer) as (url, asked):
        pages = fills_of(url, "0x1", page_size=10)
    assert [json.loads(record) for page in pages for record in page] == records
    assert [query.get("offset") for query in asked] == [None, "10", "20"]


def test_half_a_character_costs_neither_its_page_nor_its_record() -> None:
    """A title that an upstream has cut in the middle of an emoji; whole ones and escaped backslashes stay."""
    records = [{"title": "cut \ud83d"}, {"title": "whole \U0001f600"}, {"title": "a backslash: \\ud83d"}]
    with server(lambda *_: page(*records)) as (url, _):
        found = [record for page in fills_of(url, "0x1") for record in page]
    assert [json.loads(record) for record in found] == [{"title": "cut \ufffd"}, *records[1:]]


def test_a_short_page_that_promises_more_is_not_the_end() -> None:
    """A server may cap the limit without a word: the offset follows what came, not what was asked for."""
    records = [{"n": n} for n in range(7)]

    def answer(path: str, query: dict[str, str]) -> HttpAnswer:
        offset = int(query.get("offset", 0))
        return page(*records[offset : offset + 3], has_more=offset + 3 < len(records))

    with server(answer) as (url, _):
        pages = fills_of(url, "0x1", page_size=1000)
    assert [json.loads(record) for page in pages for record in page] == records


def test_an_offset_that_is_too_large_is_not_a_matter_of_the_key() -> None:
    refused = {"error": "Offset deprecated", "message": "Offsets greater than 10,000 are no longer supported."}

    def answer(path: str, query: dict[str, str]) -> HttpAnswer:
        if "offset" in query:
            return 401, {}, json.dumps(refused).encode()
        return page({"n": 1}, has_more=True)

    with server(answer) as (url, asked), pytest.raises(UpstreamError, match="refuses offsets above 10,000") as caught:
        fills_of(url, "0x1")
    assert not isinstance(caught.value, KeyRefused)
    assert "--since" in str(caught.value)
    assert "KEY" not in str(caught.value)
    assert len(asked) == 2, "it is not retried"


def test_the_simulator_s_own_401_about_offsets_is_understood(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    async def work(http: Http) -> bytes:
        return await http.get(ORDERS, [("offset", "10001")])

    with pytest.raises(UpstreamError, match="refuses offsets above 10,000"):
        ask(world[0].ready["url"], work)


def test_a_page_that_repeats_is_an_error_and_no_endless_walk(start: Callable[..., Running]) -> None:
    running = start("--wallets", 1, "--fills", 30, "--until", UNTIL, "--fault", "repeat-page")
    wallet = wallets_of(running)[0]
    with pytest.raises(UpstreamError, match=rf"the same page twice.*\(wallet {wallet}\)"):
        fills_of(running.ready["url"], wallet, page_size=10)
    assert requests(running) == {"200": 3}


def wallets_of(running: Running) -> list[str]:
    orders = running.get(ORDERS, {"limit": 1000}).json["orders"]
    return sorted({order["user"] for order in orders})


def test_a_cursor_that_repeats_is_an_error() -> None:
    numbers = iter(range(100))

    def answer(path: str, query: dict[str, str]) -> HttpAnswer:
        return page({"n": next(numbers)}, has_more=True, pagination_key="same")

    with server(answer) as (url, asked), pytest.raises(UpstreamError, match=r"the same cursor twice \(wallet 0x1\)"):
        fills_of(url, "0x1")
    assert len(asked) == 2


@pytest.mark.parametrize(("last_page", "total"), [(2, 5), (1, 5), (2, 4)])
def test_a_limit_that_looks_like_the_end_is_an_error(last_page: int, total: int) -> None:
    """Pages of two. A full one as the last, with more declared, is a cut; a total alone proves nothing."""
    records = [order(tx_hash=f"0x{number:064x}") for number in range(4)]

    def respond(_path: str, query: dict[str, str]) -> HttpAnswer:
        if "pagination_key" not in query:
            return page(*records[:2], total=total, has_more=True, pagination_key="next")
        return page(*records[2 : 2 + last_page], total=total)

    with server(respond) as (url, _):
        if (last_page, total) == (2, 5):
            with pytest.raises(UpstreamError, match="ended after a full page, with 4 of the 5 records"):
                walk(url, "0x" + "a" * 40, page_size=2)
        else:
            _, done = walk(url, "0x" + "a" * 40, page_size=2)
            assert (done.received, done.declared) == (2 + last_page, total)


def test_an_empty_page_that_promises_more_is_an_error() -> None:
    with (
        server(lambda *_: page(has_more=True, pagination_key="k")) as (url, _),
        pytest.raises(UpstreamError, match=r"an empty page and says that there is more \(wallet 0x1\)"),
    ):
        fills_of(url, "0x1")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"orders":null,"pagination":{"has_more":false}}',
        b'{"orders":{},"pagination":{"has_more":false}}',
        b'{"orders":[]}',
        b'{"orders":[],"pagination":{}}',
        b'{"data":[],"pagination":{"has_more":false}}',
        b'{"orders":[],"pagination":{"has_more":"no"}}',
        b'{"error":"Internal","message":"try again"}',
    ],
)
def test_an_answer_without_its_list_or_its_end_is_never_the_end(body: bytes) -> None:
    with (
        server(lambda *_: (200, {}, body)) as (url, asked),
        pytest.raises(UpstreamError, match=r"in a shape that was not expected|without a list of records") as caught,
    ):
        fills_of(url, "0x1")
    assert not isinstance(caught.value, Unavailable)
    assert len(asked) == 1


def test_an_empty_answer_is_never_the_end(start: Callable[..., Running]) -> None:
    running = start("--wallets", 1, "--fills", 30, "--until", UNTIL, "--fault", "empty@orders#3")
    wallet = wallets_of(running)[0]
    with pytest.raises(UpstreamError, match="in a shape that was not expected"):
        fills_of(running.ready["url"], wallet, page_size=10)


def test_a_web_page_is_called_one(start: Callable[..., Running]) -> None:
    running = start("--fills", 1, "--fault", "html")
    with pytest.raises(UpstreamError, match=r"a web page \(HTML\) instead of JSON") as caught:
        fills_of(running.ready["url"], "0x1")
    assert "POLYTRADES_DOME_BASE_URL" in str(caught.value)
    assert requests(running) == {"200": 1}


@pytest.mark.parametrize("body", [b"", b"OK", b"\x1f\x8b\x00", b'"text"', b"5"])
def test_an_answer_that_is_no_json_is_called_that(body: bytes) -> None:
    with (
        server(lambda *_: (200, {}, body)) as (url, _),
        pytest.raises(UpstreamError, match="something that is not JSON"),
    ):
        fills_of(url, "0x1")


@pytest.mark.parametrize("kind", ["truncated", "reset", "status:503", "status:429", "status:500"])
def test_what_may_pass_is_tried_again_and_then_complete(start: Callable[..., Running], kind: str) -> None:
    running = start("--wallets", 1, "--fills", 25, "--until", UNTIL, "--fault", f"{kind}@orders#3")
    wallet = wallets_of(running)[0]
    pages = fills_of(running.ready["url"], wallet, page_size=10)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert sum(requests(running).values()) == 1 + 3 + 1


@pytest.mark.parametrize("kind", ["truncated", "reset", "status:503"])
def test_what_does_not_pass_is_given_up_after_the_set_number_of_attempts(
    start: Callable[..., Running], kind: str
) -> None:
    running = start("--fills", 1, "--fault", kind)
    with pytest.raises(Unavailable, match="run the same command again") as caught:
        fills_of(running.ready["url"], "0x1", request_attempts=3)
    assert sum(requests(running).values()) == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 402, 405, 422, 501])
def test_what_another_attempt_would_not_change_is_not_tried_again(start: Callable[..., Running], status: int) -> None:
    running = start("--fills", 1, "--fault", f"status:{status}")
    with pytest.raises(UpstreamError, match=f"with {status} .*Simulated {status}") as caught:
        fills_of(running.ready["url"], "0x1")
    assert not isinstance(caught.value, Unavailable)
    assert requests(running) == {str(status): 1}


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(start: Callable[..., Running], code: int) -> None:
    running = start("--wallets", 1, "--fills", 5, "--until", UNTIL, "--fault", f"retry-after:{code}:0@orders#2-3")
    wallet = wallets_of(running)[0]
    assert [len(page) for page in fills_of(running.ready["url"], wallet, request_attempts=3)] == [5]
    assert requests(running) == {"200": 2, str(code): 2}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("100000", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2115 07:28:00 GMT", 60.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_may_be_seconds_or_a_date_and_is_capped_at_a_minute(written: str, seconds: float | None) -> None:
    with server(lambda *_: (503, {"Retry-After": written}, b"{}")) as (url, _), pytest.raises(Unavailable) as caught:
        fills_of(url, "0x1", request_attempts=1)
    assert caught.value.retry_after == seconds


def test_nobody_there_is_said_in_plain_words_with_the_setting_to_check() -> None:
    with server(lambda *_: page()) as (url, _):
        pass
    with pytest.raises(Unavailable) as caught:
        fills_of(url, "0x1")
    assert str(caught.value) == (
        f"The order API at {url} does not answer /polymarket/orders: Connection refused. Check the address in "
        "POLYTRADES_DOME_BASE_URL and the network, then run the same command again."
    )
    with pytest.raises(Unavailable, match="does not answer"):
        fills_of("http://no-such-host.invalid", "0x1", request_attempts=1)


def test_an_answer_that_takes_too_long_is_given_up(start: Callable[..., Running]) -> None:
    running = start("--fills", 1, "--fault", "slow:30")
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 seconds"):
        fills_of(running.ready["url"], "0x1", request_timeout_seconds=0.2, request_attempts=1)


def test_a_key_is_sent_as_the_settings_say(start: Callable[..., Running]) -> None:
    running = start("--wallets", 1, "--fills", 5, "--until", UNTIL, "--api-key", "k1")
    orders = running.get(ORDERS, {"limit": 5}, Authorization="Bearer k1").json["orders"]
    url, wallet = running.ready["url"], orders[0]["user"]
    assert [len(page) for page in fills_of(url, wallet, dome_api_key="k1")] == [5]
    header = {"dome_auth_header": "X-Api-Key", "dome_auth_scheme": ""}
    assert [len(page) for page in fills_of(url, wallet, dome_api_key="k1", **header)] == [5]


@pytest.mark.parametrize("key", [None, "wrong-key-0123456789"])
def test_a_refused_key_is_an_error_of_the_settings_and_is_not_shown(start: Callable[..., Running], key: str) -> None:
    running = start("--fills", 1, "--api-key", "right")
    with pytest.raises(KeyRefused, match="Set POLYTRADES_DOME_API_KEY to a valid key") as caught:
        fills_of(running.ready["url"], "0x1", dome_api_key=key)
    assert "401: Unauthorized: Invalid or missing API key" in str(caught.value)
    assert "wrong-key" not in str(caught.value)
    assert requests(running) == {"401": 1}


def test_an_upstream_that_repeats_the_key_does_not_bring_it_into_a_message() -> None:
    key = "k" * 30
    body = json.dumps({"error": "x" * 180 + key}).encode()
    with server(lambda *_: (403, {}, body)) as (url, _), pytest.raises(KeyRefused) as caught:
        fills_of(url, "0x1", dome_api_key=key)
    assert "kkk" not in str(caught.value)
    assert "***" in str(caught.value)


def test_gamma_takes_no_key_and_its_refusal_names_none(start: Callable[..., Running]) -> None:
    running = start("--fills", 1, "--fault", "status:403")
    with pytest.raises(UpstreamError, match=r"Gamma .*403") as caught:
        ask(
            running.ready["url"],
            lambda http: gamma.Gamma(http, "auto").markets(["0x1"]),
            gamma.client,
            dome_api_key="secret-key",
        )
    assert "API_KEY" not in str(caught.value)


def test_gamma_is_never_sent_the_key() -> None:
    with server(lambda *_: (200, {}, b'{"markets":[]}')) as (url, asked):
        ask(url, lambda http: gamma.Gamma(http, "auto").markets(["0x1"]), gamma.client, dome_api_key="secret-key")
    assert asked
    assert not any("secret-key" in value for query in asked for value in query.values())


def test_a_path_that_is_not_there_is_an_error_of_the_base_url(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    url = world[0].ready["url"] + "/nowhere"
    with pytest.raises(UsageError, match=rf"no /polymarket/orders at {url} \(404\)\. Check POLYTRADES_DOME_BASE_URL"):
        fills_of(url, "0x1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_so_that_a_key_goes_nowhere_else(status: int) -> None:
    with (
        server(lambda *_: page()) as (elsewhere, reached),
        server(lambda *_: (status, {"Location": f"{elsewhere}/polymarket/orders"}, b"")) as (url, _),
        pytest.raises(UpstreamError, match=rf"a redirect \({status}\), which is not followed") as caught,
    ):
        fills_of(url, "0x1", dome_api_key="secret-key")
    assert reached == []
    assert "POLYTRADES_DOME_BASE_URL" in str(caught.value)


def test_what_an_upstream_says_cannot_move_the_cursor_of_a_terminal() -> None:
    with (
        server(lambda *_: (400, {}, b'{"error":"\\u001b[2J\\u0007bad\\r\\n"}')) as (url, _),
        pytest.raises(UpstreamError, match=r"\[2Jbad") as caught,
    ):
        fills_of(url, "0x1")
    assert str(caught.value).isprintable()


def test_the_dome_shaped_api_finds_markets_and_events_too(world: tuple[Running, dict[str, list[bytes]]]) -> None:
    running, fills = world
    conditions = sorted({json.loads(line)["condition_id"] for lines in fills.values() for line in lines})
    found = ask(running.ready["url"], lambda http: dome.markets(http, [*conditions, "0x" + "0" * 64]))
    assert sorted(found) == conditions
    slugs = sorted({json.loads(raw)["event_slug"] for raw in found.values()})
    events = ask(running.ready["url"], lambda http: dome.events(http, [*slugs, "no-such-event"]))
    assert sorted(events) == slugs


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"markets":[{"title":"x"}]}'])
def test_dome_markets_in_another_shape_are_an_error(body: bytes) -> None:
    with (
        server(lambda *_: (200, {}, body)) as (url, _),
        pytest.raises(UpstreamError, match="in a shape that was not expected"),
    ):
        ask(url, lambda http: dome.markets(http, ["0x1"]))


def test_a_record_is_handed_on_exactly_as_it_was_received() -> None:
    record = b'{"price": 0.3500000007787229 ,"big":' + b"9" * 78 + b',"text":"\\u00e9"}'
    body = b'{"orders":[' + record + b'],"pagination":{"has_more":false}}'
    with server(lambda *_: (200, {}, body)) as (url, _):
        assert fills_of(url, "0x1") == [[record]]
    assert msgspec.json.decode(record)["big"] == int("9" * 78)
