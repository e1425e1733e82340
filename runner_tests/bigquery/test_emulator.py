"""The emulator is there and does what the other tests rely on."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import Conflict
from google.cloud import bigquery

from runner_tests.bigquery.running import Emulator


def test_it_answers_google_s_client(emulator: Emulator) -> None:
    rows = emulator.client(emulator.new_project()).query_and_wait("select 1 as one, timestamp '2026-01-02' as at")
    assert [(row.one, row.at.isoformat()) for row in rows] == [(1, "2026-01-02T00:00:00+00:00")]


def test_a_load_job_lands_its_rows_once(emulator: Emulator) -> None:
    client = emulator.client(emulator.new_project())
    client.create_dataset("landing")
    table = f"{client.project}.landing.fills"
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("id", "INT64"), bigquery.SchemaField("name", "STRING")],
        write_disposition="WRITE_APPEND",
        labels={"polytrades": "test"},
    )
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    client.load_table_from_json(rows, table, job_config=config, job_id="batch-1").result()
    with pytest.raises(Conflict):
        client.load_table_from_json(rows, table, job_config=config, job_id="batch-1", num_retries=0)
    assert [tuple(row) for row in client.query_and_wait(f"select * from `{table}` order by id")] == [(1, "a"), (2, "b")]


def test_each_project_is_a_world_of_its_own(emulator: Emulator) -> None:
    one, other = (emulator.client(emulator.new_project()) for _ in range(2))
    one.create_dataset("landing")
    assert [dataset.dataset_id for dataset in other.list_datasets() if dataset.dataset_id == "landing"] == []


def test_a_merge_may_stand_in_a_transaction(emulator: Emulator) -> None:
    client = emulator.client(emulator.new_project())
    client.create_dataset("d")
    client.query_and_wait("create table d.t as select 1 as k, 'a' as v")
    client.query_and_wait(
        "begin transaction; merge into d.t as t using (select 1 as k, 'b' as v union all select 2, 'c') as s"
        " on t.k = s.k when matched then update set v = s.v when not matched then insert (k, v) values (s.k, s.v);"
        " delete from d.t where k = 2; commit transaction"
    )
    assert [tuple(row) for row in client.query_and_wait("select k, v from d.t")] == [(1, "b")]
