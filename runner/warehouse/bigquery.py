"""BigQuery: load jobs in, MERGE by dbt inside; nothing is pulled through Python."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.cloud import bigquery

from runner import project
from runner.errors import Failed, HeldBack, UsageError
from runner.settings import Settings
from runner.warehouse.bigquery_logs import BigQueryLogs
from runner.warehouse.bigquery_work import BigQueryWork
from runner.warehouse.jobs import APP, Jobs, Rows
from runner.warehouse.protocol import Batch
from runner.warehouse.sql import SqlWarehouse

_TYPES = {"bigint": "int64", "boolean": "bool"}
_SQL_NAMES = {"INTEGER": "int64", "FLOAT": "float64", "BOOLEAN": "bool"}
"""What the API calls types that SQL calls otherwise."""
_NEVER_NULL = frozenset(
    {
        "id",
        "wallet_address",
        "tx_hash",
        "order_hash",
        "collision_id",
        "timestamp",
        "side",
        "price",
        "token_id",
        "shares_raw",
        "usdc_raw",
        "key_quality",
        "source",
    }
)
"""Columns that every fill has; any other one of an adopted table must take a NULL."""
_PARAMETER_BYTES = 1_000_000
"""Text of the rows bound to one statement; a request may have 10 MB."""
_BOOKED_LATE = timedelta(hours=7)
"""Jobs that were created so long before may have ended since: BigQuery ends a query after six hours."""


def _type_name(field: bigquery.SchemaField) -> str:
    """The type as SQL writes it, lower case; what narrows it is a part of it."""
    name = _SQL_NAMES.get(field.field_type, field.field_type.lower())
    if limits := [str(limit) for limit in (field.max_length, field.precision, field.scale) if limit is not None]:
        name = f"{name}({', '.join(limits)})"
    return f"array<{name}>" if field.mode == "REPEATED" else name


class BigQueryWarehouse(BigQueryWork, SqlWarehouse, BigQueryLogs):
    """The project of a profile's output. One writer by the lease; a second one is told who has it."""

    name = "bigquery"

    def __init__(self, settings: Settings, output: project.Output) -> None:
        super().__init__(settings)
        self._output = output
        self._booked_until: datetime | None = None
        self.jobs = Jobs(output, settings.maximum_bytes_billed, settings.bigquery_patience_seconds)
        self.place = f"the BigQuery project {self.jobs.data_project}"

    def _query(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        rows, _ = self.jobs.query(name, sql, parameters)
        return list(rows)

    def _execute(self, name: str, sql: str, **parameters: Any) -> int:
        _, written = self.jobs.query(name, sql, parameters)
        return written

    def _insert(self, name: str, table: project.SourceTable, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = ", ".join(self._quoted(column) for column in table.columns)
        values = ", ".join(f"given.{self._quoted(column)}" for column in table.columns)
        address = self._quoted(self._schema_of(table), table.name)
        for chunk in _chunks(rows):
            self._execute(
                name,
                f"insert into {address} ({columns}) select {values} from unnest(@rows) as given",
                rows=Rows(table.columns, chunk),
            )

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Each statement is a job of its own. What matters is their order, and that each is safe to run twice."""
        yield

    def _load(self, batch: Batch) -> datetime:
        table = project.source_table("landing", batch.landing_table)
        found: list[datetime] = []

        def is_there(created: datetime) -> bool:
            """Looks for the rows of an earlier load, on the days on which it may have run."""
            ((count, landed_at),) = self._query(
                "find_loaded_rows",
                f"select count(*), min(landed_at) from {self._landing(batch.landing_table)} "
                "where landed_on between @first and @last and batch_id = @batch",
                first=(created - timedelta(days=1)).date(),
                last=(created + timedelta(days=1)).date(),
                batch=batch.batch_id,
            )
            if count == batch.row_count:
                found.append(landed_at)
            return bool(count == batch.row_count)

        address = f"{self.jobs.data_project}.{self._schemas.landing}.{batch.landing_table}"
        self.jobs.load(batch, address, table, is_there)
        return found[0] if found else batch.landed_at

    def _columns(self, schema: str, table: str) -> dict[str, str] | None:
        described = self.jobs.table(schema, table)
        if described is None:
            return None
        return {field.name: _type_name(field) for field in described.schema}

    def _create_schema(self, schema: str) -> None:
        if self.jobs.dataset(schema) is not None:
            return  # CREATE … IF NOT EXISTS needs the right to create datasets also where there is nothing to create
        self._execute(
            "create_schema",
            f"create schema if not exists {self._quoted(schema)} options (location = '{self.jobs.location}')",
        )

    def _create(self, table: project.SourceTable) -> None:
        layout = f" partition by {table.partition_by}" if table.partition_by else ""
        layout += f" cluster by {', '.join(table.cluster_by)}" if table.cluster_by else ""
        address = self._quoted(self._schema_of(table), table.name)
        definition = self._definition(table)
        statement = definition if table.only_row else f"{definition}{layout}"
        self._execute("create_table", f"create table if not exists {address} {statement}")

    def _keep_one_row(self, statements: list[str], **parameters: Any) -> None:
        script = ["begin transaction", *statements, "commit transaction"]
        self._execute("keep_one_row", ";\n".join(script), **parameters)

    def _row_as_json(self, alias: str) -> str:
        return f"to_json_string({alias})"

    def _layout_problems(self) -> list[str]:
        return [f"{problem}: {fix}" for problem, fix in self.layout_findings("trades")]

    def layout_findings(self, mart: str) -> list[tuple[str, str]]:
        """What is wrong with a mart's storage: (finding, what to run)."""
        table = self.jobs.table(self._schemas.production, mart)
        if table is None:
            return []
        address = self._mart(mart)
        copy = (
            f"create table {self._mart(mart + '_partitioned')} partition by timestamp_trunc(timestamp, day) "
            f"cluster by wallet_address, condition_id as select * from {address}"
        )
        if table.table_type != "TABLE":
            return [
                (f"{address} is a {table.table_type.lower()}, not a table", f"Give it another name, or copy it: {copy}")
            ]
        found = []
        partitioning = table.time_partitioning
        if partitioning is None or partitioning.field != "timestamp" or partitioning.type_ != "DAY":
            how = f"by {partitioning.type_} of {partitioning.field or 'ingestion'}" if partitioning else "not at all"
            found.append(
                (
                    f"{address} is partitioned {how}, so every merge would read the whole table",
                    f"Make a copy by day, look at it, then swap the names: {copy}",
                )
            )
        elif partitioning.expiration_ms:
            found.append(
                (
                    f"{address} forgets its partitions after {partitioning.expiration_ms / 86_400_000:,.0f} days",
                    f"alter table {address} set options (partition_expiration_days = null)",
                )
            )
        if table.require_partition_filter:
            found.append(
                (
                    f"{address} demands a filter on its days, which the look for duplicate keys cannot have",
                    f"alter table {address} set options (require_partition_filter = false)",
                )
            )
        ours = project.mart_columns(mart).keys() - _NEVER_NULL
        for field in table.schema:
            if field.mode == "REQUIRED" and field.name in ours:
                found.append(
                    (
                        f"The column {field.name} of {address} must not be NULL, and a fill may lack it",
                        f"alter table {address} alter column {field.name} drop not null",
                    )
                )
        if table.expires:
            found.append(
                (
                    f"{address} is going to be deleted at {table.expires:%Y-%m-%d %H:%M} UTC",
                    f"alter table {address} set options (expiration_timestamp = null)",
                )
            )
        return found

    def end_orphans(self, run_id: str, wait_seconds: float) -> list[str]:
        """See Warehouse. Killing dbt does not end the job that it had sent."""
        give_up_at = time.monotonic() + wait_seconds
        done: list[str] = []
        while working := self.jobs.working(run_id):
            if time.monotonic() >= give_up_at:
                for job_id in working:
                    self.jobs.cancel(job_id)
                done.append(f"ended {len(working)} jobs of the dead run {run_id}")
                give_up_at = time.monotonic() + 60
                if len(done) > 1:
                    raise HeldBack(
                        f"Jobs of the dead run {run_id} do not end: {', '.join(working)}. Cancel them in BigQuery, "
                        "then run the same command again."
                    )
            time.sleep(0.5)
        return done

    def _twin(self) -> "BigQueryWarehouse":
        other = BigQueryWarehouse(self._settings, self._output)
        other.names_jobs(self.jobs.command, self.jobs.run_id)
        other._run_id = self._run_id
        return other

    def names_jobs(self, command: str, run_id: str) -> None:
        """See Warehouse."""
        self.jobs.command, self.jobs.run_id = command, run_id

    # Cost.

    def collect_costs(self) -> None:
        """See Warehouse. BigQuery's list of jobs is the account: it has dbt's jobs and those of killed runs too."""
        if not self._has_state("job_costs"):
            return
        now = datetime.now(UTC)
        table = self._state("job_costs")
        if self._booked_until is None:
            # The days of the partitions bound what is read; what is older was booked, or is history.
            first = (now - timedelta(days=30)).date()
            ((newest,),) = self._query(
                "newest_cost", f"select max(created_at) from {table} where billed_on >= @first", first=first
            )
            self._booked_until = newest or now - timedelta(days=1)
        since = self._booked_until - _BOOKED_LATE
        known = {
            job_id
            for (job_id,) in self._query(
                "known_costs", f"select job_id from {table} where billed_on >= @day", day=since.date()
            )
        }
        rows = [
            {
                "job_id": job.job_id,
                "billed_on": job.created_at.date(),
                "created_at": job.created_at,
                "run_id": job.labels.get("run_id"),
                "command": job.labels.get("command"),
                "kind": job.labels.get("kind"),
                "name": job.labels.get("model"),
                "job_type": job.job_type,
                "bytes_processed": job.bytes_processed,
                "bytes_billed": job.bytes_billed,
                "slot_millis": job.slot_millis,
                "error_reason": job.error_reason,
            }
            for job in self.jobs.finished(since)
            if job.job_id not in known
        ]
        if rows:
            self._insert("record_costs", project.source_table("state", "job_costs"), rows)
        self._booked_until = now

    def reconciled_bytes(self, since: date) -> dict[date, int] | None:
        """See Warehouse."""
        try:
            rows = self._query(
                "reconcile_costs",
                "select date(creation_time) as day, sum(total_bytes_billed) as bytes "
                f"from `{self.jobs.project}`.`region-{self.jobs.location.lower()}`.INFORMATION_SCHEMA.JOBS as jobs "
                "where creation_time >= @since and exists ("
                "select 1 from unnest(jobs.labels) as label where label.key = 'app' and label.value = @app) "
                "and parent_job_id is null and state = 'DONE' "
                "group by day order by day desc",
                since=datetime(since.year, since.month, since.day, tzinfo=UTC),
                app=APP,
            )
        except (UsageError, Failed):  # no right to read it, or a BigQuery that has no such account
            return None
        return {day: int(total or 0) for day, total in rows}

    # Dialect.

    def _quoted(self, *names: str) -> str:
        return ".".join(f"`{name}`" for name in (self.jobs.data_project, *names)) if len(names) > 1 else f"`{names[0]}`"

    def _type(self, kind: str) -> str:
        return _TYPES.get(kind, kind)

    def _each(self, parameter: str, column: str) -> str:
        return f"unnest(@{parameter}) as {column}"

    def _in_minutes(self, minutes: float) -> str:
        now = "current_timestamp()"
        return f"timestamp_add({now}, interval {int(minutes)} minute)" if minutes else now


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Rows in portions that fit into a request."""
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(json.dumps(row, default=str))
        if size >= _PARAMETER_BYTES or len(chunk) >= 1000:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
