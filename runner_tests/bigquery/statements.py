"""What `test_statements.py` asks of the jobs that were sent: who sent them, whether they are valid, what they lack."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from runner import project
from runner.warehouse.jobs import APP
from runner_tests.bigquery import bytes_rule
from runner_tests.bigquery.googlesql import Analyzer, Columns
from runner_tests.bigquery.information_schema import VIEWS
from runner_tests.bigquery.proxy import Job
from runner_tests.bigquery.public_table import COLUMNS, public_table
from runner_tests.bigquery.running import ROOT

PARTITION_COLUMNS = {"timestamp", "landed_on", "billed_on", "asked_on"}
"""Of `trades` and `trade_collisions`, of landing, of `job_costs` and `metadata_asked`. The lint goes by the name."""

LABELS = {"app", "command", "run_id", "model", "kind"}
OF_DUCKDB = {ROOT / "runner" / "warehouse" / name for name in ("duckdb.py", "duckdb_work.py")}

SYSTEM_TABLES: dict[str, Columns] = {
    "polytrades.__TABLES__": {"table_id": "STRING", "row_count": "INT64", "size_bytes": "INT64"},
    "polytrades.INFORMATION_SCHEMA.PARTITIONS": VIEWS["PARTITIONS"],
    "region-us.INFORMATION_SCHEMA.JOBS": VIEWS["JOBS"],
}
"""What every project has on BigQuery, by its documentation."""


OLD_TABLE: dict[str, Columns] = {
    "old.trades_staging": {
        "id": "STRING",
        "condition_id": "STRING",
        "wallet_address": "STRING",
        "timestamp": "TIMESTAMP",
        "side": "STRING",
        "price": "FLOAT64",
        "shares_normalized": "FLOAT64",
        "token_label": "STRING",
        "token_id": "STRING",
        "tx_hash": "STRING",
    }
}
"""What is migrated in the history: made unheard."""


# Who sends what.


@dataclass(frozen=True)
class Wanted:
    """Something that must have been sent, and how to know it."""

    name: str
    is_it: Callable[[Job], bool]

    def is_in(self, jobs: Iterable[Job]) -> bool:
        """Whether one of the jobs is it."""
        return any(map(self.is_it, jobs))


def nodes_of_manifest(manifest: Mapping[str, Any]) -> list[Wanted]:
    """Each node by its labels; each form of what is merged; the hooks by what they do."""
    found = [
        _labelled(node["resource_type"], node["name"])
        for node in [*manifest["nodes"].values(), *manifest["unit_tests"].values()]
        if node["package_name"] == "polytrades"
        and node["resource_type"] not in ("operation", "analysis")
        and node["config"].get("materialized") != "ephemeral"
    ]
    # The runner sends what dbt has compiled; where rows are at hand there is nothing to fetch.
    analyses = [node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "analysis"]
    found += [_labelled("runner", name) for name in analyses if name != "migration_rows"]
    for node in filter(_is_merged, manifest["nodes"].values()):
        name = node["name"]
        found += [
            Wanted(f"{name}, first form", _forms(name, rf"create or replace table \S+`{name}`")),
            Wanted(f"{name}, merged into", _forms(name, rf"merge into \S+`{name}`")),
        ]
        if node["resource_type"] != "snapshot":
            found += [
                Wanted(f"{name}, nothing to merge", _forms(name, rf"merge into \S+`{name}`.*where false\b")),
                Wanted(f"{name}, a view", _forms(name, rf"create or replace view \S+`{name}`")),
            ]
        if node["config"]["meta"].get("merge", {}).get("day_of"):
            found.append(Wanted(f"{name}, no day", _forms(name, rf"merge into \S+`{name}`.*\bon\s+false\b")))
    found.append(Wanted("on-run-start", _forms("hook", r"create table if not exists")))
    found.append(Wanted("on-run-end", _forms("hook", r"update \S+`lease`\s+set run_id = null")))
    found.append(
        Wanted("MERGE trades and settle", _forms("trades", r"begin transaction;.*merge into.*delete from.*update"))
    )
    return found


def _is_merged(node: Mapping[str, Any]) -> bool:
    """By its meta: in the last build of the history the materialization of a mart was a view."""
    return node["resource_type"] == "snapshot" or "merge" in (node["config"].get("meta") or {})


def _labelled(kind: str, name: str) -> Wanted:
    label = name[:63].lower()
    return Wanted(f"{kind} {name}", lambda job: job.labels.get("kind") == kind and job.labels.get("model") == label)


def _forms(model: str, pattern: str) -> Callable[[Job], bool]:
    regular = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda job: job.labels.get("model") == model and regular.search(job.statement) is not None


def names_in_runner() -> list[Wanted]:
    """Each name that the runner's source gives to a statement. One that is not written there as it is fails."""
    names: set[str] = set()
    for file in sorted((ROOT / "runner").rglob("*.py")):
        if file not in OF_DUCKDB:
            names |= set(names_in_source(ast.parse(file.read_text()), str(file)))
    assert names, "no statement was found in the runner's source"
    return [_labelled("runner", name) for name in sorted(names)]


def names_in_source(tree: ast.AST, place: str) -> Iterator[str]:
    """The same for one file; `place` is its name in messages."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        parameters = {argument.arg for argument in function.args.args}
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not _sends(call.func):
                continue
            assert call.args, f"{place}:{call.lineno}: a statement without a name"
            name = call.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value
            else:
                passed_on = isinstance(name, ast.Name) and name.id in parameters
                assert passed_on, f"{place}:{call.lineno}: the name of a statement must stand there as it is"


def _sends(called: ast.expr) -> bool:
    """`self._query`, `self.jobs.query`, `warehouse.jobs.dry_run`, `self._labels`; not Google's `client.query`."""
    if not isinstance(called, ast.Attribute):
        return False
    if called.attr in ("query", "dry_run"):
        return isinstance(called.value, ast.Attribute | ast.Name) and ast.unparse(called.value).endswith("jobs")
    return called.attr in ("_query", "_execute", "_insert", "_one", "_labels") and isinstance(called.value, ast.Name)


