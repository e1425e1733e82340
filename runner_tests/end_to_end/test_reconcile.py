"""Promise: what a perfect copy of an incomplete table still lacks is found by asking the source, and fetched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from runner_tests.support import UNTIL, Home, Running


@pytest.mark.duckdb_first("test_statements.py sends the comparison")
def test_fills_that_an_older_writer_left_out_are_listed_estimated_and_fetched(
    home: Home, start: Callable[..., Running], tmp_path: Path
) -> None:
    wallets, fills = tmp_path / "wallets.csv", tmp_path / "fills.ndjson"
    world = ("--wallets", 5, "--fills", 300, "--days", 90, "--until", UNTIL)
    upstream = start(*world, "--write-wallets", wallets, "--write-fills", fills)
    home.uses(upstream)
    home.polytrades("sync", "--wallets", wallets)
    keys = {(one["user"], one["tx_hash"], one["order_hash"]) for one in map(json.loads, fills.open())}
    assert home.polytrades("reconcile", "--json").json["differences"] == []

    # What the old backfills did: of each transaction one fill; and one wallet has lost a month.
    kept = "select wallet_address, tx_hash, min(order_hash) as order_hash from main.trades group by 1, 2"
    home.query(
        f"delete from main.trades where not exists (select 1 from ({kept}) as kept where "
        "kept.wallet_address = trades.wallet_address and kept.order_hash = trades.order_hash)"
    )
    poorest = min(wallets.read_text().split()[1:])
    home.query(f"delete from main.trades where wallet_address = '{poorest}' and timestamp < timestamp '2025-12-15'")
    left = {(*row,) for row in home.query("select wallet_address, tx_hash, order_hash from main.trades")}
    lost = Counter(wallet for wallet, *_ in keys - left)
    assert lost[poorest] > 0

    found = home.polytrades("reconcile", "--wallet", poorest, "--json", check=False)
    assert found.code == 4, found.stderr
    assert found.json["missing"] == lost[poorest]
    assert {each["difference"] for each in found.json["differences"]} == {"missing"}
    tx_hash, order_hash = found.json["differences"][0]["example"].split()
    assert (poorest, tx_hash, order_hash) in keys - left
    assert found.json["all_wallets"] is None, "one wallet says nothing of the others"

    some = home.polytrades("reconcile", "--sample", 3, "--json", check=False).json
    assert some["missing"] == sum(lost[wallet] for wallet in {each["wallet"] for each in some["differences"]})
    estimate = some["all_wallets"]
    assert estimate["missing"] == round(some["missing"] / 3 * 5)
    assert some["missing"] <= estimate["low"] <= estimate["missing"] <= estimate["high"]
    assert home.polytrades("reconcile", "--sample", 3, "--json", check=False).json["differences"] == some["differences"]

    planned = home.polytrades("reconcile", "--plan", "--json", check=False).json
    assert planned["missing"] == len(keys - left)
    assert planned["backfill"]["requests_at_least"] >= len(lost)
    home.polytrades(*planned["backfill"]["command"].split()[1:])
    assert {(*row,) for row in home.query("select wallet_address, tx_hash, order_hash from main.trades")} == keys
    assert home.query("select count(*) from main.trades") == [(len(keys),)]
    again = home.polytrades("reconcile", "--json").json
    assert again["differences"] == []
    assert again["source_fills"] >= len(keys)


def test_what_cannot_be_compared_is_refused(home: Home, tmp_path: Path) -> None:
    def says(*arguments: object) -> str:
        refused = home.polytrades("reconcile", *arguments, check=False)
        assert refused.code == 2
        return " ".join(refused.stderr.split())

    assert "--against api compares the order API with the chain" in says("--against", "api")
    assert "say --from" in says("--source", "polygon")
    assert "give one of the two" in says("--sample", 3, "--wallet", "0x" + "a" * 40)
    assert "--from must be before --to" in says("--from", "2026-02-01", "--to", "2026-01-01")
    assert "No wallet is followed" in says()
