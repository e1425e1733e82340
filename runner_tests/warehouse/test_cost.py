"""Promise: no job without a limit, no day above its budget, and a bill that agrees with BigQuery's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runner.engine.writer import check_budget, writing
from runner.errors import HeldBack
from runner.monitor import bill
from runner.windows import utc_now
from runner_tests.night import Night, Notes

TODAY = utc_now().date()


def read_something(place: Any, run_id: str, name: str = "reads_trades", **changes: Any) -> None:
    """A job of a run that reads what has landed."""
    warehouse = place.open(**changes)
    warehouse.names_jobs("sync", run_id)
    list(warehouse.jobs.query(name, f"select * from {warehouse._landing('trades')}", {})[0])


@pytest.fixture
def landed(bigquery: Any) -> Any:
    Night(1).run(bigquery.settings, bigquery.spool, "run-1")
    return bigquery


def test_a_job_above_the_limit_is_refused_before_it_runs(landed: Any) -> None:
    landed.proxy.minimum_per_table = 20_000_000
    with pytest.raises(HeldBack, match=r"was refused before it cost anything.*POLYTRADES_MAXIMUM_BYTES_BILLED"):
        read_something(landed, "run-2", maximum_bytes_billed=10_000_000)
    refused = landed.proxy.jobs[-1]
    assert (refused.state, refused.error["reason"]) == ("DONE", "bytesBilledLimitExceeded")


def test_the_book_has_each_job_once_and_agrees_with_the_account(landed: Any) -> None:
    landed.proxy.minimum_per_table = 10_000_000
    read_something(landed, "run-2")
    warehouse = landed.open()
    for _ in range(2):  # a second look books nothing twice
        found = bill.draw_up(landed.settings, warehouse, TODAY - timedelta(days=2))
    (mine,) = [cost for cost in found.costs if cost.name == "reads_trades"]
    assert (mine.command, mine.kind, mine.jobs, mine.bytes_billed) == ("sync", "runner", 1, 10_000_000)
    ids = landed.rows(warehouse, "select count(*), count(distinct job_id) from {state}.job_costs")
    assert ids[0][0] == ids[0][1] > 10
    assert found.account is not None
    # The account has the jobs of the last moments too.
    assert found.account[TODAY] >= found.bytes_on(TODAY) >= 10_000_000
    said = bill.as_text(found, top=100)
    assert "reads_trades" in said
    assert "of 200.0 GB a day" in said


def test_the_budget_of_a_day_stops_the_next_phase_and_says_what_used_it(landed: Any) -> None:
    landed.proxy.minimum_per_table = 10_000_000
    read_something(landed, "run-2")
    settings = landed.settings.model_copy(update={"daily_bytes_budget": 5_000_000})
    with pytest.raises(HeldBack) as caught:
        check_budget(settings, landed.open(), "Nothing was fetched.")
    said = str(caught.value)
    assert "daily_bytes_budget is 5.0 MB. Nothing was fetched. Most of it: runner" in said
    assert "POLYTRADES_DAILY_BYTES_BUDGET" in said
    # A run does not begin, and leaves no lease behind.
    with (
        pytest.raises(HeldBack, match="daily_bytes_budget"),
        writing(settings, landed.open(), "sync", "run-3", Notes()),
    ):
        raise AssertionError("it began")
    holder = landed.open().lease()
    assert holder.run_id is None
    # Raised, it goes on.
    with writing(landed.settings, landed.open(), "sync", "run-4", Notes()):
        pass


def test_tomorrow_the_budget_is_whole_again(landed: Any) -> None:
    landed.proxy.minimum_per_table = 10_000_000
    read_something(landed, "run-2")
    warehouse = landed.open()
    warehouse.collect_costs()
    assert warehouse.bytes_billed_on(TODAY) >= 10_000_000
    assert warehouse.bytes_billed_on(TODAY + timedelta(days=1)) == 0


def test_without_the_right_to_read_the_account_the_bill_is_drawn_up_from_our_own_jobs(landed: Any) -> None:
    landed.proxy.fault("accessDenied", statement="INFORMATION_SCHEMA.JOBS", times=None)
    found = bill.draw_up(landed.settings, landed.open(), TODAY)
    assert found.account is None
    assert "polytrades doctor" in bill.as_text(found, top=3)


def test_duckdb_bills_nothing(duckdb: Any) -> None:
    found = bill.draw_up(duckdb.settings, duckdb.open(), TODAY)
    assert (found.costs, found.account) == ([], None)
    assert "bills nothing" in bill.as_text(found, top=3)
