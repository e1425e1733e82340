"""The one place that makes a BigQuery client and sends jobs, each with labels, a byte limit and readable errors."""

import itertools
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

import google.auth
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account
from requests.exceptions import RequestException

from runner.errors import Failed, HeldBack, PolytradesError, UsageError
from runner.project import Output, SourceTable
from runner.warehouse.protocol import Batch

APP = "polytrades"
"""Value of the label `app` on every job of ours, dbt's included (macro query_labels)."""
_SCOPES = ("https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform")
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]*")
"""Of an organisation's own domain where there is a colon."""
_LOAD_ATTEMPTS = 3
"""How often one run sends a load that ends with an error. Those of earlier runs are passed over, not counted."""
_LOADS_A_DAY = 1500
"""Load jobs that BigQuery takes for one table in a day."""
_REFUSED_AT = 0.8
_ROLES = (
    "roles/bigquery.jobUser on the project and roles/bigquery.dataEditor on the datasets (roles/bigquery.user on the "
    "project too, for the first run, which creates them)"
)
_TYPES = {"string": "STRING", "bigint": "INT64", "float64": "FLOAT64", "boolean": "BOOL", "date": "DATE"}
_PYTHON = {str: "STRING", int: "INT64", float: "FLOAT64", bool: "BOOL", datetime: "TIMESTAMP"}


@dataclass(frozen=True)
class FinishedJob:
    """What BigQuery's own books say of a job of ours that is done."""

    job_id: str
    created_at: datetime
    labels: Mapping[str, str]
    job_type: str
    bytes_processed: int
    bytes_billed: int
    slot_millis: int
    error_reason: str | None


