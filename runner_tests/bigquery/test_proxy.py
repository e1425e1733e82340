"""The proxy behaves as BigQuery does, seen through Google's own client."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    GoogleAPICallError,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
)
from google.cloud import bigquery
from requests.exceptions import ConnectionError as Dropped

from runner_tests.bigquery.proxy import Proxy
from runner_tests.bigquery.running import Emulator

DAY = 10 * (8 + 8 + 2 + 4)
"""Bytes of one day of `d.t`: ten rows of a timestamp, an integer and a text of four characters."""

TABLE = """
create table d.t (ts timestamp, k int64, v string) partition by timestamp_trunc(ts, day) as
select timestamp_add(timestamp_add(timestamp '2026-01-01', interval day day), interval k minute), k, 'text'
from unnest(generate_array(0, 2)) as day, unnest(generate_array(0, 9)) as k
"""
WINDOW = "a.ts >= timestamp '2026-01-02 00:00:00+00' and a.ts < timestamp '2026-01-03 00:00:00+00' and"
MERGE = """
merge into d.t as a using (select ts, k, v from d.t where ts < timestamp '2026-01-02') as b on {} a.ts = b.ts
when matched then update set v = b.v when not matched then insert (ts, k, v) values (b.ts, b.k, b.v)
"""


@pytest.fixture
def client(proxy: Proxy, emulator: Emulator) -> bigquery.Client:
    client = proxy.client(emulator.new_project())
    client.create_dataset("d")
    return client


@pytest.fixture
def filled(client: bigquery.Client) -> bigquery.Client:
    client.query(TABLE).result()
    return client


def load(client: bigquery.Client, job_id: str, **more: Any) -> bigquery.LoadJob:
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("k", "INT64")], write_disposition="WRITE_APPEND", labels={"step": "land"}
    )
    return client.load_table_from_json([{"k": 1}], "d.landed", job_config=config, job_id=job_id, **more)


def landed(client: bigquery.Client) -> Any:
    return next(iter(client.query("select count(*) as n from d.landed").result())).n


def dry(client: bigquery.Client, sql: str) -> Any:
    return client.query(sql, job_config=bigquery.QueryJobConfig(dry_run=True)).total_bytes_processed


def test_dry_runs_and_jobs_say_the_bytes_of_the_rule(proxy: Proxy, filled: bigquery.Client) -> None:
    assert dry(filled, "select * from d.t") == 3 * DAY
    assert dry(filled, f"select a.k from d.t as a where {WINDOW} true") == 160
    assert dry(filled, "select * from d.t where date(ts) = '2026-01-02'") == 3 * DAY
    assert dry(filled, MERGE.format(WINDOW)) == 2 * DAY
    assert dry(filled, MERGE.format("")) == 3 * DAY
    job = filled.query("select v from d.t")
    rows = job.result()
    assert (len(list(rows)), job.total_bytes_processed, job.total_bytes_billed) == (30, 180, 180)
    assert filled.get_job(job.job_id).total_bytes_billed == 180
    assert {listed.job_id: listed.total_bytes_processed for listed in filled.list_jobs()}[job.job_id] == 180
    assert filled.query_and_wait("select v from d.t").total_bytes_processed == 180
    assert [run.bytes for run in proxy.dry_runs] == [3 * DAY, 160, 3 * DAY, 2 * DAY, 3 * DAY]
    assert load(filled, "l").result().output_bytes is not None and proxy.jobs[-1].bytes == 0


def test_a_write_changes_the_price_of_the_next_read(filled: bigquery.Client) -> None:
    assert dry(filled, "select k from d.t") == 240
    filled.query("insert into d.t (ts, k) values (timestamp '2026-01-09', null)").result()
    assert (dry(filled, "select k from d.t"), dry(filled, "select ts from d.t")) == (240, 248)
    filled.query("create or replace view d.w as select ts, k * 2 as k from d.t").result()
    assert dry(filled, "select k from d.w where ts >= timestamp '2026-01-09'") == 8
    load(filled, "l").result()
    assert dry(filled, "select * from d.landed") == 8
    load(filled, "m").result()
    assert dry(filled, "select * from d.landed") == 16
    filled.delete_table("d.landed")
    with pytest.raises(GoogleAPICallError):
        dry(filled, "select * from d.landed")


def test_a_parameter_prunes(filled: bigquery.Client) -> None:
    since = bigquery.ScalarQueryParameter("since", "TIMESTAMP", "2026-01-03T00:00:00+00:00")
    config = bigquery.QueryJobConfig(dry_run=True, query_parameters=[since])
    assert filled.query("select k from d.t where ts >= @since", job_config=config).total_bytes_processed == 160


def test_a_query_above_its_maximum_is_not_executed(proxy: Proxy, filled: bigquery.Client) -> None:
    def limited(maximum: int) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(maximum_bytes_billed=maximum, labels={"step": "limited"})

    message = f"Query exceeded limit for bytes billed: 100. {3 * DAY} or higher required."
    job = filled.query("delete from d.t where true", job_config=limited(100), job_id="too-dear", job_retry=None)
    with pytest.raises(GoogleAPICallError, match=message):
        job.result(retry=None, job_retry=None)
    assert (job.state, job.error_result) == ("DONE", {"reason": "bytesBilledLimitExceeded", "message": message})
    assert filled.get_job("too-dear").error_result == job.error_result
    assert "too-dear" in {listed.job_id for listed in filled.list_jobs()}
    with pytest.raises(Conflict):
        filled.query("select 1", job_id="too-dear", retry=None, job_retry=None)
    with pytest.raises(BadRequest, match=message):
        filled.query_and_wait("select * from d.t", job_config=limited(100), retry=None, job_retry=None)
    assert filled.query("delete from d.t where true", job_config=limited(3 * DAY)).result().num_dml_affected_rows == 30
    assert [job.maximum_bytes_billed for job in proxy.jobs if job.labels.get("step") == "limited"] == [100, 100, 660]


def test_each_table_may_have_a_minimum(proxy: Proxy, filled: bigquery.Client) -> None:
    proxy.minimum_per_table = 10_000_000
    job = filled.query("select k from d.t")
    job.result()
    assert (job.total_bytes_processed, job.total_bytes_billed) == (240, 10_000_000)


def test_information_schema_tells_jobs_and_partitions(filled: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(labels={"step": "measured", "quote": "x"})
    filled.query("select k from d.t -- it's", job_config=config).result()
    with pytest.raises(GoogleAPICallError):
        filled.query("select nothing from d.t", job_config=config).result(job_retry=None)
    load(filled, "l").result()
    rows = filled.query("""
        select job_type, statement_type, total_bytes_billed, state, error_result.reason, creation_time <= end_time
        from `region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT
        where exists (select 1 from unnest(labels) as label where label.key = 'step')
            and creation_time > timestamp '2020-01-01'
        order by creation_time""").result()
    assert [tuple(row) for row in rows] == [
        ("QUERY", "SELECT", 240, "DONE", None, True),
        ("QUERY", None, 0, "DONE", "invalidQuery", True),
        ("LOAD", None, 0, "DONE", None, True),
    ]
    partitions = filled.query("""
        select p.partition_id, p.total_rows, p.total_logical_bytes from `d`.INFORMATION_SCHEMA.PARTITIONS as p
        where table_name = 't' and partition_id >= '20260102' order by 1""").result()
    assert [tuple(row) for row in partitions] == [("20260102", 10, DAY), ("20260103", 10, DAY)]
    tables = filled.query("select table_name from d.INFORMATION_SCHEMA.TABLES order by 1").result()
    assert [row.table_name for row in tables] == ["landed", "t"]


def test_a_script_costs_what_its_statements_cost(proxy: Proxy, filled: bigquery.Client) -> None:
    script = filled.query(
        "begin transaction; delete from d.t where ts < timestamp '2026-01-02';"
        " insert into d.t (k) select k from d.t; commit transaction",
        job_config=bigquery.QueryJobConfig(labels={"step": "script"}),
    )
    script.result()
    assert script.total_bytes_billed == DAY + 240
    children = {job.statement_type: job.total_bytes_billed for job in filled.list_jobs(parent_job=script.job_id)}
    assert (children["DELETE"], children["INSERT"]) == (DAY, 240)
    rows = filled.query("""
        select statement_type, total_bytes_billed from `region-us`.INFORMATION_SCHEMA.JOBS as jobs
        where exists (select 1 from unnest(jobs.labels) as label where label.value = 'script')
            and total_bytes_billed > 0""").result()
    assert sorted(map(tuple, rows)) == [("DELETE", DAY), ("INSERT", 240), ("SCRIPT", DAY + 240)]
    assert not any(job.unparsed for job in proxy.jobs)


@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        ("429", TooManyRequests, "rateLimitExceeded"),
        ("500", InternalServerError, "backendError"),
        ("503", ServiceUnavailable, "backendError"),
        ("rateLimitExceeded", Forbidden, "rateLimitExceeded"),
        ("quotaExceeded", Forbidden, "quotaExceeded"),
        ("accessDenied", Forbidden, "accessDenied"),
    ],
)
def test_a_refused_request_never_reaches_the_emulator(
    proxy: Proxy, client: bigquery.Client, kind: str, error: type[GoogleAPICallError], reason: str
) -> None:
    fault = proxy.fault(kind, method="POST", path=r"/jobs\b")
    with pytest.raises(error) as raised:
        client.query("create table d.n as select 1 as x", retry=None, job_retry=None)
    assert raised.value.errors[0]["reason"] == reason
    assert (fault.hits, proxy.jobs, proxy.requests[-1].status) == (1, [], error.code)
    client.query("create table d.n as select 1 as x").result()


def test_google_s_client_gets_over_what_may_be_tried_again(proxy: Proxy, client: bigquery.Client) -> None:
    proxy.fault("503", statement="select 1")
    assert next(iter(client.query("select 1 as one").result())).one == 1
    assert [request.fault for request in proxy.requests if request.path.split("?")[0].endswith("/jobs")] == [
        "503",
        None,
    ]


def test_a_dropped_request_was_not_seen_and_a_dropped_answer_was(proxy: Proxy, client: bigquery.Client) -> None:
    proxy.fault("drop_before", label="step=land")
    with pytest.raises(Dropped):
        load(client, "before", num_retries=0)
    assert proxy.jobs == []
    proxy.clear_faults()
    proxy.fault("drop_after", label="step")
    with pytest.raises(Dropped):
        load(client, "after", num_retries=0)
    with pytest.raises(Conflict):
        load(client, "after", num_retries=0)
    assert client.get_job("after").result().output_rows == 1
    assert landed(client) == 1
    assert [job.id for job in proxy.jobs if job.type == "LOAD"] == ["after"]


def test_the_same_request_id_is_answered_for_the_job_there_is(proxy: Proxy, client: bigquery.Client) -> None:
    client.query("create table d.n (x int64)").result()
    fault = proxy.fault("drop_after", path=r"/queries\?")
    client.query_and_wait("insert into d.n (x) values (1)")
    assert fault.hits == 1
    assert [row.n for row in client.query_and_wait("select count(*) as n from d.n")] == [1]


@pytest.mark.parametrize(("kind", "reason"), [("job_error", "internalError"), ("backendError", "backendError")])
def test_a_job_may_be_accepted_and_fail(proxy: Proxy, client: bigquery.Client, kind: str, reason: str) -> None:
    proxy.fault(kind, nth=1, times=2, reason=reason, message="Not today.")
    job = load(client, "l")
    assert (job.state, job.error_result) == ("DONE", {"reason": reason, "message": "Not today."})
    with pytest.raises(InternalServerError, match="Not today"):
        job.result()
    query = client.query("select 1", job_retry=None)
    with pytest.raises(GoogleAPICallError, match="Not today"):
        query.result(job_retry=None)
    assert [(job.state, job.error and job.error["reason"], job.bytes) for job in proxy.jobs] == [
        ("DONE", reason, 0)
    ] * 2


def test_google_s_client_starts_a_job_again_that_failed_for_a_while(proxy: Proxy, client: bigquery.Client) -> None:
    proxy.fault("backendError", statement="select 1")
    assert [row.one for row in client.query("select 1 as one").result()] == [1]
    proxy.fault("backendError", statement="select 2")
    assert [row.two for row in client.query_and_wait("select 2 as two")] == [2]
    assert [job.state for job in proxy.jobs] == ["DONE"] * 4


def test_a_slow_job_is_seen_running(proxy: Proxy, client: bigquery.Client) -> None:
    proxy.fault("slow", label="step", seconds=1.5)
    job = load(client, "slow")
    assert job.state == "RUNNING"
    assert client.get_job("slow").state == proxy.jobs[-1].state == "RUNNING"
    assert [listed.job_id for listed in client.list_jobs(state_filter="running")] == ["slow"]
    assert job.result().output_rows == 1
    assert [listed.job_id for listed in client.list_jobs(state_filter="running")] == []
    proxy.fault("slow", statement="select 1", seconds=1)
    started = time.monotonic()
    assert [row.one for row in client.query("select 1 as one").result()] == [1]
    assert time.monotonic() - started >= 1


def test_uploads_pass_in_one_piece_and_in_many(proxy: Proxy, client: bigquery.Client) -> None:
    rows = [{"k": k, "v": "x" * 1000} for k in range(600)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("k", "INT64"), bigquery.SchemaField("v", "STRING")],
        source_format="NEWLINE_DELIMITED_JSON",
        labels={"step": "resumable"},
    )

    class Unsized(io.BytesIO):
        _CHUNK_SIZE = 256 * 1024

    for name, size in (("whole", len(data)), ("pieces", None)):
        client.load_table_from_file(Unsized(data), f"d.{name}", size=size, job_id=name, job_config=config).result()
        assert [row.n for row in client.query_and_wait(f"select count(distinct k) as n from d.{name}")] == [600]
    assert [job.labels for job in proxy.jobs if job.type == "LOAD"] == [{"step": "resumable"}] * 2
    assert any(request.method == "PUT" for request in proxy.requests)
