"""What an analyst relies on who never opens the runner: plain `dbt build`, no variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner_tests.support import Home, order

MARTS = ("trades", "trade_collisions", "markets", "events", "traders")


def contents(home: Home) -> dict[str, list[tuple[object, ...]]]:
    return {mart: home.query(f"select * from {mart} order by all") for mart in MARTS}


def test_in_an_empty_folder_plain_dbt_build_passes_with_no_rows_twice(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for _ in range(2):
        home.dbt("build")
        assert {mart: len(rows) for mart, rows in contents(home).items()} == dict.fromkeys(MARTS, 0)


def test_a_build_by_hand_gives_the_tables_of_the_runner_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    by_runner, by_hand = Home(tmp_path / "runner"), Home(tmp_path / "hand")
    records = [order(tx_hash=f"0x{number:064x}", taker="0x" + "e" * 40) for number in range(5)]
    for home in (by_runner, by_hand):
        home.folder.mkdir()
    by_runner.polytrades("import", by_runner.records("orders.ndjson", records))
    by_hand.land(*records)
    by_hand.query("update landing.trades set source = 'file'")
    by_hand.dbt("build")
    assert contents(by_hand) == contents(by_runner)
    by_hand.dbt("build")
    assert contents(by_hand) == contents(by_runner)


@pytest.fixture
def production(tmp_path: Path) -> Home:
    """A production schema with one fill merged and one landed."""
    home = Home(tmp_path)
    home.land(order())
    home.dbt("build", "--exclude-resource-type", "unit_test")
    home.land(order(tx_hash="0x" + "9" * 64))
    return home


def test_in_a_schema_of_ones_own_the_marts_are_views_over_production_and_nothing_is_merged(production: Home) -> None:
    production.dbt("build", "--exclude-resource-type", "unit_test", schema="anna")
    kinds = production.query(
        "select table_name, table_type from information_schema.tables where table_schema = 'anna' order by 1"
    )
    assert kinds == [(name, "VIEW") for name in sorted((*MARTS, "fills"))]
    assert production.query("select tx_hash from anna.trades") == production.query("select tx_hash from main.trades")
    assert production.query("select count(*) from main.trades") == [(1,)]
    assert production.query("select count(distinct batch_id) from state.merged_batches") == [(1,)]
    # What production builds next shows at once.
    production.dbt("build", "--exclude-resource-type", "unit_test")
    assert production.query("select count(*) from anna.trades") == [(2,)]


def test_a_schema_of_ones_own_without_production_says_what_is_missing(tmp_path: Path) -> None:
    said = Home(tmp_path).dbt("build", schema="anna", check=False).stdout
    assert "main.trade_collisions does not exist yet. Build production first" in " ".join(said.split())
