"""What an analyst relies on who never opens the runner: plain `dbt build`, no variables."""

from __future__ import annotations

import json

import pytest

from runner_tests.support import ONLY_FILLS, Home, home_on, order

MARTS = ("trades", "trade_collisions", "markets", "events", "traders", "awaiting_metadata")
BUILD = ("build", "--exclude-resource-type", "unit_test")


def contents(home: Home) -> dict[str, list[tuple[object, ...]]]:
    return {mart: home.rows(mart) for mart in MARTS}


@pytest.mark.duckdb_first("a build by hand is tried there below")
def test_in_an_empty_folder_plain_dbt_build_passes_with_no_rows_twice(home: Home) -> None:
    for _ in range(2):
        home.dbt("build")
        assert contents(home) == {mart: [] for mart in MARTS}


RECORDS = [order(tx_hash=f"0x{number:064x}", taker="0x" + "e" * 40) for number in range(5)]


@pytest.fixture(scope="module")
def by_hand(target: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Home:
    """A production schema that nobody but an analyst has built."""
    home = home_on(target, tmp_path_factory.mktemp("by_hand"), request)
    home.land(*RECORDS)
    home.query("update landing.trades set source = 'file'")
    home.dbt(*BUILD)
    return home


def test_a_build_by_hand_gives_the_tables_of_the_runner_and_a_second_one_changes_nothing(
    by_hand: Home, home: Home
) -> None:
    home.polytrades("import", home.records("orders.ndjson", RECORDS))
    built = contents(by_hand)
    assert built == contents(home)
    by_hand.dbt(*BUILD)
    assert contents(by_hand) == built


@pytest.mark.duckdb_first("the statements of both are sent by test_statements.py")
def test_fresh_sources_and_the_documentation_pass(by_hand: Home) -> None:
    assert "PASS freshness of landing.batches" in by_hand.dbt("source", "freshness").stdout
    by_hand.dbt("docs", "generate")
    catalog = json.loads((by_hand.target_path / "catalog.json").read_text())
    assert {f"model.polytrades.{mart}" for mart in MARTS} <= catalog["nodes"].keys()


@pytest.mark.duckdb_first("the views are the same SQL")
def test_in_a_schema_of_ones_own_the_marts_are_views_over_production_and_nothing_is_merged(by_hand: Home) -> None:
    by_hand.land(order(tx_hash="0x" + "9" * 64))
    by_hand.dbt(*BUILD, schema="anna")
    assert by_hand.tables("anna") == dict.fromkeys((*MARTS, "fills"), "VIEW")
    assert by_hand.rows("anna.trades") == by_hand.rows("main.trades")
    assert by_hand.query("select count(*) from main.trades") == [(5,)]
    assert by_hand.query("select count(distinct batch_id) from state.merged_batches") == [(1,)]
    # What production builds next shows at once.
    by_hand.dbt("build", *ONLY_FILLS)
    assert by_hand.query("select count(*) from anna.trades") == [(6,)]


def test_a_schema_of_ones_own_without_production_says_what_is_missing(home: Home) -> None:
    said = home.dbt("build", schema="anna", check=False).stdout
    missing = f"{home.production}.trade_collisions does not exist yet. Build production first"
    assert missing in " ".join(said.split())
