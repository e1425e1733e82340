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
4. A name is looked up in its own project's catalog. Uncorrected, each look-up lists all tables of all projects with
   their sizes, which costs 60 ms a project, several times a statement: ten times what the statements take.
5. A MERGE may stand in a transaction. Uncorrected it tries to begin one of its own, by which DuckDB aborts the other.
"""

import contextvars
import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from local_bigquery import cli
from local_bigquery.api import jobs
from local_bigquery.catalog import metadata, names, tables
from local_bigquery.engine import database
from local_bigquery.jobs import merge, query
from local_bigquery.models import Table
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


# Correction 4: what DuckDB's functions say of one project, read from the tables in which DuckLake keeps it.
_OF_ONE_PROJECT = {
    "duckdb_tables()": """
        (select $project as database_name, schema_name, table_name, coalesce(record_count, 0) as estimated_size
        from $lake.ducklake_table as found
        join $lake.ducklake_schema as holder using (schema_id)
        left join $lake.ducklake_table_stats using (table_id)
        where found.end_snapshot is null and holder.end_snapshot is null)""",
    "duckdb_views()": """
        (select $project as database_name, schema_name, view_name, false as internal
        from $lake.ducklake_view as found
        join $lake.ducklake_schema as holder using (schema_id)
        where found.end_snapshot is null and holder.end_snapshot is null)""",
    "duckdb_columns()": """
        (select $project as database_name, schema_name, table_name, column_name, nulls_allowed as is_nullable
        from $lake.ducklake_column as part
        join $lake.ducklake_table as found using (table_id)
        join $lake.ducklake_schema as holder using (schema_id)
        where part.end_snapshot is null and found.end_snapshot is null and holder.end_snapshot is null
            and part.parent_column is null)""",
    "duckdb_schemas()": """
        (select $project as database_name, schema_name from $lake.ducklake_schema where end_snapshot is null)""",
}


def ask_one_project(fetch: Function) -> Function:
    """Correction 4: the first parameter of these questions is the project. Results are kept in `emulator`."""

    @functools.wraps(fetch)
    def wrapper(sql: str, params: Any = None) -> Any:
        asked = [name for name in _OF_ONE_PROJECT if name in sql]
        if not asked or not params:
            return fetch(sql, params)
        project = params[0]
        if project == "emulator" and asked == ["duckdb_schemas()"]:
            return fetch(sql, params)
        if project == "emulator":
            return [] if asked == ["duckdb_columns()"] else _result_named(fetch, params[2])
        if project not in database._attached:
            return []
        lake = database.quote(f"__ducklake_metadata_{project}")
        for name in asked:
            known = _OF_ONE_PROJECT[name].replace("$lake", lake).replace("$project", f"'{project}'")
            sql = sql.replace(name, known)
        return fetch(sql, params)

    return wrapper


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


def _result_named(fetch: Function, name: str) -> Any:
    """Correction 4: the table with the result of a job, as (name, kind, rows)."""
    if name not in _written and not _older.is_set():
        return []
    try:
        rows = fetch(f"select count(*) from {database.quote('emulator', '_results', name)}")
    except duckdb.CatalogException:
        return []
    return [(name, "TABLE", rows[0][0])]


class _FreshCursor:
    """A cursor that begins with a job: no temporary tables (correction 4), no transaction but its own (5)."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._in_transaction = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def sql(self, sql: str, **named: Any) -> Any:
        if sql == "SELECT table_name FROM duckdb_tables() WHERE temporary":
            sql = "select null as table_name where false"
        return self._cursor.sql(sql, **named)

    def execute(self, sql: str, *arguments: Any) -> Any:
        word = sql.split(maxsplit=1)[0].upper().rstrip(";")
        if word == "BEGIN" and self._in_transaction:
            raise duckdb.TransactionException("cannot start a transaction within a transaction")
        result = self._cursor.execute(sql, *arguments)
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._in_transaction = word == "BEGIN"
        return result


def wrap_fresh_cursor(execute: Function) -> Function:
    """Corrections 4 and 5. The cursor of a session may have temporary tables and stays as it is."""

    @functools.wraps(execute)
    def wrapper(cursor: Any, *arguments: Any, **named: Any) -> Any:
        given = inspect.signature(execute).bind(cursor, *arguments, **named).arguments
        is_fresh = given.get("session") is None
        return execute(_FreshCursor(cursor) if is_fresh else cursor, *arguments, **named)

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
    database.fetch = ask_one_project(database.fetch)
    query.execute = report_destination(wrap_fresh_cursor(query.execute))
    jobs.results = keep_results_empty(jobs.results)
    merge.run = accept_filter_in_on(merge.run)
    table_rules._check = skip_check_of_target(table_rules._check)
    tables.write = note_result(tables.write)
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
