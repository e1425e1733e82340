"""Starts `local-bigquery` with the corrections that dbt-bigquery needs. Run with the emulator's Python 3.13.

    launch.py --port 9050 --grpc-port 9060 --data-dir DIR [--host 127.0.0.1] [--project p] [--until-stdin-closes]

`--data-dir` holds everything: delete it for an empty warehouse; two processes must never share one. With
`--until-stdin-closes` the process ends when whoever holds its stdin does, so that a killed test run leaves none behind.
All other arguments go to `local-bigquery` unchanged.

Corrected in local-bigquery 0.3.2, each by wrapping one function:

1. A job that creates a table from a query reports the new table as its destination, as BigQuery does. dbt-bigquery
   reads `job.destination` after every table model and fails without it. The result of such a job stays empty.
2. `require_partition_filter`: a MERGE whose ON clause names the partition column is accepted, as on BigQuery.
   Uncorrected, every MERGE into such a table is refused.
3. INFORMATION_SCHEMA.PARTITIONS has the column total_logical_bytes: rows times 8 bytes a column.
4. A project is a DuckDB file, not a DuckLake: a CREATE TABLE AS takes 1 ms and not 70, and time travel, which is what
   the other is for, local-bigquery does not offer. A name is looked up by itself. Uncorrected, each look-up lists all
   tables of all projects with their sizes, several times a statement: ten times what the statements take. What was
   found is remembered until somebody writes. Only the projects that were asked for last are attached: DuckDB looks at
   all tables of all attached files where one is not found or all of a dataset are listed.
   Jobs are remembered, and end with the process: in a table each is written three times, which took as long as the
   statements. INFORMATION_SCHEMA.JOBS, which lacks the bytes anyway, is empty.
5. A MERGE may stand in a transaction. Uncorrected it tries to begin one of its own, by which DuckDB aborts the other.
"""

import contextlib
import contextvars
import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from local_bigquery import cli
from local_bigquery.api import jobs
from local_bigquery.catalog import iam, metadata, names, row_access, tables
from local_bigquery.engine import database
from local_bigquery.jobs import merge, query, store
from local_bigquery.models import Table
from local_bigquery.settings import settings
from local_bigquery.sql.rules import information_schema
from local_bigquery.sql.rules import tables as table_rules
from sqlglot import exp

Function = Callable[..., Any]

# The table that the running MERGE may read without a filter of its own.
merge_target: contextvars.ContextVar[tuple[str, ...] | None] = contextvars.ContextVar("merge_target", default=None)


def report_destination(execute: Function) -> Function:
    """Correction 1: the created table is the destination."""

    @functools.wraps(execute)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        statistics, children, destination = execute(*arguments, **named)
        if destination is None and statistics.statementType == "CREATE_TABLE_AS_SELECT":
            destination = statistics.ddlTargetTable
        return statistics, children, destination

    return wrapper


def keep_results_empty(results: Function) -> Function:
    """Correction 1: the destination of such a job is not its result."""

    @functools.wraps(results)
    def wrapper(job: Any, *arguments: Any) -> Any:
        statistics = job.statistics and job.statistics.query
        if statistics and statistics.statementType == "CREATE_TABLE_AS_SELECT":
            configuration = job.configuration.query.without("destinationTable")
            job = job.replace(configuration=job.configuration.replace(query=configuration))
        return results(job, *arguments)

    return wrapper


def accept_filter_in_on(run: Function) -> Function:
    """Correction 2: remembers the target while a MERGE runs whose ON names the partition column."""

    @functools.wraps(run)
    def wrapper(cursor: Any, tree: Any, context: Any) -> Any:
        reference = names.reference(tree.this, context.project_id, context.dataset_id)
        stored = metadata.load(Table, *reference) or Table()
        target = None
        if stored.requirePartitionFilter:
            field = (stored.timePartitioning and stored.timePartitioning.field) or "_PARTITIONTIME"
            columns = {column.name.casefold() for column in tree.args["on"].find_all(exp.Column)}
            target = reference if field.casefold() in columns else None
        token = merge_target.set(target)
        try:
            return run(cursor, tree, context)
        finally:
            merge_target.reset(token)

    return wrapper


