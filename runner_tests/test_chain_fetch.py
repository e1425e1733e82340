"""Promise: windows become blocks without a hole, whoever is asked; what was cut off goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runner import settings as runner_settings
from runner.engine.chain import Chain
from runner.engine.fetch import Fetched, Task
from runner.landing.covered import covered_windows
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources.exchanges import known_exchanges
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Covered, Warehouse
from runner.windows import Window, holes
from runner_tests.chain import fill_of, logs
from runner_tests.support import UNTIL, Running

WINDOW = Window(datetime(2026, 1, 29, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC))
WORLD = ("--wallets", 6, "--fills", 500, "--days", 2, "--until", UNTIL)


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """How far a phase is."""


def start_settings(patch: pytest.MonkeyPatch, folder: Path, *nodes: Running, **changes: Any) -> Settings:
    patch.setenv("POLYTRADES_POLYGON_RPC_URLS", " ".join(node.ready["url"] + "/rpc" for node in nodes))
    patch.setenv("POLYTRADES_DUCKDB_PATH", str(folder / "chain.duckdb"))
    quick = {"source": "polygon", "requests_per_second": 1000, "requests_in_flight": 3, "request_attempts": 1}
    return runner_settings.load(**quick | changes)


def fetch(settings: Settings, folder: Path, tasks: list[Task], max_requests: int | None = None) -> Fetched:
    warehouse = connect(settings)
    warehouse.prepare()
    with (
        Intake(warehouse, "polygon", folder / "spool", "run", batch_rows=100) as intake,
        Chain(settings, warehouse, "run", max_requests) as chain,
    ):
        return chain.fetch(intake, tasks, "Fetching", Silent())


def wallets_of(node: Running) -> list[str]:
    return sorted({order["user"] for order in node.get("/polymarket/orders", {"limit": 1000}).json["orders"]})


def landed(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    rows = warehouse._query(  # type: ignore[attr-defined]
        "test", "select distinct wallet_address, tx_hash, order_hash, block_number, log_index from landing.trades"
    )
    return set(rows)


def expected(node: Running, wallets: list[str]) -> set[tuple[Any, ...]]:
    names = ("user", "tx_hash", "order_hash", "block_number", "log_index")
    fills = [fill_of(log) for log in logs(node)]
    return {tuple(fill[name] for name in names) for fill in fills if fill["user"] in wallets}


def left(settings: Settings, wallets: list[str]) -> list[Task]:
    """What of the window nobody has fetched."""
    covered = covered_windows(settings, connect(settings))
    return [Task(wallet, hole) for wallet in wallets for hole in holes(WINDOW, covered.get(wallet, []))]


@pytest.fixture(scope="module")
def node(start_module: Callable[..., Running]) -> Running:
    """A node without limits."""
    return start_module(*WORLD, "--rpc", "finality=0")


def test_a_cut_off_fetch_goes_on_where_it_was_and_nothing_is_asked_twice(
    node: Running, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = start(*WORLD, "--rpc", "finality=0", "--rpc", "max-blocks=3000", "--rpc", "times=0")
    settings = start_settings(monkeypatch, tmp_path, small, polygon_block_range=3_000)
    wallets = wallets_of(node)[:5]
    tasks = [Task(wallet, WINDOW) for wallet in wallets]
    before = small.get("/stats").json["total"]
    cut = fetch(settings, tmp_path, tasks, max_requests=45)
    assert (cut.done, len(cut.unfinished), cut.failures) == (0, 5, {})
    assert small.get("/stats").json["total"] - before == 45
    rest = left(settings, wallets)
    assert len(rest) == 5
    assert {task.window.start for task in rest} == {WINDOW.start}
    assert all(task.window.end < WINDOW.end for task in rest), "the newest part is covered"
    assert not connect(settings).checkpoints("polygon")
    done = fetch(settings, tmp_path, rest)
    assert (done.done, done.unfinished) == (5, [])
    assert left(settings, wallets) == []
    warehouse = connect(settings)
    assert landed(warehouse) == expected(node, wallets)
    blocks = warehouse._query(  # type: ignore[attr-defined]
        "test", "select distinct first_block, last_block from state.coverage where status = 'complete' order by 1"
    )
    assert all(later[0] <= earlier[1] + 1 for earlier, later in pairwise(blocks)), "they tile"


def test_whole_ranges_and_ranges_by_wallet_give_the_same(
    node: Running, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallets = wallets_of(node)[:5]
    tasks = [Task(wallet, WINDOW) for wallet in wallets]
    small = start(*WORLD, "--rpc", "finality=0", "--rpc", "max-blocks=900", "--rpc", "style=alchemy")
    for name, group, logs_per_block in (("wallets", 2, 150), ("everybody", 2, 1)):
        folder = tmp_path / name
        folder.mkdir()
        changes = {"polygon_wallets_per_request": group, "polygon_logs_per_block": logs_per_block}
        settings = start_settings(monkeypatch, folder, small, **changes)
        assert fetch(settings, folder, tasks).done == 5
        warehouse = connect(settings)
        assert landed(warehouse) == expected(node, wallets)
        assert {kind for _, kind in warehouse.rpc_limits()} == {"wallets", name}


def test_a_wallet_that_cannot_be_read_keeps_what_it_has_and_the_window_stays_open(
    node: Running, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = start(*WORLD, "--rpc", "finality=0", "--rpc", "keeps=30000")
    settings = start_settings(monkeypatch, tmp_path, pruned)
    wallets = wallets_of(node)[:2]
    failed = fetch(settings, tmp_path, [Task(wallet, WINDOW) for wallet in wallets])
    assert set(failed.failures) == set(wallets)
    assert "archive node" in failed.failures[wallets[0]]
    open_windows = [task.window for task in left(settings, wallets)]
    assert {window.start for window in open_windows} == {WINDOW.start}
    assert all(window.end < WINDOW.end for window in open_windows), "what the node has is kept and covered"
    settings = start_settings(monkeypatch, tmp_path, pruned, node)
    assert fetch(settings, tmp_path, left(settings, wallets)).failures == {}
    assert landed(connect(settings)) == expected(node, wallets)


def test_a_new_exchange_makes_its_past_a_gap(tmp_path: Path, node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = start_settings(monkeypatch, tmp_path, node)
    warehouse = connect(settings)
    warehouse.prepare()
    wallet, known = "0x" + "a" * 40, list(known_exchanges())
    all_but_one = ",".join(sorted(known[:-1]))
    at = WINDOW.end
    newest = known_exchanges()[known[-1]].first_block

    def covered(contracts: str | None, start: datetime | None, end: datetime, last_block: int | None) -> Covered:
        return Covered(
            "polygon" if contracts else "dome", wallet, start, end, "complete", 0, None, False, contracts, 1, last_block
        )

    old, middle = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    warehouse.land(None, [], [covered(all_but_one, None, old, newest - 1)], "run", at)
    warehouse.land(None, [], [covered(all_but_one, old, middle, newest + 5)], "run", at)
    warehouse.land(None, [], [covered(",".join(sorted(known)), middle, at, newest + 9)], "run", at)
    found = covered_windows(settings, warehouse)[wallet]
    assert found == [Window(None, old), Window(middle, at)], "in between it was not read, and might have been there"
    warehouse.land(None, [], [covered(None, old, middle, None)], "run", at)
    assert covered_windows(settings, warehouse)[wallet] == [Window(None, at)], "what an API gave counts"


def test_a_log_that_comes_twice_is_one_and_one_that_was_left_out_comes_when_it_is_asked_again(
    node: Running, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallets = wallets_of(node)[:2]
    tasks = [Task(wallet, WINDOW) for wallet in wallets]
    broken = start(*WORLD, "--rpc", "finality=0", "--rpc", "twice=2", "--rpc", "lose=3")
    settings = start_settings(monkeypatch, tmp_path, broken)
    fetch(settings, tmp_path, tasks)
    whole, found = expected(node, wallets), landed(connect(settings))
    assert found < whole
    settings = start_settings(monkeypatch, tmp_path, node)
    fetch(settings, tmp_path, tasks)
    assert landed(connect(settings)) == whole
