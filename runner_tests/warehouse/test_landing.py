"""Promise: rows land once, and a checkpoint moves only with them, whatever the way to the warehouse does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.errors import Failed, HeldBack, PolytradesError
from runner.landing.batch import BatchBuilder
from runner.warehouse.protocol import Batch
from runner_tests.night import Night


def run(place: Any, night: Night, run_id: str = "run-1") -> None:
    night.run(place.settings, place.spool, run_id)


def stands(place: Any, night: Night) -> dict[str, Any]:
    return night.what_stands(place.open())


def test_a_night_lands_once_however_often_it_is_run(on: Any) -> None:
    night = Night(1)
    for run_id in ("run-1", "run-2"):
        run(on, night, run_id)
        assert stands(on, night) == night.expected


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after", "label": "model=load_batch"},
        {"kind": "503", "label": "model=load_batch"},
        {"kind": "backendError", "label": "model=load_batch"},
        {"kind": "job_error", "label": "model=load_batch", "reason": "internalError"},
        {"kind": "slow", "label": "model=load_batch", "seconds": 1.0},
        {"kind": "drop_after", "label": "model=list_batch"},
        {"kind": "rateLimitExceeded", "label": "model=move_checkpoints"},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault['label'].partition('=')[2]}",
)
def test_what_passes_is_waited_out_without_a_second_run(bigquery: Any, fault: dict[str, Any]) -> None:
    struck = bigquery.proxy.fault(**fault)
    night = Night(1)
    run(bigquery, night)
    assert struck.hits == 1
    assert stands(bigquery, night) == night.expected


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (
            {"kind": "job_error", "label": "model=load_batch", "times": None},
            Failed,
            "in 3 attempts: An injected error.",
        ),
        ({"kind": "quotaExceeded", "label": "model=load_batch", "times": None}, HeldBack, "met a quota of the project"),
        (
            {"kind": "accessDenied", "label": "model=load_batch", "times": None},
            PolytradesError,
            "roles/bigquery.jobUser",
        ),
        ({"kind": "drop_before", "label": "model=list_batch", "times": None}, PolytradesError, "list_batch"),
    ],
    ids=lambda value: f"{value['kind']}-{value['label'].partition('=')[2]}" if isinstance(value, dict) else "",
)
def test_what_does_not_pass_ends_the_run_with_a_sentence_and_the_next_run_goes_on(
    bigquery: Any, fault: dict[str, Any], error: type[PolytradesError], said: str
) -> None:
    bigquery.settings = bigquery.settings.model_copy(update={"bigquery_patience_seconds": 3})
    bigquery.proxy.fault(**fault)
    night = Night(1)
    with pytest.raises(error) as caught:
        run(bigquery, night)
    assert said in str(caught.value)
    assert "checkpoints" in stands(bigquery, night)
    assert not stands(bigquery, night)["checkpoints"], "no checkpoint without its rows"
    bigquery.proxy.clear_faults()
    run(bigquery, night, "run-2")
    assert stands(bigquery, night) == night.expected


def test_a_load_whose_manifest_entry_was_never_written_is_found_again_and_not_repeated(bigquery: Any) -> None:
    """The run died between the rows and the manifest: the same content is the same job, and its rows are there."""
    bigquery.settings = bigquery.settings.model_copy(update={"bigquery_patience_seconds": 3})
    bigquery.proxy.fault("job_error", label="model=list_batch", times=None)
    night = Night(1)
    with pytest.raises(Failed):
        run(bigquery, night)
    bigquery.proxy.clear_faults()
    assert stands(bigquery, night)["listed"] == [], "rows that no manifest lists are never read"
    run(bigquery, night, "run-2")
    assert stands(bigquery, night) == night.expected
    assert bigquery.rows(bigquery.open(), "select count(*) from {landing}.trades") == [(3,)]


def test_a_load_whose_rows_were_deleted_is_made_again_under_a_name_that_is_not_burnt(bigquery: Any) -> None:
    night = Night(1)
    run(bigquery, night)
    warehouse = bigquery.open()
    for table in ("trades", "batches"):
        bigquery.rows(warehouse, f"delete from {{landing}}.{table} where true")
    bigquery.proxy.forget()
    run(bigquery, night, "run-2")
    assert stands(bigquery, night) == night.expected
    loads = [job.id for job in bigquery.proxy.jobs if job.type == "LOAD"]
    assert sorted(name.rpartition("-")[2] for name in loads) == ["0", "0", "1", "1"]


@pytest.fixture
def batch(on: Any) -> Batch:
    return made_batch(on.spool)


def made_batch(spool: Path) -> Batch:
    builder = BatchBuilder("events", "gamma", spool)
    builder.add(("an-event", "{}", datetime(2026, 1, 1, tzinfo=UTC)), b"1")
    made = builder.build(datetime.now(UTC).replace(microsecond=0))
    assert made is not None
    return made


def test_a_run_that_has_lost_its_lease_lists_nothing(on: Any, batch: Batch) -> None:
    warehouse = on.open()
    warehouse.acquire_lease("run-1", "a test", 10)
    other = on.open()
    other.free_lease("run-1")
    other.acquire_lease("run-2", "another test", 10)
    with pytest.raises(HeldBack, match="lease of this run has passed to another one"):
        warehouse.land(batch, [], [], "run-1", batch.landed_at)
    assert on.rows(other, "select count(*) from {landing}.batches") == [(0,)]
    assert other.land(batch, [], [], "run-2", batch.landed_at)
    assert on.rows(other, "select count(*) from {landing}.events") == [(1,)]


def test_loads_stop_before_the_quota_of_the_day_does(bigquery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.warehouse.jobs._LOADS_A_DAY", 2)
    run(bigquery, Night(1))  # two loads
    with pytest.raises(HeldBack, match=r"2 load jobs went into \S+trades in the last 24 hours; BigQuery takes 2 a day"):
        run(bigquery, Night(2), "run-2")
    assert not stands(bigquery, Night(2))["checkpoints"]


def test_days_are_emptied_once_everything_in_them_is_merged_and_not_before(on: Any) -> None:
    warehouse = on.open()
    today = datetime.now(UTC).date()
    long_ago = today - timedelta(days=40)
    for number in (1, 2):
        run(on, Night(number), f"run-{number}")
    # DML that BigQuery would refuse on a partition column; the emulator and DuckDB take it.
    for table in ("trades", "batches"):
        on.rows(warehouse, f"update {{landing}}.{table} set landed_on = date '{long_ago}' where true")
    if on.proxy:
        on.proxy.forget()
    before = today - timedelta(days=30)
    assert warehouse.empty_merged_days(before) == {}
    entries = "select batch_id, '{mart}', null, 'test' from {{landing}}.batches"
    for mart in ("trades", "trade_collisions", "traders", "awaiting_metadata"):
        assert warehouse.empty_merged_days(before) == {}, "a mart lacks it"
        on.rows(warehouse, "insert into {state}.merged_batches " + entries.replace("{mart}", mart).format())
    assert warehouse.empty_merged_days(before) == {"trades": 1}
    assert on.rows(warehouse, "select count(*) from {landing}.trades") == [(0,)]
    assert warehouse.empty_merged_days(before) == {}


def test_datasets_that_exist_need_no_right_to_create_datasets(bigquery: Any) -> None:
    """`create schema if not exists` asks for that right even where there is nothing to create."""
    refused = bigquery.proxy.fault("accessDenied", statement="create schema", times=None)
    night = Night(1)
    bigquery.open().prepare()
    run(bigquery, night)
    assert stands(bigquery, night) == night.expected
    assert refused.hits == 0


def test_a_page_that_does_not_come_ends_with_a_sentence(bigquery: Any) -> None:
    """Pages after the first are requests of their own, made while rows are read."""
    warehouse = bigquery.open(bigquery_patience_seconds=3)
    bigquery.proxy.fault("503", method="GET", path="pageToken=", times=None)
    with pytest.raises(Failed, match="The answer to the statement"):
        warehouse._query("test", "select n from unnest(generate_array(1, 30000)) as n")


def test_every_job_has_labels_and_a_limit(bigquery: Any) -> None:
    run(bigquery, Night(1))
    assert bigquery.proxy.jobs
    for job in bigquery.proxy.jobs:
        assert job.labels["app"] == "polytrades", job
        assert job.labels["model"] and job.labels["run_id"] and job.labels["command"], job
        assert job.type == "LOAD" or int(job.maximum_bytes_billed) == bigquery.settings.maximum_bytes_billed, job


def test_a_batch_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder belongs")
    builder = BatchBuilder("trades", "dome", tmp_path / "spool" / "here")
    builder.add((None,) * 24, b"x")
    with pytest.raises(Failed, match=r"The batch file .*spool/here/trades-\w+\.parquet could not be written"):
        builder.build(datetime(2026, 1, 1, tzinfo=UTC))
