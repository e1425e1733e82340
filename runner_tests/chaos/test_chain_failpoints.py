"""Promise: a night from the chain that is struck anywhere, after a reorganisation too, ends as if nothing had been."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner_tests.chain import all_logs, fill_of, post
from runner_tests.chaos.counters import Counter
from runner_tests.chaos.tally import Box
from runner_tests.chaos.test_failpoints import OF_SYNC, ONLY_CHAIN, PASSED_OFTEN, add_up, strike_in_every_way
from runner_tests.chaos.world import Start, let_through, world
from runner_tests.support import Running, home_on

SITES = [*sorted(ONLY_CHAIN), *(site for site in OF_SYNC if site not in {"wallets.changed", "rejections.kept"})]
NIGHT = ("sync", "--source", "polygon")
# All wallets are read together here, so that what is covered is recorded once, at the end.
OFTEN = PASSED_OFTEN - {"coverage.recorded", "checkpoints.moved"}
STORED = "select wallet_address, tx_hash, order_hash, shares_raw, log_index, block_number from main.fills"


def final(node: Running, wallets: list[str]) -> list[tuple[Any, ...]]:
    """The followed wallets' fills as the chain has them now."""
    fills = [fill_of(log) for log in all_logs(node, 20_000, 120_000)]
    names = ("user", "tx_hash", "order_hash", "shares", "log_index", "block_number")
    return sorted(tuple(fill[name] for name in names) for fill in fills if fill["user"] in wallets)


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_night_after_a_reorganisation_struck_at_any_failpoint_is_the_final_chain(
    target: str, start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    box, counter = Box(0.1), Counter(f"failpoints_chain_{target}")
    chosen = os.environ.get("CHAOS_SITES", "").split(",") if os.environ.get("CHAOS_SITES") else SITES
    for site in (site for site in chosen if site not in counter.done()):
        if box.is_over:
            break
        folder = tmp_path / site
        folder.mkdir()
        here = world(start, folder, 13, "--rpc", "finality=-1", "--rpc", "max-blocks=20000", days=1, fills=400)
        home = home_on(target, folder, request)
        here.settings(home)
        home.variables |= {
            "POLYTRADES_POLYGON_RPC_URLS": here.running.ready["url"] + "/rpc",
            "POLYTRADES_POLYGON_BLOCK_RANGE": "700",
        }
        let_through(home, (*NIGHT, "--wallets", here.wallets, "--since", "2026-01-29"))
        wallets = here.wallets.read_text().split()[1:]
        before = final(here.running, wallets)
        assert sorted(home.query(STORED)) == before
        post(here.running, None, "/chain/reorganise?depth=1800&salt=4")
        post(here.running, None, "/chain/grow?blocks=900")
        strike_in_every_way(home, NIGHT, site, passed_often=OFTEN)
        now = final(here.running, wallets)
        assert now != before
        assert sorted(home.query(STORED)) == now, site
        unmerged = (
            "select count(*) from landing.batches where batch_id not in (select batch_id from state.merged_batches)"
        )
        assert home.query(unmerged) == [(0,)]
        # What is covered has no hole: each wallet's windows join, up to where the chain has come.
        assert home.polytrades("gaps", "--source", "polygon").code == 0
        shutil.rmtree(folder)
        counter.passed(site)
        add_up("sync from the chain", target, len(counter.done()), len(SITES))
