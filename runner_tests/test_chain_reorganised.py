"""Promise: however often and deep the chain is reorganised, what counts as told by it is the final chain."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.engine.chain import Chain
from runner.engine.fetch import Task
from runner.landing.intake import Intake
from runner.warehouse.protocol import Warehouse
from runner.windows import Window
from runner_tests.chain import call, fill_of, logs, post
from runner_tests.support import UNTIL, Running, home_on, opened
from runner_tests.test_chain_fetch import Silent

BEGINS, ENDS = datetime(2026, 1, 29, tzinfo=UTC), datetime(2026, 2, 20, tzinfo=UTC)
ROUNDS = {"duckdb": 12, "emulator": 5}
NAMES = ("user", "tx_hash", "order_hash", "token_id", "side", "shares", "log_index", "block_number")


def final(node: Running, wallets: list[str]) -> list[tuple[Any, ...]]:
    fills = [fill_of(log) for log in logs(node)]
    return sorted(tuple(fill[name] for name in NAMES) for fill in fills if fill["user"] in wallets)


def told(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    fills = warehouse.chain_fills(1, 10**9, BEGINS, ENDS)
    return sorted((*fill.variant[:6], fill.log_index, fill.block_number) for fill in fills)


def test_after_random_reorganisations_what_counts_is_the_final_chain(
    target: str,
    start: Callable[..., Running],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(11)
    node = start("--wallets", 6, "--fills", 1500, "--days", 1, "--until", UNTIL, "--rpc", "finality=-1")
    wallets = sorted({order["user"] for order in node.get("/polymarket/orders", {"limit": 1000}).json["orders"]})[:5]
    monkeypatch.setenv("POLYTRADES_POLYGON_RPC_URLS", node.ready["url"] + "/rpc")
    begins, changed = BEGINS, 0
    with opened(home_on(target, tmp_path, request)) as (warehouse, chosen):
        warehouse.prepare()
        settings = chosen.model_copy(update={"source": "polygon", "requests_per_second": 1000.0})
        before = final(node, wallets)
        for number in range(ROUNDS[target]):
            tasks = [Task(wallet, Window(begins, ENDS)) for wallet in wallets]
            with (
                Intake(warehouse, "polygon", tmp_path / "spool", f"run-{number}", batch_rows=200) as intake,
                Chain(settings, warehouse, f"run-{number}", heals=True) as chain,
            ):
                found = chain.fetch(intake, tasks, "Fetching", Silent())
            assert (found.failures, found.unfinished) == ({}, [])
            now = final(node, wallets)
            assert told(warehouse) == now, f"round {number}"
            changed += now != before
            before = now
            begins = (found.reached or ENDS) - timedelta(minutes=30)
            post(node, None, f"/chain/reorganise?depth={chance.choice([20, 300, 1500, 2500])}&salt={number + 2}")
            post(node, None, f"/chain/grow?blocks={chance.choice([1, 20, 60])}")
            assert int(call(node, "eth_blockNumber"), 16) > 0
    assert changed > ROUNDS[target] // 3
