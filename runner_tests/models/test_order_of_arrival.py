"""Promise: the order in which records arrive, how they are cut into batches and how often they come never matters."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from runner_tests.compiled import MERGES, Compiled, Record

EXCHANGE = "0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e"

# Few values of everything, so that records meet under one key in every way that there is.
told = st.builds(
    Record,
    wallet_address=st.sampled_from(["0x" + "a" * 40, "0x" + "b" * 40]),
    tx_hash=st.sampled_from(["0x" + "1" * 64, "0x" + "2" * 64]),
    order_hash=st.sampled_from([None, "0x" + "3" * 64, "0x" + "4" * 64]),
    record_id=st.sampled_from([None, "0x" + "3" * 64, "0x" + "1" * 64, "composite"]),
    traded_at=st.sampled_from([datetime(2026, 1, 26, 23, 59, second, tzinfo=UTC) for second in (57, 58)]),
    side=st.sampled_from(["BUY", "SELL"]),
    token_id=st.sampled_from(["1", "2"]),
    price=st.sampled_from([0.5, 0.25, 1.0]),
    shares_raw=st.sampled_from([None, 1_999_999, 2_000_000]),
    usdc_raw=st.sampled_from([None, 1_000_001]),
    condition_id=st.sampled_from([None, "0x" + "c" * 64]),
    title=st.sampled_from([None, "a", "b"]),
    token_label=st.sampled_from([None, "Yes", "No"]),
    taker=st.sampled_from([None, EXCHANGE, "0x" + "d" * 40]),
    log_index=st.sampled_from([None, 5, 7]),
    block_number=st.sampled_from([None, 100]),
    upstream_version=st.sampled_from([None, 1, 2]),
    extra_fields=st.sampled_from([None, '{"x":1}']),
    source=st.sampled_from(["dome", "file", "unheard of"]),
)
# The chain leaves out nothing of a fill but its market; an amount of it may be one unit beside an API's, and a
# reorganisation may take a fill away and bring it back, elsewhere too.
logged = st.builds(
    Record,
    wallet_address=st.sampled_from(["0x" + "a" * 40, "0x" + "b" * 40]),
    tx_hash=st.sampled_from(["0x" + "1" * 64, "0x" + "2" * 64]),
    order_hash=st.sampled_from(["0x" + "3" * 64, "0x" + "4" * 64]),
    traded_at=st.sampled_from([datetime(2026, 1, 26, 23, 59, second, tzinfo=UTC) for second in (57, 58)]),
    side=st.sampled_from(["BUY", "SELL"]),
    token_id=st.sampled_from(["1", "2"]),
    usdc_raw=st.sampled_from([1_000_000, 1_000_001]),
    taker=st.sampled_from([EXCHANGE, "0x" + "d" * 40]),
    log_index=st.sampled_from([5, 7]),
    block_number=st.sampled_from([100, 101]),
    contract_address=st.just(EXCHANGE),
    upstream_version=st.sampled_from([1, 2, 3]),
    is_removed=st.booleans(),
    fee_raw=st.sampled_from([0, 7]),
    fee_unit=st.just("usdc"),
    source=st.just("polygon"),
)
records = st.one_of(told, logged)


Step = tuple[list[Record], tuple[str, ...]]
"""A batch, and the marts that are merged before the build is cut; all of them: it is not."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record], list[Step]]:
    """Records, and a history that brings each of them at least once, in any order, in any batches, with builds cut."""
    known = draw(st.lists(records, min_size=1, max_size=7))
    repeated = known + draw(st.lists(st.sampled_from(known), max_size=5))
    arrival = draw(st.permutations(repeated))
    batches: list[list[Record]] = [[]]
    for record in arrival:
        if batches[-1] and draw(st.booleans()):
            batches.append([])
        batches[-1].append(record)
    cuts = st.sampled_from([MERGES, MERGES, MERGES[:1], MERGES[2:], ()])
    return known, [(batch, draw(cuts)) for batch in batches]


common = settings(
    deadline=None,
    # Making a failing history smaller takes minutes: it is done on demand.
    phases=[*Phase] if os.environ.get("POLYTRADES_SHRINK") else [Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
each_policy = pytest.mark.parametrize("policy", ["distinct", "collapse"])


@each_policy
@settings(common, max_examples=int(os.environ.get("POLYTRADES_EXAMPLES", "20")))
@given(history=histories())
def test_any_history_of_the_same_records_ends_in_the_same_tables(
    compiled_for: Callable[[str, str], Compiled], policy: str, history: tuple[list[Record], list[Step]]
) -> None:
    replay(compiled_for("duckdb", policy), history)


@pytest.mark.chaos
@each_policy
@settings(common, max_examples=int(os.environ.get("POLYTRADES_EXAMPLES_ON_BIGQUERY", "10")))
@given(history=histories())
def test_so_does_any_history_on_bigquery(
    compiled_for: Callable[[str, str], Compiled], policy: str, history: tuple[list[Record], list[Step]]
) -> None:
    replay(compiled_for("emulator", policy), history)


def replay(project: Compiled, history: tuple[list[Record], list[Step]]) -> None:
    """All records at once, then one history of them: both must end in the same tables."""
    known, steps = history
    project.empty()
    project.land(known)
    project.build()
    at_once = project.state()
    at_once_with_markets = with_markets(project)

    project.empty()
    for batch, marts in steps:
        project.land(batch)
        written = project.build(marts)
        note(f"{len(batch)} records, wrote {written}")
    project.build()
    assert project.state() == at_once

    # The invariants of every end state.
    keys = [(row["wallet_address"], row["tx_hash"], row["order_hash"]) for row in at_once["trades"]]
    assert len(keys) == len(set(keys))
    assert all(None not in key for key in keys)
    assert {"retired"}.isdisjoint(row["key_quality"] for row in at_once["trades"] + at_once["trade_collisions"])

    # And again: nothing is written.
    project.land(known)
    assert project.build() == dict.fromkeys(MERGES, 0)
    assert project.state() == at_once

    # What the fills lacked and their market knows is added to them, and nothing else changes.
    assert with_markets(project) == at_once_with_markets


def with_markets(project: Compiled) -> dict[str, list[dict[str, object]]]:
    """The end state once the market of token 1 is known; asserts that it is one."""
    project.know_market("0x" + "c" * 64, "1", "9", "From the market")
    project.build()
    state = project.state()
    assert project.build() == dict.fromkeys(MERGES, 0)
    assert all(row["title"] and row["condition_id"] for row in state["trades"] if row["token_id"] == "1")
    assert {row["token_id"] for row in state["awaiting_metadata"]} <= {"2"}
    return state
