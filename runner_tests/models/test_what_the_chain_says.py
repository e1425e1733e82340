"""Promise: one fill from the chain and from an API is one row; what the chain takes back leaves, and may come back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from runner_tests.compiled import Compiled, Record

EXCHANGE = "0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e"
TOLD = Record(title="A market", token_label="Yes", condition_id="0x" + "c" * 64, taker=EXCHANGE)
LOGGED = Record(
    source="polygon", usdc_raw=1_000_001, log_index=7, block_number=100, contract_address=EXCHANGE, taker=EXCHANGE,
    upstream_version=500, is_removed=False, fee_raw=40, fee_unit="shares",
)  # fmt: skip


def history(project: Compiled, *records: Record) -> dict[str, list[dict[str, Any]]]:
    """The tables after these records, each in a build of its own."""
    project.empty()
    for record in records:
        project.land([record])
        project.build()
    return {table: project.rows(table) for table in ("trades", "trade_collisions", "fills")}


def test_words_are_the_apis_and_numbers_the_chains_whatever_came_first(project: Compiled) -> None:
    placed = replace(TOLD, log_index=7, block_number=100)  # 0.5 times 2,000,000 is one unit less than the chain's
    for told in (TOLD, placed):
        both = [history(project, *order) for order in permutations([told, LOGGED])]
        assert both[0] == both[1]
        [row] = both[0]["fills"]
        assert (row["title"], row["token_label"]) == ("A market", "Yes")
        assert (row["usdc_raw"], row["log_index"], row["fee_raw"], row["source"]) == (1_000_001, 7, 40, "polygon")
        assert both[0]["trade_collisions"] == []
    # Two units are no rounding: those are two fills, and somebody is told.
    found = history(project, TOLD, replace(LOGGED, usdc_raw=1_000_002))
    assert sorted(row["usdc_raw"] for row in found["fills"]) == [1_000_000, 1_000_002]
    assert [row["is_removed"] for row in found["trade_collisions"]] == [False]


def test_an_order_that_is_filled_twice_in_one_transaction_is_two_fills(project: Compiled) -> None:
    other = replace(LOGGED, log_index=9)
    found = history(project, LOGGED, TOLD, other)
    assert [row["log_index"] for row in found["fills"]] == [7, 9]
    assert len(found["trades"]) == len(found["trade_collisions"]) == 1
    assert sum(row["usdc_raw"] for row in found["fills"]) == 2_000_002


@pytest.mark.duckdb_only("test_chain.py does one of these on each target, and they are many")
def test_what_the_chain_takes_back_leaves_and_comes_back(project: Compiled) -> None:
    gone = replace(LOGGED, is_removed=True, upstream_version=600)
    moved = replace(LOGGED, log_index=3, block_number=102, upstream_version=600)
    back = replace(LOGGED, block_number=104, upstream_version=700)
    for records, left in (
        ([LOGGED, gone], []),
        ([LOGGED, TOLD, gone], []),  # with all that an API says of it
        ([gone, LOGGED], []),  # an old record that is sent again changes nothing
        ([LOGGED, gone, TOLD], []),
        ([LOGGED, moved, gone, LOGGED], [(3, 102)]),
        ([LOGGED, gone, moved, TOLD], [(3, 102)]),
        ([LOGGED, gone, back], [(7, 104)]),
        ([back, gone, LOGGED], [(7, 104)]),
    ):
        found = history(project, *records)
        assert [(row["log_index"], row["block_number"]) for row in found["fills"]] == left, records
        assert found["trades"] == [] or len(found["trades"]) == len(left)
        assert len([row for row in found["trade_collisions"] if row["is_removed"]]) == (back not in records)
        assert project.rows("awaiting_metadata") == [] or left