def skip_check_of_target(check: Function) -> Function:
    """Correction 2: the remembered target needs no filter."""

    @functools.wraps(check)
    def wrapper(tree: Any, table: Any, is_target: bool) -> Any:
        return check(tree, table, is_target or (table.catalog, table.db, table.name) == merge_target.get())

    return wrapper


def add_logical_bytes(partitions: Function) -> Function:
    """Correction 3. Not from the sizes that local-bigquery keeps, which do not follow DML."""

    @functools.wraps(partitions)
    def wrapper(project_id: str, dataset_id: str | None) -> Any:
        columns, rows = partitions(project_id, dataset_id)
        widths = {
            name: 8 * len(table.schema_.fields if table.schema_ else [])
            for table in information_schema._tables(project_id, dataset_id)
            for name in [tuple(information_schema._identity(table))]
        }
        return [*columns, "total_logical_bytes INT64"], [[*row, row[4] * widths.get(tuple(row[:3]), 8)] for row in rows]

    return wrapper


class _Memory:
    """Correction 4: answers of one kind, each as long as nobody has changed what it tells since it was asked for."""

    def __init__(self, is_changed_by: Callable[[str], bool]) -> None:
        self._is_changed_by = is_changed_by
        self._answers: dict[Any, tuple[int, Any]] = {}
        self._writes = 0

    def forget(self) -> None:
        """Somebody has written."""
        self._writes += 1
        self._answers.clear()

    def saw(self, sql: str) -> None:
        """A statement has run."""
        if self._is_changed_by(sql):
            self.forget()

    def remembers(self, ask: Function) -> Function:
        """The same function, asked anew only where it must be."""

        @functools.wraps(ask)
        def wrapper(*arguments: Any) -> Any:
            key = (ask, *(tuple(each) if isinstance(each, list) else each for each in arguments))
            known = self._answers.get(key)
            if known is None or known[0] != self._writes:
                # Numbered as before the question: an answer that a write has overtaken is never given.
                known = self._writes, ask(*arguments)
                self._answers[key] = known
            return list(known[1])

        return wrapper


_READS = frozenset({"SELECT", "FROM", "WITH", "DESCRIBE", "USE", "SET"})
_CHANGES_OF_ROWS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "BEGIN"})


def _word(sql: str) -> str:
    return sql.lstrip().partition(" ")[0].upper().rstrip(";")


def _is_own(sql: str) -> bool:
    """Of the emulator's own tables, which are never quoted."""
    return " emulator." in sql


rows = _Memory(lambda sql: _word(sql) not in _READS)
shapes = _Memory(lambda sql: _word(sql) not in _READS | _CHANGES_OF_ROWS)
resources = _Memory(lambda sql: _word(sql) not in _READS and _is_own(sql))
MEMORIES = (rows, shapes, resources)


def saw(sql: str) -> None:
    """A statement has run."""
    for memory in MEMORIES:
        memory.saw(sql)


def watch(execute: Function) -> Function:
    """The same function, after which what it may have changed is not remembered otherwise."""

    @functools.wraps(execute)
    def wrapper(sql: str, *arguments: Any) -> Any:
        try:
            return execute(sql, *arguments)
        finally:
            saw(sql)

    return wrapper


def remember(fetch: Function) -> Function:
    """Correction 4: the same function, which remembers by what its question is about."""
    by_rows, by_shapes, by_resources = (memory.remembers(fetch) for memory in MEMORIES)

    @functools.wraps(fetch)
    def wrapper(sql: str, params: Any = None) -> Any:
        if _is_own(sql):
            return by_resources(sql, params)
        is_shape = "duckdb_columns()" in sql or "duckdb_schemas()" in sql
        return by_shapes(sql, params) if is_shape else by_rows(sql, params)

    return wrapper


