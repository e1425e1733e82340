"""What an analyst relies on who never opens the runner: plain `dbt build`, no variables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner_tests.support import Home, order

MARTS = ("trades", "trade_collisions", "markets", "events", "traders")
BUILD = ("build", "--exclude-resource-type", "unit_test")


def contents(home: Home) -> dict[str, list[tuple[object, ...]]]:
    return {mart: home.rows(mart) for mart in MARTS}


def test_in_an_empty_folder_all_that_dbt_does_passes_and_plain_dbt_build_gives_no_rows_twice(home: Home) -> None:
    for _ in range(2):
        home.dbt("build")
        assert contents(home) == {mart: [] for mart in MARTS}
    home.dbt("source", "freshness")
    home.dbt("docs", "generate")


def test_a_build_by_hand_gives_the_tables_of_the_runner_and_a_second_one_changes_nothing(
    new_home: Callable[[str], Home],
) -> None:
    by_runner, by_hand = new_home("runner"), new_home("hand")
    records = [order(tx_hash=f"0x{number:064x}", taker="0x" + "e" * 40) for number in range(5)]
    by_runner.polytrades("import", by_runner.records("orders.ndjson", records))
    by_hand.land(*records)
    by_hand.query("update landing.trades set source = 'file'")
    by_hand.dbt(*BUILD)
    assert contents(by_hand) == contents(by_runner)
    by_hand.dbt(*BUILD)
    assert contents(by_hand) == contents(by_runner)


@pytest.fixture
def production(home: Home) -> Home:
    """A production schema with one fill merged and one landed."""
    home.land(order())
    home.dbt(*BUILD)
    home.land(order(tx_hash="0x" + "9" * 64))
    return home


def test_in_a_schema_of_ones_own_the_marts_are_views_over_production_and_nothing_is_merged(production: Home) -> None:
    production.dbt(*BUILD, schema="anna")
    assert production.tables("anna") == dict.fromkeys((*MARTS, "fills"), "VIEW")
    assert production.query("select tx_hash from anna.trades") == production.query("select tx_hash from main.trades")
    assert production.query("select count(*) from main.trades") == [(1,)]
    assert production.query("select count(distinct batch_id) from state.merged_batches") == [(1,)]
    # What production builds next shows at once.
    production.dbt(*BUILD)
    assert production.query("select count(*) from anna.trades") == [(2,)]


def test_a_schema_of_ones_own_without_production_says_what_is_missing(home: Home) -> None:
    said = home.dbt("build", schema="anna", check=False).stdout
    missing = f"{home.production}.trade_collisions does not exist yet. Build production first"
    assert missing in " ".join(said.split())