class Jobs:
    """Sends jobs for one project. `command` and `run_id` become labels of each."""

    def __init__(self, output: Output, maximum_bytes_billed: int, patience_seconds: float) -> None:
        values = output.values
        self.project = str(values.get("execution_project") or values.get("project") or values.get("database") or "")
        self.data_project = str(values.get("project") or values.get("database") or "")
        self.location = str(values.get("location") or "US")
        self.command = "runner"
        self.run_id = secrets.token_hex(6)
        self._maximum_bytes_billed = maximum_bytes_billed
        # Google's own retries: of requests, and of jobs that ended with a reason that may pass.
        self._retry = DEFAULT_RETRY.with_timeout(patience_seconds)
        self._job_retry = DEFAULT_JOB_RETRY.with_timeout(patience_seconds)
        self._loads: dict[str, int] = {}
        if not self.data_project:
            raise UsageError(
                f"The target {output.target} in {output.file} names no project. Set POLYTRADES_BIGQUERY_PROJECT to the "
                "id of your Google Cloud project."
            )
        for project in (self.project, self.data_project):
            if not _PROJECT.fullmatch(project):
                raise UsageError(
                    f"{project!r}, which the target {output.target} in {output.file} names, is no id of a Google "
                    "Cloud project: those are lower-case letters, digits and hyphens. Set POLYTRADES_BIGQUERY_PROJECT "
                    "to yours."
                )
        with explained("The credentials for BigQuery"):
            self._client = bigquery.Client(
                project=self.project,
                credentials=_credentials(values),
                location=self.location,
                client_options=ClientOptions(api_endpoint=values.get("api_endpoint") or None),
            )

    def query(self, name: str, sql: str, parameters: Mapping[str, Any]) -> tuple[Iterator[tuple[Any, ...]], int]:
        """Runs a statement; gives its rows, read page by page, and the number of rows that it wrote.

        A job that ends with a reason that may pass is sent again, which every statement of ours is safe for.
        """
        config = self._config(name, parameters)

        def sent_once() -> tuple[Iterator[tuple[Any, ...]], int]:
            # A name of our own: a request whose answer was lost is not a second job, and Google's client, which would
            # try for ten minutes whatever it is told, leaves the trying to us.
            job_id = f"{APP}-{name}-{uuid.uuid4()}"
            try:
                job = self._client.query(sql, job_config=config, job_id=job_id, retry=self._retry, job_retry=None)
            except api.Conflict:
                found: Any = self._client.get_job(job_id, retry=self._retry)
                job = found
            rows = job.result(retry=self._retry, job_retry=None, page_size=10_000)
            return _pages(name, rows), int(job.num_dml_affected_rows or 0)

        with explained(f"The statement {name}"):
            return self._job_retry(sent_once)()

    def dry_run(self, name: str, sql: str, parameters: Mapping[str, Any]) -> int:
        """Has BigQuery check a statement, rights included, without running it; gives the bytes that it would read."""
        with explained(f"The statement {name}"):
            config = self._config(name, parameters)
            config.dry_run = True
            config.use_query_cache = False
            job = self._client.query(sql, job_config=config, retry=self._retry, job_retry=None)
            return int(job.total_bytes_processed or 0)

    def _config(self, name: str, parameters: Mapping[str, Any]) -> bigquery.QueryJobConfig:
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=self._maximum_bytes_billed,
            query_parameters=[_parameter(key, value) for key, value in parameters.items()],
        )
        config.labels = self._labels(name)
        return config

    def _labels(self, name: str) -> dict[str, str]:
        labels = {"app": APP, "command": self.command, "run_id": self.run_id, "kind": "runner", "model": name}
        return {key: _as_label(value) for key, value in labels.items()}

    def load(self, batch: Batch, table: str, schema: SourceTable, is_there: Callable[[datetime], bool]) -> datetime:
        """Loads a batch's file into `table` (`project.dataset.table`) once; gives the time of the job.

        The job is named by the batch's content and an attempt. A job of that name that exists is the same load: it is
        waited for, never repeated. The attempt advances only when the existing job is done with an error, which landed
        nothing, or when its rows are not there any more (`is_there`, given the job's time).

        Raises:
            HeldBack: the table has had 80 % of the loads that a day allows.
            Failed: BigQuery refuses the file.
        """
        with explained(f"The count of the loads into {table}"):
            self._count_load(table)
        problem = "it gave no reason"
        sent = 0
        for attempt in itertools.count():
            if sent == _LOAD_ATTEMPTS:
                break
            job_id = f"{APP}-{batch.landing_table}-{batch.batch_id}-{attempt}"
            with explained(f"The load of batch {batch.batch_id} ({batch.row_count:,} rows)"):
                job, is_found = self._submitted(job_id, batch, table, schema)
                sent += not is_found
                try:
                    job.result(retry=self._retry)
                except api.GoogleAPICallError as error:
                    if job.state != "DONE" or not job.error_result:
                        raise
                    problem = str(job.error_result.get("message") or error)
                    continue
            created: datetime = job.created or datetime.now(UTC)
            if not is_found or is_there(created):
                return created
            problem = "its rows have been deleted"
        raise Failed(
            f"The batch {batch.batch_id} of {batch.row_count:,} rows could not be loaded into {table} in "
            f"{_LOAD_ATTEMPTS} attempts: {problem.rstrip('.')}. Nothing of it has landed; the next run tries again."
        )

    def _submitted(self, job_id: str, batch: Batch, table: str, schema: SourceTable) -> tuple[bigquery.LoadJob, bool]:
        """The load job of that name, and whether it was found rather than sent now."""
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            schema=[bigquery.SchemaField(name, _field_type(kind)) for name, kind in schema.columns.items()],
        )
        config.labels = self._labels("load_batch")
        give_up_at = time.monotonic() + 60
        while True:
            try:
                with batch.file.open("rb") as file:
                    job = self._client.load_table_from_file(
                        file, table, rewind=True, job_id=job_id, job_config=config, num_retries=3
                    )
                return job, False
            except api.Conflict:
                pass  # it has been sent before
            except (api.GoogleAPICallError, RequestException, ConnectionError) as error:
                if isinstance(error, api.ClientError) and not isinstance(error, api.TooManyRequests):
                    raise
                if time.monotonic() > give_up_at:
                    raise
            # Whether the job exists is unknown, or known: ask, before it is sent again.
            try:
                found: Any = self._client.get_job(job_id, retry=self._retry)
                return found, True
            except api.NotFound:
                time.sleep(0.2)

    def _count_load(self, table: str) -> None:
        """Counts the loads of the last day into a table, whoever sent them, and refuses before BigQuery does."""
        if table not in self._loads:
            self._loads[table] = sum(
                1
                for job in self._all_jobs(datetime.now(UTC) - timedelta(days=1))
                if job.job_type == "load"
                and job.destination
                and table.endswith(f".{job.destination.dataset_id}.{job.destination.table_id}")
            )
        if self._loads[table] >= _REFUSED_AT * _LOADS_A_DAY:
            raise HeldBack(
                f"{self._loads[table]:,} load jobs went into {table} in the last 24 hours; BigQuery takes "
                f"{_LOADS_A_DAY:,} a day, and at {_REFUSED_AT:.0%} of that this stops rather than fail half way. "
                "What has landed is kept. Raise batch_rows, so that batches are fewer, or run again tomorrow."
            )
        self._loads[table] += 1

    def finished(self, since: datetime) -> Iterator[FinishedJob]:
        """Our jobs that are done, of everybody in the project if we may see them, else our own."""
        for job in self._listed(since, state_filter="done"):
            yield FinishedJob(
                job_id=job.job_id,
                created_at=job.created,
                labels=job.labels,
                job_type=str(getattr(job, "statement_type", None) or job.job_type).lower(),
                bytes_processed=int(getattr(job, "total_bytes_processed", None) or 0),
                bytes_billed=int(getattr(job, "total_bytes_billed", None) or 0),
                slot_millis=int(getattr(job, "slot_millis", None) or 0),
                error_reason=(job.error_result or {}).get("reason"),
            )

    def working(self, run_id: str) -> list[str]:
        """Ids of jobs of a run that still work."""
        since = datetime.now(UTC) - timedelta(days=1)
        states = ("running", "pending")
        return [
            job.job_id
            for state in states
            for job in self._listed(since, state_filter=state)
            if job.labels.get("run_id") == _as_label(run_id)
        ]

    def all_working(self) -> list[tuple[str, str]]:
        """Jobs of ours that work now, as (job id, run id), but for those of this process."""
        since = datetime.now(UTC) - timedelta(days=1)
        return [
            (job.job_id, job.labels.get("run_id", ""))
            for state in ("running", "pending")
            for job in self._listed(since, state_filter=state)
            if job.labels.get("run_id") != _as_label(self.run_id)
        ]

    def _listed(self, since: datetime, state_filter: str) -> Iterator[Any]:
        with explained("The list of jobs"):
            jobs = self._all_jobs(since, state_filter)
        return (job for job in jobs if job.labels.get("app") == APP)

    def _all_jobs(self, since: datetime, state_filter: str | None = None) -> list[Any]:
        """Jobs of everybody in the project if we may see them, else our own."""
        list_jobs = partial(
            self._client.list_jobs, min_creation_time=since, state_filter=state_filter, retry=self._retry
        )
        try:
            return list(list_jobs(all_users=True))
        except api.Forbidden:
            return list(list_jobs())

    def cancel(self, job_id: str) -> None:
        """Asks for the end of a job; it may have ended."""
        with explained(f"The end of job {job_id}"):
            try:
                self._client.cancel_job(job_id, retry=self._retry)
            except api.NotFound:
                return

    def table(self, dataset: str, name: str) -> bigquery.Table | None:
        """A table's description; None if there is none."""
        with explained(f"The table {dataset}.{name}"):
            try:
                return self._client.get_table(f"{self.data_project}.{dataset}.{name}", retry=self._retry)
            except api.NotFound:
                return None

    def tables(self, dataset: str) -> list[str]:
        """Names of the tables of a dataset; none if there is no dataset."""
        with explained(f"The tables of {dataset}"):
            try:
                return [table.table_id for table in self._client.list_tables(f"{self.data_project}.{dataset}")]
            except api.NotFound:
                return []

    def dataset(self, name: str) -> bigquery.Dataset | None:
        """A dataset's description; None if there is none."""
        with explained(f"The dataset {name}"):
            try:
                return self._client.get_dataset(f"{self.data_project}.{name}", retry=self._retry)
            except api.NotFound:
                return None


