"""Promise: one row per fill, and every fill has one. The compiled project, replayed on each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runner_tests.compiled import Compiled, Record

FIRST, SECOND = "0x" + "3" * 64, "0x" + "4" * 64


def keys(project: Compiled) -> list[tuple[str, str, str]]:
    return [(row["tx_hash"][-1], row["order_hash"], row["key_quality"]) for row in project.rows("trades")]


def test_two_orders_of_one_wallet_in_one_transaction_both_survive(project: Compiled) -> None:
    project.land([Record(order_hash=FIRST), Record(order_hash=SECOND)])
    project.build()
    assert [row["order_hash"] for row in project.rows("trades")] == [FIRST, SECOND]


def test_two_fills_of_one_size_in_one_transaction_keep_their_own_words(project: Compiled) -> None:
    project.land([Record(order_hash=FIRST, title="A", token_label="Yes"), Record(order_hash=SECOND, title="B")])
    project.build()
    assert [(row["title"], row["token_label"]) for row in project.rows("trades")] == [("A", "Yes"), ("B", None)]


def test_one_order_filled_in_many_transactions_keeps_every_fill(project: Compiled) -> None:
    fills = [Record(tx_hash=f"0x{number:064x}", order_hash=FIRST) for number in range(35)]
    for start in range(0, 35, 10):
        project.land(fills[start : start + 10])
        project.build()
    assert len(project.rows("trades")) == 35


def test_one_transaction_of_two_wallets_keeps_both(project: Compiled) -> None:
    project.land([Record(), Record(wallet_address="0x" + "b" * 40)])
    project.build()
    assert len(project.rows("trades")) == 2


@pytest.mark.parametrize("on_merge", [False, True], ids=["first build", "merge"])
def test_a_fill_without_order_hash_that_comes_twice_is_one_row(either_policy: Compiled, on_merge: bool) -> None:
    project = either_policy
    fill = Record(order_hash=None, token_label=None)
    # The same fill as an older writer had it: other fields are missing, the size stands in its other form.
    older = replace(fill, shares_raw=None, title=None, log_index=None)
    if on_merge:
        project.land([Record(tx_hash="0x" + "9" * 64)])
        project.build()
    project.land([fill])
    project.build()
    project.land([older, fill])
    project.build()
    found = [key for key in keys(project) if key[0] == "1"]
    assert len(found) == 1
    assert found[0][1].startswith("missing")
    assert found[0][2] in ("stand_in", "collapsed")
    assert project.rows("trade_collisions") == []


def test_different_fills_without_order_hash_are_kept_apart_or_collapsed_as_the_policy_says(
    under: Callable[[str], Compiled],
) -> None:
    fills = [Record(order_hash=None, shares_raw=size) for size in (1_000_000, 2_000_000)]
    for policy, in_trades, beside in (("distinct", 2, 0), ("collapse", 1, 1)):
        project = under(policy)
        project.land(fills)
        project.build()
        assert len(project.rows("trades")) == in_trades
        # Collapsed is not lost: the other one stands beside.
        assert len(project.rows("trade_collisions")) == beside
        assert len(project.rows("fills")) == 2


@pytest.mark.parametrize("real_first", [False, True], ids=["stand-in first", "real hash first"])
def test_a_stand_in_goes_when_the_real_hash_comes(either_policy: Compiled, real_first: bool) -> None:
    project = either_policy
    unknown = Record(order_hash=None)
    known = Record(order_hash=FIRST, title="Its own", log_index=4)
    for record in (known, unknown) if real_first else (unknown, known):
        project.land([record])
        project.build()
    [row] = project.rows("trades")
    assert (row["order_hash"], row["key_quality"], row["log_index"]) == (FIRST, "exact", 4)
    assert row["title"] == "Its own"
    assert project.rows("trade_collisions") == []


def test_one_stand_in_goes_for_one_real_hash_and_the_others_stay(project: Compiled) -> None:
    project.land([Record(order_hash=None, shares_raw=size) for size in (1_000_000, 2_000_000, 3_000_000)])
    project.build()
    project.land([Record(order_hash=FIRST, shares_raw=2_000_000)])
    project.build()
    assert sorted((row["shares_raw"], row["key_quality"]) for row in project.rows("trades")) == [
        (1_000_000, "stand_in"),
        (2_000_000, "exact"),
        (3_000_000, "stand_in"),
    ]


def test_a_fill_under_a_taken_key_stands_beside_it_and_nothing_is_overwritten(project: Compiled) -> None:
    first = Record(shares_raw=1_000_000, log_index=3)
    other = Record(shares_raw=5_000_000, log_index=9, source="polygon")
    project.land([first])
    project.build()
    project.land([other])
    project.build()
    # The better source takes the key; what stood there before is kept.
    assert [row["shares_raw"] for row in project.rows("trades")] == [5_000_000]
    assert [row["shares_raw"] for row in project.rows("trade_collisions")] == [1_000_000]
    assert sum(row["shares_raw"] for row in project.rows("fills")) == 6_000_000


def test_a_fill_that_takes_over_its_key_is_never_nowhere(under: Callable[[str], Compiled]) -> None:
    """Two fills share a collapsed key; one gets its real hash, the other takes the key. A build cut in between."""
    project = under("collapse")
    sizes = (1_000_000, 2_000_000)
    project.land([Record(order_hash=None, shares_raw=size) for size in sizes])
    project.build()
    [winner] = [row["shares_raw"] for row in project.rows("trades")]
    project.land([Record(order_hash=FIRST, shares_raw=winner)])
    project.build(marts=["trade_collisions"])
    assert sorted(row["shares_raw"] for row in project.rows("fills")) == list(sizes)
    project.build()
    assert sorted(row["shares_raw"] for row in project.rows("fills")) == list(sizes)
    assert len(project.rows("trades")) == 2
    assert project.rows("trade_collisions") == []


def test_an_old_version_replayed_later_changes_nothing(project: Compiled) -> None:
    old = Record(traded_at=datetime(2026, 1, 26, 12, 0, 1, tzinfo=UTC), title="old")
    new = Record(traded_at=datetime(2026, 1, 26, 12, 0, 2, tzinfo=UTC), title="new")
    project.land([old])
    project.build()
    project.land([new])
    assert project.build()["trades"] == 1
    project.land([old])
    assert project.build()["trades"] == 0
    assert [row["title"] for row in project.rows("trades")] == ["new"]


def test_volume_over_all_wallets_counts_each_match_once_by_the_taker_leg(project: Compiled) -> None:
    """A match of one taker with two makers: three fills, twice the volume, once by either side of is_taker_leg."""
    exchange = "0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e"
    taker, makers = "0x" + "e" * 40, ["0x" + "c" * 40, "0x" + "d" * 40]
    project.land(
        [Record(wallet_address=taker, order_hash=FIRST, taker=exchange, side="BUY", shares_raw=3_000_000)]
        + [
            Record(wallet_address=maker, order_hash=f"0x{size:064x}", taker=taker, side="SELL", shares_raw=size)
            for maker, size in zip(makers, (1_000_000, 2_000_000), strict=True)
        ]
    )
    project.build()
    rows = project.rows("trades")
    assert sum(row["usdc_raw"] for row in rows) == 3_000_000
    assert sum(row["usdc_raw"] for row in rows if row["is_taker_leg"]) == 1_500_000
    assert sum(row["usdc_raw"] for row in rows if not row["is_taker_leg"]) == 1_500_000
    assert exchange not in {row["wallet_address"] for row in project.rows("traders")}


def test_a_duplicate_that_is_already_in_trades_holds_nothing_back(project: Compiled) -> None:
    project.land([Record()])
    project.build()
    project.query("insert into trades select * from trades")
    project.land([Record(), Record(tx_hash="0x" + "8" * 64)])
    project.build()
    assert len(project.rows("trades")) == 3
    assert len(project.query("select batch_id from state.merged_batches where mart = 'trades'")) == 2
