"""Promise: cost follows the batch. The merge reads only the days of its batch, and the statement says so."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from runner_tests.support import Home, order


def fill(number: int, day: str) -> dict[str, object]:
    instant = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    return order(tx_hash=f"0x{number:064x}", timestamp=int(instant.timestamp()))


def sent(home: Home, model: str) -> str:
    """The statement that dbt sent for a model."""
    [file] = (home.target_path / "run").rglob(f"{model}.sql")
    return re.sub(r"\s+", " ", file.read_text())


def test_the_merge_that_ran_names_the_days_of_its_batch_and_no_others(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.land(*[fill(number, f"2025-0{number}-15") for number in range(1, 10)])
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(fill(20, "2025-03-15"), fill(21, "2025-03-16"), fill(22, "2025-07-01"))
    home.dbt("build", "--exclude", "test_type:unit")

    window = (
        "({0} >= timestamptz '2025-03-14 00:00:00+00' and {0} < timestamptz '2025-03-18 00:00:00+00' or "
        "{0} >= timestamptz '2025-06-30 00:00:00+00' and {0} < timestamptz '2025-07-03 00:00:00+00')"
    )
    merge = sent(home, "trades")
    assert merge.startswith('merge into "polytrades"."main"."trades" as DBT_INTERNAL_DEST')
    assert window.format("DBT_INTERNAL_DEST.timestamp") in merge
    # What is stored is looked up within the same days.
    assert window.format("stored.timestamp") in sent(home, "int_trades_stored")
    # The bare column stands against the literals: a function or cast around it would switch pruning off.
    assert not re.search(r"\w\([^()]*DBT_INTERNAL_DEST\.timestamp[^()]*\)\s*[<>]=?", merge)
    assert home.query("select count(*) from trades") == [(12,)]

    # Nothing pending: the merge has no row and touches no day.
    home.dbt("build", "--exclude", "test_type:unit")
    assert " on false and DBT_INTERNAL_DEST.wallet_address" in sent(home, "trades")


def test_a_timestamp_that_moves_over_midnight_is_still_the_same_fill(tmp_path: Path) -> None:
    """A reorganised block or a writer's local time: the slack finds the older copy on the neighbouring day."""
    home = Home(tmp_path)
    late = int(datetime(2026, 1, 26, 23, 59, 59, tzinfo=UTC).timestamp())
    home.land(order(timestamp=late))
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(order(timestamp=late + 2))
    home.dbt("build", "--exclude", "test_type:unit")
    assert home.query("select timestamp from trades") == [(datetime(2026, 1, 27, 0, 0, 1, tzinfo=UTC),)]


def test_the_whole_table_test_sees_what_the_window_cannot(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    home.land(order(timestamp=first))
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(order(timestamp=first + 10 * 86_400))
    failed = home.dbt("build", "--exclude", "test_type:unit", check=False)
    assert "FAIL 1 trades_has_no_duplicate_keys" in failed.stdout


def test_a_fill_that_comes_on_two_later_days_at_once_still_meets_its_stored_copy(tmp_path: Path) -> None:
    """The winner is two days away from what is stored; the record between has brought both into one fold."""
    home = Home(tmp_path)
    first = int(datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp())
    home.land(order(timestamp=first))
    home.dbt("build", "--exclude", "test_type:unit")
    home.land(order(timestamp=first + 86_400), order(timestamp=first + 2 * 86_400))
    home.dbt("build", "--exclude", "test_type:unit")
    assert home.query("select timestamp from trades") == [(datetime(2026, 1, 12, 12, tzinfo=UTC),)]
