"""Promise: chain and order API give the same `trades`, and after a reorganisation `trades` is the final chain."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner_tests.chain import all_logs, fill_of, post
from runner_tests.support import UNTIL, Home, Running

FACTS = ("user", "tx_hash", "order_hash", "side", "token_id", "shares", "price", "timestamp")
STORED = (
    "select wallet_address, tx_hash, order_hash, side, token_id, shares_raw, price, "
    "cast(epoch(timestamp) as bigint), log_index, block_number from fills"
)


def told(fills: list[dict[str, Any]], *more: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(fill[name] for name in (*FACTS, *more)) for fill in fills)


def test_a_night_from_the_chain_and_one_after_a_reorganisation(
    home: Home, start: Callable[..., Running], tmp_path: Path
) -> None:
    wallets, fills = tmp_path / "wallets.csv", tmp_path / "fills.ndjson"
    world = ("--seed", 10, "--wallets", 3, "--fills", 400, "--days", 1, "--until", UNTIL, "--twice-each", 20)
    node = start(
        *world, "--write-wallets", wallets, "--write-fills", fills,
        *("--rpc", "finality=-1", "--rpc", "style=alchemy", "--rpc", "max-blocks=9000", "--rpc", "times=0"),
    )  # fmt: skip
    home.uses(node)
    home.variables["POLYTRADES_POLYGON_RPC_URLS"] = node.ready["url"] + "/rpc"
    followed = wallets.read_text().split()[1:]

    def final() -> list[tuple[Any, ...]]:
        everybody = [fill_of(log) for log in all_logs(node, 9_000, 90_000)]
        return told([fill for fill in everybody if fill["user"] in followed], "log_index", "block_number")

    # The same as the order API has, though that lacks the position in some of its records.
    first = home.polytrades("sync", "--source", "polygon", "--wallets", wallets, "--since", "2026-01-28", check=False)
    stored = sorted(home.query(STORED))
    api = [json.loads(line) for line in fills.open()]
    assert Counter(row[:8] for row in stored) == Counter(told(api))
    assert stored == final()
    # An order that was filled twice in one transaction: both fills are there, under one key, and somebody is told.
    assert first.code == 4, first.stderr
    assert "no_fill_shares_its_key" in first.stdout
    keys = Counter((fill["user"], fill["tx_hash"], fill["order_hash"]) for fill in api)
    assert home.query("select count(*) from trades") == [(len(keys),)]
    assert home.query("select count(*) from trade_collisions") == [(len(api) - len(keys),)] != [(0,)]
    # Facts of the market are from Gamma, by the token.
    assert home.query("select count(*) from trades where title is null or condition_id is null") == [(0,)]
    assert home.query("select count(*) from trades where fee_raw > 0 and fee_unit in ('shares', 'usdc')")[0][0] > 0
    # What was read is known by its blocks, and tiles.
    [(blocks, read_from, read_to)] = home.query(
        "select count(distinct wallet_address), min(first_block), max(last_block) from state.coverage "
        "where status = 'complete' and contracts is not null"
    )
    assert blocks == 3
    assert read_from < stored[0][-1] < read_to
    assert 2_000 < home.query("select blocks from state.rpc_limits")[0][0] <= 9_000

    post(node, None, "/chain/reorganise?depth=1800&salt=4")
    post(node, None, "/chain/grow?blocks=40")
    second = home.polytrades("sync", "--source", "polygon", check=False)
    assert "The chain was reorganised" in second.stderr
    now = final()
    assert set(now) - set(stored)
    assert set(stored) - set(now)
    assert sorted(home.query(STORED)) == now
    gone = home.query("select count(*) from trade_collisions where is_removed")[0][0]
    assert gone == len(set(stored) - set(now))

    # What is lost afterwards is found by asking the chain, and said with what brings it back.
    alone = Counter(row[:2] for row in now)
    wallet, tx_hash = next(row[:2] for row in now if alone[row[:2]] == 1)
    home.query(f"delete from main.trades where wallet_address = '{wallet}' and tx_hash = '{tx_hash}'")
    window = ("--from", "2026-01-29", "--to", "2026-02-01")
    found = home.polytrades("reconcile", "--source", "polygon", *window, "--json", check=False)
    assert found.code == 4, found.stderr
    assert found.json["source_fills"] == len(now)
    differences = {(each["wallet"], each["difference"]) for each in found.json["differences"]}
    assert differences == {(wallet, "missing")}
    assert tx_hash in {each["example"].split()[0] for each in found.json["differences"]}

    # One of two nodes is enough, and the one that is silent is named.
    home.variables["POLYTRADES_POLYGON_RPC_URLS"] = "http://127.0.0.1:9/rpc " + node.ready["url"] + "/rpc"
    doctor = home.polytrades("doctor", check=False).stdout
    assert "1 of 2 nodes answer" in doctor
    assert "127.0.0.1:9" in doctor
