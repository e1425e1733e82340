"""Promise: a walk that was cut off goes on where it was, and an upstream that says nothing is not believed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.engine import wallets
from runner.engine.fetch import Fetched
from runner.engine.order_api import OrderApi
from runner.engine.plan import BackfillOptions, SyncOptions, SyncPlan, plan_backfill, plan_sync
from runner.engine.record import Summary
from runner.engine.run import intake_for
from runner.engine.silence import check_silence
from runner.errors import ExitCode
from runner.landing.covered import source_of
from runner.settings import Settings, load
from runner.sources import orders
from runner.warehouse.connect import connect
from runner.warehouse.protocol import CheckpointMove, Warehouse
from runner.windows import EVER, Window, utc_now
from runner_tests.chaos.upstream import Silent
from runner_tests.support import HttpAnswer, order, server

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=20)
WALLETS = [f"0x{number:040x}" for number in (1, 2, 3)]
PAGE = 10


@dataclass
class Upstream:
    """Fills of wallets, newest first, in pages; `refused` wallets get 400, `silent` is an upstream without any fill."""

    fills: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    silent: bool = False
    declares_more: set[str] = field(default_factory=set)
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)

    def answer(self, _path: str, query: dict[str, str]) -> HttpAnswer:
        """A page."""
        wallet, first, last = query["user"], int(query.get("start_time", 0)), int(query["end_time"])
        if wallet in self.refused:
            return 400, {}, b'{"error": "no"}'
        found = [] if self.silent else self.fills.get(wallet, [])
        found = [fill for fill in found if first <= fill["timestamp"] <= last]
        start = int(query.get("pagination_key", 0))
        self.asked.append((wallet, first, last, start))
        more = start + PAGE < len(found)
        total = len(found) + (wallet in self.declares_more)
        pagination = {"has_more": more, "total": total, "pagination_key": str(start + PAGE) if more else None}
        body = {"orders": found[start : start + PAGE], "pagination": pagination}
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def fills(wallet: str, count: int, newest: datetime, apart: timedelta) -> list[dict[str, Any]]:
    times = [int((newest - apart * number).timestamp()) for number in range(count)]
    return [order(user=wallet, tx_hash=f"0x{at:064x}", timestamp=at) for at in times]


@dataclass
class Night:
    """What one run planned, fetched and said."""

    plan: SyncPlan
    fetched: Fetched
    summary: Summary


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Night]:
    """`sync` without dbt: plans, fetches, lands and judges, like a run of its own each time."""
    monkeypatch.chdir(tmp_path)

    nights = itertools.count()

    def made(
        upstream: Upstream,
        until: datetime,
        max_requests: int | None = None,
        only: int = 3,
        since: datetime | None = None,
    ) -> Night:
        listed, run_id = tmp_path / "wallets.csv", f"run {next(nights)}"
        listed.write_text("\n".join(WALLETS[:only]))
        with server(upstream.answer) as (url, _):
            settings = settings_of(tmp_path, dome_base_url=url)
            warehouse = connect(settings)
            warehouse.prepare()
            options = SyncOptions(wallets_file=listed, since=since, until=until, max_requests=max_requests)
            plan = plan_sync(settings, warehouse, options)
            wallets.apply_change(warehouse, plan.change, listed)
            with (
                intake_for(settings, warehouse, orders.dialect_of(settings), run_id) as intake,
                OrderApi(settings, max_requests) as api,
            ):
                for skipped in plan.skipped:
                    intake.covered(skipped)
                fetched = api.fetch(intake, plan.tasks, "Fetching", Silent())
                summary = Summary("sync", run_id, utc_now())
                if len(fetched.failures) < len(WALLETS):  # a run in which nobody was answered ends here
                    intake.settle(check_silence(settings, warehouse, plan, fetched, summary))
        later_than_the_second_in_which_rows_are_written(warehouse)
        return Night(plan, fetched, summary)

    return made


def later_than_the_second_in_which_rows_are_written(warehouse: Warehouse) -> None:
    """Runs are minutes apart; here they share a second, so what stands there becomes older."""
    for table in ("coverage", "checkpoints"):
        warehouse._query(  # type: ignore[attr-defined]
            "age", f"update state.{table} set recorded_at = recorded_at - interval 1 hour"
        )


def settings_of(folder: Path, **values: Any) -> Settings:
    known = {"page_size": PAGE, "batch_rows": 25, "requests_in_flight": 3, "requests_per_second": 1000}
    return load(duckdb_path=folder / "w.duckdb", request_attempts=1, **known, **values)


def checkpoints(folder: Path) -> dict[str, datetime]:
    settings = settings_of(folder)
    return connect(settings).checkpoints(source_of(settings))


def test_behind_a_checkpoint_a_walk_that_was_cut_off_goes_on_and_asks_for_no_page_twice(
    run: Callable[..., Night], tmp_path: Path
) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON)
    for number, wallet in enumerate(WALLETS):
        newest = LATER - timedelta(hours=1 + number)
        upstream.fills[wallet] = fills(wallet, 300, newest, timedelta(minutes=90)) + upstream.fills[wallet]
    upstream.asked.clear()
    for _ in range(4):
        night = run(upstream, LATER, max_requests=30)
        if not night.fetched.unfinished:
            break
    assert not night.fetched.unfinished, "90 pages, 30 a run: the fourth run has nothing left to cut"
    assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, LATER)
    assert len(upstream.asked) <= 90 + 4 * len(WALLETS), "at most one page a wallet and run begins within the last one"
    landed = connect(settings_of(tmp_path))._query("test", "select count(distinct tx_hash) from landing.trades")  # type: ignore[attr-defined]
    assert landed == [(len({fill["tx_hash"] for found in upstream.fills.values() for fill in found}),)]


def test_what_is_missing_before_a_finished_part_is_asked_for_and_what_came_since(tmp_path: Path) -> None:
    from runner.engine.plan import _recent

    again, day = timedelta(hours=6), timedelta(days=1)
    part = Window(NOON + 2 * day, NOON + 3 * day)
    older, newer = _recent(WALLETS[0], NOON, again, NOON + 5 * day, [part])
    assert (older.window, older.reaches, older.moves_checkpoint) == (
        Window(NOON - again, part.begins),
        part.end,
        True,
    )
    # With the overlap: what is late there would be asked for by nobody once the two parts have become one.
    assert (newer.window, newer.moves_checkpoint) == (Window(part.end - again, NOON + 5 * day), False)
    whole = Window(NOON - again, NOON + 3 * day)
    assert [task.window for task in _recent(WALLETS[0], NOON, again, NOON + 5 * day, [whole])] == [
        Window(NOON + 3 * day - again, NOON + 5 * day)
    ]
    assert [task.window for task in _recent(WALLETS[0], NOON, again, NOON + day, [part])] == [
        Window(NOON - again, NOON + day)
    ]


def test_a_checkpoint_that_was_moved_before_everything_asks_for_everything(
    run: Callable[..., Night], tmp_path: Path
) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON)
    warehouse = connect(settings_of(tmp_path))
    for back in (datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        warehouse.set_checkpoints([CheckpointMove("dome", wallet, back, "r", utc_now()) for wallet in WALLETS])
        upstream.asked.clear()
        night = run(upstream, NOON)
        assert {first for _, first, _, _ in upstream.asked} == {int(EVER.timestamp())}
        assert not night.fetched.failures
        assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, NOON)


def test_silence_puts_checkpoints_back_though_one_wallet_fails(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    assert run(upstream, NOON).summary.exit_code is ExitCode.DONE
    upstream.silent, upstream.refused = True, {WALLETS[2]}
    night = run(upstream, NOON + timedelta(days=30))
    assert night.summary.exit_code is ExitCode.CHECK_FAILED
    assert "Not one new fill came for 2 wallets over 60 wallet-days" in night.summary.messages[-1]
    assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, NOON)

    upstream.silent, upstream.refused = False, set()
    for wallet in WALLETS:
        upstream.fills[wallet] = fills(wallet, 4, NOON + timedelta(days=9), timedelta(days=2)) + upstream.fills[wallet]
    night = run(upstream, NOON + timedelta(days=31))
    assert night.fetched.received == 3 * 4, "what was not there in the silent night"
    assert night.summary.exit_code is ExitCode.DONE


def test_a_first_run_without_a_single_fill_is_suspicious_and_asks_for_everything_again(
    run: Callable[..., Night], tmp_path: Path
) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=9), timedelta(days=7)) for wallet in WALLETS})
    upstream.silent = True
    night = run(upstream, NOON)
    assert night.summary.exit_code is ExitCode.CHECK_FAILED
    upstream.silent = False
    night = run(upstream, NOON + timedelta(days=1))
    assert night.fetched.received == 15
    assert night.summary.exit_code is ExitCode.DONE
    assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, NOON + timedelta(days=1))


def test_the_past_that_a_silent_night_asked_for_is_asked_for_again(run: Callable[..., Night], tmp_path: Path) -> None:
    """Of the second wallet a part of the past is known, of the third one nothing."""
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    upstream.fills[WALLETS[1]] = fills(WALLETS[1], 60, NOON - timedelta(days=1), timedelta(days=3))
    run(upstream, NOON, only=1)
    assert run(upstream, NOON, only=2, max_requests=4).fetched.unfinished
    upstream.silent = True
    assert run(upstream, NOON + timedelta(days=60)).summary.exit_code is ExitCode.CHECK_FAILED
    upstream.silent = False
    run(upstream, NOON + timedelta(days=61))
    landed = connect(settings_of(tmp_path))._query(
        "test", "select count(distinct tx_hash || wallet_address) from landing.trades"
    )  # type: ignore[attr-defined]
    assert landed == [(5 + 60 + 5,)]


def test_a_late_fill_at_the_seam_of_two_cut_off_nights_is_found(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON, only=1)
    first = NOON + timedelta(days=10)
    busy = fills(WALLETS[0], 300, first - timedelta(hours=1), timedelta(minutes=30))
    upstream.fills[WALLETS[0]] = busy + upstream.fills[WALLETS[0]]
    assert run(upstream, first, only=1, max_requests=10).fetched.unfinished
    late = order(user=WALLETS[0], tx_hash="0x" + "f" * 64, timestamp=int((first - timedelta(minutes=67)).timestamp()))
    upstream.fills[WALLETS[0]].insert(1, late)
    for night in range(1, 5):
        run(upstream, first + timedelta(days=night), only=1, max_requests=10)
    landed = connect(settings_of(tmp_path))._query(
        "test", "select tx_hash from landing.trades where tx_hash like '0xfff%'"
    )  # type: ignore[attr-defined]
    assert landed == [(late["tx_hash"],)]


def test_the_past_of_a_new_wallet_hides_no_silence_and_makes_none(run: Callable[..., Night]) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON, only=2)
    night = run(upstream, NOON + timedelta(days=40))  # the third one is new, and its past comes
    assert night.fetched.received == 5
    assert night.summary.exit_code is ExitCode.CHECK_FAILED


def test_a_quiet_night_of_few_wallets_beside_a_new_one_that_never_traded_is_none(run: Callable[..., Night]) -> None:
    upstream = Upstream(
        {wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS[:2]}
    )
    run(upstream, NOON, only=2)
    assert run(upstream, NOON + timedelta(days=1)).summary.exit_code is ExitCode.DONE


def test_few_requests_reach_every_wallet_in_turn(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 60, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    for night in range(25):
        if not run(upstream, NOON + timedelta(days=night), max_requests=3).fetched.unfinished:
            break
    else:
        pytest.fail("18 pages, 3 a night, of which one at least is of the past")
    assert {len(windows) for windows in connect(settings_of(tmp_path)).coverage(["dome"]).values()} == {1}
    # Everybody is known: with fewer requests than wallets each still gets its turn.
    asked = []
    for night in range(30, 33):
        upstream.asked.clear()
        run(upstream, NOON + timedelta(days=night), max_requests=1)
        asked += [wallet for wallet, _, _, _ in upstream.asked]
    assert set(asked) == set(WALLETS)


def test_a_fill_that_was_known_is_no_sign_of_life(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(hours=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON)
    night = run(upstream, NOON + timedelta(days=30))  # its answers end where they did; the overlap sends the newest
    assert night.fetched.received == 3
    assert night.summary.exit_code is ExitCode.CHECK_FAILED
    assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, NOON)


def test_silent_nights_of_few_wallets_add_up(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(hours=1), timedelta(hours=7)) for wallet in WALLETS})
    run(upstream, NOON)
    nights = [run(upstream, NOON + timedelta(days=night)) for night in range(1, 20)]
    received = [night.fetched.received for night in nights]
    assert received == [3, *[0] * 17, 3], "the overlap of the first night, and of the one that asks for all again"
    codes = [night.summary.exit_code for night in nights]
    assert codes == [ExitCode.DONE] * 17 + [ExitCode.CHECK_FAILED] * 2, (
        "3 wallets, 50 wallet-days after the first night"
    )
    assert checkpoints(tmp_path) == dict.fromkeys(WALLETS, NOON), "also the nights that were believed"
    missed = [order(user=WALLETS[0], tx_hash="0x" + "e" * 64, timestamp=int((NOON + timedelta(hours=5)).timestamp()))]
    upstream.fills[WALLETS[0]] = missed + upstream.fills[WALLETS[0]]
    assert run(upstream, NOON + timedelta(days=20)).summary.exit_code is ExitCode.DONE
    landed = connect(settings_of(tmp_path))._query("test", "select 1 from landing.trades where tx_hash like '0xeee%'")  # type: ignore[attr-defined]
    assert landed == [(1,)]


def test_what_nobody_answered_leaves_nothing_behind(run: Callable[..., Night], tmp_path: Path) -> None:
    """Neither what `since` leaves out nor a window counts while not one record has come."""
    upstream = Upstream(refused=set(WALLETS))
    run(upstream, NOON, since=NOON - timedelta(days=2))
    assert connect(settings_of(tmp_path)).coverage(["dome"]) == {}
    upstream.refused = set()
    upstream.fills = {wallet: fills(wallet, 5, NOON - timedelta(days=9), timedelta(days=7)) for wallet in WALLETS}
    night = run(upstream, NOON)
    assert night.fetched.received == 15


def test_what_brought_too_few_records_is_asked_for_once_more(run: Callable[..., Night], tmp_path: Path) -> None:
    upstream = Upstream({wallet: fills(wallet, 5, NOON - timedelta(days=1), timedelta(hours=7)) for wallet in WALLETS})
    upstream.declares_more = {WALLETS[1]}
    assert run(upstream, NOON).fetched.differing == 1
    settings = settings_of(tmp_path)
    planned = plan_backfill(settings, connect(settings), BackfillOptions(gaps=True))
    assert [(task.wallet, task.window) for task in planned.tasks] == [(WALLETS[1], Window(None, NOON))]
    assert not plan_backfill(settings, connect(settings), BackfillOptions()).tasks