# Whether it is valid.


class Analysis:
    """Statements in the order in which they were sent: a table that one creates is known to the next."""

    def __init__(self, project_ids: Iterable[str], not_analysed: Mapping[str, str]) -> None:
        schemas = project.schemas("bigquery")
        self._declared: dict[str, Columns] = {}
        for project_id in project_ids:
            for table in project.source_tables():
                schema = schemas.landing if table.source == "landing" else schemas.state
                self._declared[f"{project_id}.{schema}.{table.name}"] = table.columns
            for mart in ("trades", "trade_collisions", "markets", "events", "traders", "awaiting_metadata"):
                self._declared[f"{project_id}.{schemas.production}.{mart}"] = project.mart_columns(mart)
        there = SYSTEM_TABLES | OLD_TABLE
        system = {f"{each}.{name}": columns for each in project_ids for name, columns in there.items()}
        public = {public_table(): {name: kind.upper() for name, kind in COLUMNS.items()}}
        self._analyzer = Analyzer(self._declared | system | public)
        self._not_analysed = not_analysed
        self.unused = set(not_analysed)
        self._known: dict[str, str | None] = {}

    def refused(self, job: Job) -> str | None:
        """What is wrong with a job's statement, with the statement; None if nothing is, or if it is a load."""
        if job.type != "QUERY":
            return None
        for pattern in self._not_analysed:
            if re.search(pattern, job.statement, re.DOTALL):
                self.unused.discard(pattern)
                return None
        parameters = {
            parameter["name"]: _type(parameter["parameterType"])
            for parameter in job.configuration["query"].get("queryParameters") or ()
        }
        error = self.error(job.statement, parameters)
        return f"{job.labels.get('kind')} {job.labels.get('model')}: {error}\n{job.statement}" if error else None

    def error(self, sql: str, parameters: Columns | None = None) -> str | None:
        """What is wrong with a statement. The types of what it creates must be those that are declared."""
        if sql not in self._known:
            self._known[sql] = self._analyzer.error(sql, parameters) or self._undeclared()
        return self._known[sql]

    def _undeclared(self) -> str | None:
        for name, columns in self._declared.items():
            found, wanted = _spelt_alike(self._analyzer.tables[name]), _spelt_alike(columns)
            if found != wanted:
                self._analyzer.add(name, columns)
                return f"{name} is created as {found}, and declared as {wanted}"
        return None


def _spelt_alike(columns: Columns) -> dict[str, str]:
    aliases = {"BIGINT": "INT64", "BOOLEAN": "BOOL"}
    return {name: aliases.get(kind.upper(), kind.upper()) for name, kind in columns.items()}


def _type(found: Mapping[str, Any]) -> str:
    """The type of a parameter, as the REST API says it, in SQL."""
    if found["type"] == "ARRAY":
        return f"ARRAY<{_type(found['arrayType'])}>"
    if found["type"] == "STRUCT":
        fields = [f"{each['name']} {_type(each['type'])}" for each in found["structTypes"]]
        return f"STRUCT<{', '.join(fields)}>"
    return str(found["type"])


# What it lacks.


def wrapped_partition_columns(sql: str) -> list[str]:
    """Comparisons that hide a partition column in a function, a cast or a sum: no partition is left out by them."""
    return [
        predicate.sql("bigquery")
        for statement in bytes_rule.parse(sql)
        for condition in _conditions(statement)
        for column in condition.find_all(exp.Column)
        if column.name.lower() in PARTITION_COLUMNS
        if (predicate := _hiding(column, condition)) is not None
    ]


def _conditions(statement: exp.Expr) -> Iterator[exp.Expr]:
    """WHERE, HAVING, QUALIFY, and the ON and WHEN of joins and merges."""
    for node in statement.find_all(exp.Where, exp.Having, exp.Qualify):
        yield node.this
    for node in statement.find_all(exp.Join, exp.Merge):
        if node.args.get("on") is not None:
            yield node.args["on"]
    for node in statement.find_all(exp.When):
        if node.args.get("condition") is not None:
            yield node.args["condition"]


def _hiding(column: exp.Column, condition: exp.Expr) -> exp.Expr | None:
    """The comparison in which the column does not stand bare; None if it does, or is compared with nothing here."""
    is_bare = True
    node: exp.Expr = column
    while node is not condition and node.parent is not None:
        node = node.parent
        if isinstance(node, exp.Query | exp.Subquery | exp.Connector):
            return None
        if isinstance(node, exp.Predicate):
            return None if is_bare else node
        is_bare = is_bare and isinstance(node, exp.Paren | exp.Tuple)
    return None


_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
"""What BigQuery takes as the value of a label; the emulator takes anything."""


def unlabelled(jobs: Iterable[Job]) -> list[str]:
    """Jobs that the bill could not tell from others', and queries that could cost anything."""
    found = []
    for job in jobs:
        lacking = sorted(LABELS - {name for name, value in job.labels.items() if _LABEL.fullmatch(value)})
        if job.labels.get("app") != APP or lacking or (job.type == "QUERY" and not job.maximum_bytes_billed):
            found.append(f"{job.type} {job.labels} limit {job.maximum_bytes_billed}: {job.statement}")
    return found