class _WatchedCursor:
    """A cursor of the emulator's own."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, *arguments: Any, **named: Any) -> Any:
        try:
            return self._cursor.execute(sql, *arguments, **named)
        finally:
            saw(sql)

    def sql(self, sql: str, **named: Any) -> Any:
        try:
            return self._cursor.sql(sql, **named)
        finally:
            saw(sql)


def watch_cursor(cursor: Function) -> Function:
    """Correction 4: who writes through such a cursor is noticed."""

    @contextlib.contextmanager
    @functools.wraps(cursor)
    def wrapper() -> Iterator[Any]:
        with cursor() as opened:
            yield _WatchedCursor(opened)

    return wrapper


def attach_file(connection: Any, project_id: str) -> None:
    """Correction 4: a project is a file."""
    path = settings.data_dir / f"{project_id}.project"
    connection.execute(f"attach if not exists '{path}' as {database.quote(project_id)}")
    database._attached.add(project_id)


_ATTACHED = 4
"""Projects; a test uses one or two."""
_attaching = threading.Lock()
_used: dict[str, None] = {}
"""The attached ones, the one that was used last at the end."""


def attach(project_id: str) -> None:
    """Correction 4: attaches a project's file, and lets go of the one that nobody has used for longest."""
    with _attaching, database.cursor() as cursor:
        if project_id not in database._attached:
            attach_file(cursor, project_id)
        _used[project_id] = _used.pop(project_id, None)
        while len(_used) > _ATTACHED:
            oldest = next(iter(_used))
            cursor.execute(f"detach {database.quote(oldest)}")
            database._attached.discard(oldest)
            del _used[oldest]


def is_attached(project_id: str) -> bool:
    """Correction 4: attaches a project if there is one of that name."""
    if project_id not in database._attached and project_id in list_projects():
        attach(project_id)
    return project_id in database._attached


def list_projects() -> list[str]:
    """Correction 4: those of this process and of earlier ones."""
    return sorted(database._attached | {path.stem for path in settings.data_dir.glob("*.project")})


class _Jobs:
    """Correction 4: `local_bigquery.jobs.store` without a table."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Any] = {}

    def save(self, job: Any) -> Any:
        self._jobs[job.jobReference.projectId, job.jobReference.jobId] = job
        return job

    def load(self, project_id: str, job_id: str) -> Any:
        return self._jobs.get((project_id, job_id))

    def list_(
        self,
        project_id: str,
        states: list[str] | None = None,
        parent_job_id: str | None = None,
        min_creation_time: int | None = None,
        max_creation_time: int | None = None,
    ) -> list[Any]:
        def created(job: Any) -> int:
            return int(job.statistics.creationTime)

        found = [
            job
            for job in list(self._jobs.values())
            if job.jobReference.projectId == project_id
            and job.statistics.parentJobId == parent_job_id
            and (not states or job.status.state in states)
            and (min_creation_time is None or created(job) >= min_creation_time)
            and (max_creation_time is None or created(job) <= max_creation_time)
        ]
        return sorted(found, key=lambda job: (-created(job), job.jobReference.jobId))

    def delete(self, project_id: str, job_id: str) -> None:
        for key, job in list(self._jobs.items()):
            if key[0] == project_id and job_id in (key[1], job.statistics.parentJobId):
                del self._jobs[key]


_written: set[str] = set()
"""Names of the results that this process has written."""
_older = threading.Event()
"""Set if there may be results of a process before."""


def note_result(write: Function) -> Function:
    """Correction 4: each statement asks first whether its result is there, and DuckDB's no costs 10 ms."""

    @functools.wraps(write)
    def wrapper(cursor: Any, sql: str, parameters: Any, reference: Any, *arguments: Any, **named: Any) -> Any:
        written = write(cursor, sql, parameters, reference, *arguments, **named)
        if reference[1] == tables.RESULTS:
            _written.add(tables.physical(*reference)[2])
        return written

    return wrapper


def look_up(list_all: Function) -> Function:
    """Correction 4: one name is asked for by itself. Only tables have rowids."""

    @functools.wraps(list_all)
    def wrapper(project_id: str, dataset_id: str, table_id: str | None = None) -> Any:
        if project_id != "emulator" and not is_attached(project_id):
            return []
        if table_id is None:
            return list_all(project_id, dataset_id)
        if project_id == "emulator" and table_id not in _written and not _older.is_set():
            return []
        table = database.quote(project_id, dataset_id, table_id)
        with database.cursor() as cursor:
            try:
                cursor.execute(f"select rowid from {table} limit 0")
                return [(table_id, "TABLE", cursor.execute(f"select count(*) from {table}").fetchone()[0])]
            except duckdb.BinderException:
                return [(table_id, "VIEW", 0)]
            except duckdb.CatalogException:  # not there, or a view whose table is gone
                return [row for row in list_all(project_id, dataset_id, table_id) if row[1] == "VIEW"]

    return wrapper