def _pages(name: str, rows: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Rows as they are read; pages after the first are requests of their own."""
    with explained(f"The answer to the statement {name}"):
        for row in rows:
            yield tuple(row.values())


def _as_label(value: str) -> str:
    """The value as BigQuery takes it in a label: lower-case letters, digits, `_` and `-`, at most 63."""
    return re.sub(r"[^a-z0-9_-]", "_", value.lower())[:63]


def _credentials(values: Mapping[str, Any]) -> Credentials | None:
    """What the profile's `method` means, as dbt reads it."""
    method = str(values.get("method") or "oauth")
    found: Any
    if method == "service-account":
        try:
            found = service_account.Credentials.from_service_account_file(values.get("keyfile") or "", scopes=_SCOPES)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The key file {values.get('keyfile')!r} cannot be used: {str(error).rstrip('.')}. "
                "Set POLYTRADES_BIGQUERY_KEYFILE."
            ) from None
    elif method == "service-account-json":
        try:
            found = service_account.Credentials.from_service_account_info(values.get("keyfile_json"), scopes=_SCOPES)  # type: ignore[no-untyped-call]
        except (ValueError, AttributeError, TypeError):
            raise UsageError(
                "The profile's keyfile_json is no key of a service account. Give the members of the key file there, or "
                "use method: service-account and keyfile."
            ) from None
    elif method == "oauth-secrets":
        found = oauth2.Credentials(  # type: ignore[no-untyped-call]
            token=values.get("token"),
            refresh_token=values.get("refresh_token"),
            client_id=values.get("client_id"),
            client_secret=values.get("client_secret"),
            token_uri=values.get("token_uri"),
            scopes=_SCOPES,
        )
    elif method == "oauth":
        found, _ = google.auth.default(scopes=_SCOPES)
    else:
        raise UsageError(f"The profile's method is {method!r}; use oauth, oauth-secrets, or service-account(-json).")
    if target := values.get("impersonate_service_account"):
        found = impersonated_credentials.Credentials(found, target_principal=target, target_scopes=list(_SCOPES))  # type: ignore[no-untyped-call]
    credentials: Credentials = found
    return credentials


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Puts the errors of Google's libraries into our words.

    Raises:
        UsageError: credentials or rights are missing. HeldBack: a limit is reached. Failed: anything else.
    """
    try:
        yield
    except PolytradesError:
        raise
    except auth.DefaultCredentialsError:
        raise UsageError(
            "There are no Google credentials. Run `gcloud auth application-default login`, or set "
            "POLYTRADES_BIGQUERY_METHOD=service-account and POLYTRADES_BIGQUERY_KEYFILE."
        ) from None
    except auth.TransportError as error:
        raise Failed(
            f"{what} failed, because Google's sign-in could not be reached: {error}. Check the network, then run the "
            "same command again."
        ) from None
    except auth.GoogleAuthError as error:
        raise UsageError(f"Google refuses the credentials: {error}. Log in again, or use another key.") from None
    except (api.GoogleAPIError, RequestException, ConnectionError) as error:
        # What was tried again until the patience was over is explained by what it failed for in the end.
        cause: BaseException = error
        while isinstance(cause, api.RetryError) and cause.cause is not None:
            cause = cause.cause
        _raise_explained(what, cause)


def _raise_explained(what: str, error: BaseException) -> NoReturn:
    reasons = {str(part.get("reason")) for part in getattr(error, "errors", None) or [] if isinstance(part, dict)}
    message = str(getattr(error, "message", None) or error).split("\n")[0]
    if "bytesBilledLimitExceeded" in reasons:
        raise HeldBack(
            f"{what} was refused before it cost anything: {message} Raise POLYTRADES_MAXIMUM_BYTES_BILLED if that is "
            "meant. What has landed is kept."
        ) from None
    if reasons & {"quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}:
        raise HeldBack(
            f"{what} met a quota of the project: {message} What has landed is kept: run the same command again later, "
            "or have the quota raised."
        ) from None
    if isinstance(error, api.Forbidden):
        raise UsageError(f"{what} is not allowed: {message} Grant {_ROLES}; `polytrades doctor` looks again.") from None
    if isinstance(error, api.NotFound) and "location" in message.lower():
        raise UsageError(
            f"{what} looks in the wrong place: {message} Set POLYTRADES_BIGQUERY_LOCATION to where the datasets are."
        ) from None
    raise Failed(f"{what} failed in BigQuery: {message} If that may pass, run the same command again.") from None


def _field_type(kind: str) -> str:
    return _TYPES.get(kind, kind.upper())


def _parameter(name: str, value: Any) -> Any:
    """A bound value. Lists are of strings, or of rows (`Rows`)."""
    if isinstance(value, Rows):
        fields = [
            bigquery.StructQueryParameter(
                None,
                *(
                    bigquery.ScalarQueryParameter(key, _field_type(kind), row.get(key))
                    for key, kind in value.columns.items()
                ),
            )
            for row in value.rows
        ]
        return bigquery.ArrayQueryParameter(name, "STRUCT", fields)
    if isinstance(value, list):
        return bigquery.ArrayQueryParameter(name, "STRING", value)
    if isinstance(value, datetime):
        return bigquery.ScalarQueryParameter(name, "TIMESTAMP", value)
    kind = _PYTHON.get(type(value), "DATE" if hasattr(value, "isoformat") else "STRING")
    return bigquery.ScalarQueryParameter(name, kind, value)


@dataclass(frozen=True)
class Rows:
    """Rows to bind as one parameter: an array of structs with the table's columns."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
