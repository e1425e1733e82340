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
"""

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from local_bigquery import cli
from local_bigquery.api import jobs
from local_bigquery.catalog import metadata, names
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


def end_with_stdin() -> None:
    """Ends this process as soon as nobody holds the other side of its stdin."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Corrects and serves."""
    query.execute = report_destination(query.execute)
    jobs.results = keep_results_empty(jobs.results)
    merge.run = accept_filter_in_on(merge.run)
    table_rules._check = skip_check_of_target(table_rules._check)
    information_schema.VIEWS["PARTITIONS"] = add_logical_bytes(information_schema.partitions)
    arguments = sys.argv[1:]
    if "--until-stdin-closes" in arguments:
        arguments.remove("--until-stdin-closes")
        end_with_stdin()
    cli.main(arguments)


if __name__ == "__main__":
    main()