def describe_one(fetch: Function) -> Function:
    """Correction 4: questions about columns name their project, dataset and table first."""

    @functools.wraps(fetch)
    def wrapper(sql: str, params: Any = None) -> Any:
        if "duckdb_columns()" not in sql:
            return fetch(sql, params)
        project_id, dataset_id, table_id = params[:3]
        described = f"""(
            select $1 as database_name, $2 as schema_name, $3 as table_name, column_name, "null" = 'YES' as is_nullable
            from (describe {database.quote(project_id, dataset_id, table_id)})) as described"""
        for number in range(1, len(params) + 1):
            sql = sql.replace("?", f"${number}", 1)
        try:
            return fetch(sql.replace("duckdb_columns()", described), params)
        except duckdb.Error:  # not there
            return []

    return wrapper


class _FreshCursor(_WatchedCursor):
    """A cursor that begins with a job: no temporary tables (correction 4), no transaction but its own (5)."""

    def __init__(self, cursor: Any) -> None:
        super().__init__(cursor)
        self._in_transaction = False

    def sql(self, sql: str, **named: Any) -> Any:
        if sql == "SELECT table_name FROM duckdb_tables() WHERE temporary":
            sql = "select null as table_name where false"
        return super().sql(sql, **named)

    def execute(self, sql: str, *arguments: Any) -> Any:
        word = _word(sql)
        if word == "BEGIN" and self._in_transaction:
            raise duckdb.TransactionException("cannot start a transaction within a transaction")
        result = super().execute(sql, *arguments)
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._in_transaction = word == "BEGIN"
        return result


def wrap_fresh_cursor(execute: Function) -> Function:
    """Corrections 4 and 5. The cursor of a session may have temporary tables and stays as it is."""

    @functools.wraps(execute)
    def wrapper(cursor: Any, *arguments: Any, **named: Any) -> Any:
        given = inspect.signature(execute).bind(cursor, *arguments, **named).arguments
        is_fresh = given.get("session") is None
        try:
            return execute(_FreshCursor(cursor) if is_fresh else cursor, *arguments, **named)
        finally:
            if not is_fresh:
                for memory in MEMORIES:
                    memory.forget()

    return wrapper


def end_with_stdin() -> None:
    """Ends this process as soon as nobody holds the other side of its stdin."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Corrects and serves."""
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]  # else DuckDB looks for it at each statement
    database._attach, database.attach, database.projects = attach_file, attach, list_projects
    database.objects = rows.remembers(look_up(database.objects))
    fetch, database.fetch = database.fetch, remember(describe_one(database.fetch))
    tables.columns = shapes.remembers(tables.columns)
    metadata.fetch = row_access.fetch = remember(fetch)
    database.execute, metadata.execute = watch(database.execute), watch(metadata.execute)
    iam.execute = metadata.execute
    database.cursor = watch_cursor(database.cursor)
    query.execute = report_destination(wrap_fresh_cursor(query.execute))
    jobs.results = keep_results_empty(jobs.results)
    merge.run = accept_filter_in_on(merge.run)
    table_rules._check = skip_check_of_target(table_rules._check)
    tables.write = note_result(tables.write)
    remembered = _Jobs()
    store.save, store.load, store.list_, store.delete = (
        remembered.save,
        remembered.load,
        remembered.list_,
        remembered.delete,
    )
    information_schema.VIEWS["PARTITIONS"] = add_logical_bytes(information_schema.partitions)
    arguments = sys.argv[1:]
    if Path(arguments[arguments.index("--data-dir") + 1], "emulator.duckdb").exists():
        _older.set()
    if "--until-stdin-closes" in arguments:
        arguments.remove("--until-stdin-closes")
        end_with_stdin()
    cli.main(arguments)


if __name__ == "__main__":
    main()
