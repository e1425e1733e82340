"""Many wallets at once: what is bad costs itself and nothing else, and nothing hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.engine.fetch import Fetch, Source, Task
from runner.errors import UsageError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.settings import load as load_settings
from runner.sources import orders
from runner.warehouse.duckdb import DuckDBWarehouse
from runner.windows import Window
from runner_tests.support import Home, HttpAnswer, order, server

END = datetime(2026, 1, 31, tzinfo=UTC)
WALLETS = [f"0x{number:040x}" for number in range(1, 31)]
Respond = Callable[[str, dict[str, str]], HttpAnswer]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    made = Home(tmp_path)
    DuckDBWarehouse(load_settings(duckdb_path=made.duckdb_file)).prepare()
    return made


def settings_for(url: str) -> Settings:
    return load_settings(dome_base_url=url, gamma_base_url=url, requests_per_second=1000, request_attempts=1)


def answer(body: object, status: int = 200) -> HttpAnswer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def one_fill(wallet: str) -> HttpAnswer:
    record = order(user=wallet, tx_hash=f"0x{int(wallet, 16):064x}")
    return answer({"orders": [record], "pagination": {"has_more": False}})


def fetch(home: Home, url: str, in_flight: int = 5) -> tuple[Intake, dict[str, str]]:
    """Fetches all WALLETS; gives the intake and the failures."""
    settings = settings_for(url)
    warehouse = DuckDBWarehouse(load_settings(duckdb_path=home.duckdb_file))
    intake = Intake(warehouse, "dome", home.folder / "spool", "test", batch_rows=1000)

    return intake, run_engine(settings, intake, [Task(wallet, Window(None, END)) for wallet in WALLETS], in_flight)


def run_engine(settings: Settings, intake: Intake, tasks: list[Task], in_flight: int) -> dict[str, str]:
    """Runs the engine on tasks; gives the failures."""
    dialect = orders.dialect_of(settings)

    async def run() -> dict[str, str]:
        async with orders.client(settings) as http:
            engine = Fetch(Source(http, dialect, dialect.path, 1000, in_flight), intake, timedelta(minutes=5))
            return (await engine.run(tasks, lambda *_: None)).failures

    return asyncio.run(run())


def test_wallets_that_are_refused_at_once_do_not_stop_the_ones_that_answer_later(home: Home) -> None:
    bad = set(WALLETS[:15])

    def respond(_path: str, query: dict[str, str]) -> HttpAnswer:
        return answer({"error": "no"}, 400) if query["user"] in bad else one_fill(query["user"])

    with server(respond) as (url, _):
        intake, failures = fetch(home, url)
    assert failures.keys() == bad
    assert intake.counts.landed == 15
    assert {wallet for (wallet,) in home.query("select wallet_address from state.checkpoints")} == set(WALLETS) - bad


def test_a_404_for_one_wallet_is_that_wallet_s_own(home: Home) -> None:
    def respond(_path: str, query: dict[str, str]) -> HttpAnswer:
        return answer({"error": "gone"}, 404) if query["user"] == WALLETS[20] else one_fill(query["user"])

    with server(respond) as (url, _):
        intake, failures = fetch(home, url, in_flight=1)
    assert failures.keys() == {WALLETS[20]}
    assert intake.counts.landed == 29


def test_a_404_from_the_start_is_the_base_url_s(home: Home) -> None:
    with server(lambda _path, _query: answer({}, 404)) as (url, _), pytest.raises(UsageError, match="404"):
        fetch(home, url)


def test_an_answer_nested_beyond_reading_fails_its_wallet_and_hangs_nothing(home: Home) -> None:
    nested = (200, {}, b'{"orders":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    def respond(_path: str, query: dict[str, str]) -> HttpAnswer:
        return nested if query["user"] == WALLETS[0] else one_fill(query["user"])

    with server(respond) as (url, _):
        _, failures = fetch(home, url)
    assert failures.keys() == {WALLETS[0]}


def test_an_error_that_nobody_thought_of_ends_the_run_and_does_not_hang_it(home: Home) -> None:
    """A window that cannot be converted stands for it; what had come in is landed."""
    settings = settings_for("http://127.0.0.1:9")
    intake = Intake(
        DuckDBWarehouse(load_settings(duckdb_path=home.duckdb_file)),
        "dome",
        home.folder / "spool",
        "test",
        batch_rows=1000,
    )

    with pytest.raises(AttributeError):
        run_engine(settings, intake, [Task(WALLETS[0], Window(None, "no instant"))], 2)  # type: ignore[arg-type]


def test_many_rejected_records_are_landed_in_batches_too(home: Home) -> None:
    intake = Intake(
        DuckDBWarehouse(load_settings(duckdb_path=home.duckdb_file)),
        "file",
        home.folder / "spool",
        "test",
        batch_rows=500,
    )
    for number in range(2000):
        intake.add([json.dumps(order(side=f"HOLD {number % 1500}")).encode()], None, "file")
    assert home.query("select count(*) from landing.rejected_records") == [(1500,)]
    intake.flush()
    assert intake.counts.rejected == 2000
    assert home.query("select count(*), count(distinct record_hash) from landing.rejected_records") == [(1500, 1500)]
