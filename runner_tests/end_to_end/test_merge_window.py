"""Promise: cost follows the batch. The merge reads only the days of its batch, and the statement says so."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from runner_tests.support import ONLY_FILLS, Home, home_on, order


def fill(number: int, day: str) -> dict[str, object]:
    instant = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    return order(tx_hash=f"0x{number:064x}", timestamp=int(instant.timestamp()))


def sent(home: Home, model: str) -> str:
    """The statement that dbt sent for a model."""
    [file] = (home.target_path / "run").rglob(f"{model}.sql")
    return re.sub(r"\s+", " ", file.read_text())


@pytest.mark.duckdb_first("test_statements.py looks for the days of every merge")
def test_the_merge_that_ran_names_the_days_of_its_batch_and_no_others(home: Home) -> None:
    home.land(*[fill(number, f"2025-0{number}-15") for number in range(1, 10)])
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(fill(20, "2025-03-15"), fill(21, "2025-03-16"), fill(22, "2025-07-01"))
    home.dbt("build", *ONLY_FILLS)

    window = (
        "({0} >= {1} '2025-03-14 00:00:00+00' and {0} < {1} '2025-03-18 00:00:00+00' or "
        "{0} >= {1} '2025-06-30 00:00:00+00' and {0} < {1} '2025-07-03 00:00:00+00')"
    )
    merge = sent(home, "trades")
    if home.target == "duckdb":
        trades, instant = '"polytrades"."main"."trades"', "timestamptz"
    else:
        trades, instant = f"`{home.project}`.`polytrades`.`trades`", "timestamp"
    assert f"merge into {trades} as DBT_INTERNAL_DEST" in merge
    assert window.format("DBT_INTERNAL_DEST.timestamp", instant) in merge
    # What is stored is looked up within the same days.
    assert window.format("stored.timestamp", instant) in sent(home, "int_trades_stored")
    # The bare column stands against the literals: a function or cast around it would switch pruning off.
    assert not re.search(r"\w\([^()]*DBT_INTERNAL_DEST\.timestamp[^()]*\)\s*[<>]=?", merge)
    assert home.query("select count(*) from trades") == [(12,)]

    # Nothing pending: the merge has no row and touches no day.
    home.dbt("build", *ONLY_FILLS)
    assert " on false and DBT_INTERNAL_DEST.wallet_address" in sent(home, "trades")


DAY = 86_400
LATE = int(datetime(2026, 1, 26, 23, 59, 59, tzinfo=UTC).timestamp())
FIRST = int(datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp())
LONG_AGO = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
MIDNIGHT, FAR_AWAY, AT_ONCE = (f"0x{number:064x}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def moved(target: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Home, str]:
    """A home in which three stored fills have come again on other days, and what dbt said of that build."""
    home = home_on(target, tmp_path_factory.mktemp("moved"), request)
    home.land(
        order(tx_hash=MIDNIGHT, timestamp=LATE),
        order(tx_hash=FAR_AWAY, timestamp=LONG_AGO),
        order(tx_hash=AT_ONCE, timestamp=FIRST),
    )
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(
        order(tx_hash=MIDNIGHT, timestamp=LATE + 2),
        order(tx_hash=FAR_AWAY, timestamp=LONG_AGO + 10 * DAY),
        order(tx_hash=AT_ONCE, timestamp=FIRST + DAY),
        order(tx_hash=AT_ONCE, timestamp=FIRST + 2 * DAY),
    )
    return home, home.dbt("build", *ONLY_FILLS, check=False).stdout


def instants(home: Home, tx_hash: str) -> list[datetime]:
    return [row[0] for row in home.query("select timestamp from trades where tx_hash = ? order by 1", [tx_hash])]


def test_a_timestamp_that_moves_over_midnight_is_still_the_same_fill(moved: tuple[Home, str]) -> None:
    """A reorganised block or a writer's local time: the slack finds the older copy on the neighbouring day."""
    assert instants(moved[0], MIDNIGHT) == [datetime(2026, 1, 27, 0, 0, 1, tzinfo=UTC)]


@pytest.mark.duckdb_first("test_checks.py plants one there")
def test_the_whole_table_test_sees_what_the_window_cannot(moved: tuple[Home, str]) -> None:
    home, said = moved
    assert instants(home, FAR_AWAY) == [datetime(2025, 1, day, tzinfo=UTC) for day in (1, 11)]
    assert "FAIL 1 trades_has_no_duplicate_keys" in said


@pytest.mark.duckdb_first("the days are worked out by the same macro")
def test_a_fill_that_comes_on_two_later_days_at_once_still_meets_its_stored_copy(moved: tuple[Home, str]) -> None:
    """The winner is two days away from what is stored; the record between has brought both into one fold."""
    assert instants(moved[0], AT_ONCE) == [datetime(2026, 1, 12, 12, tzinfo=UTC)]
