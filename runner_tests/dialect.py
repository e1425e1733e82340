"""The SQL of tests, written once in DuckDB's words, as BigQuery says it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlglot
from google.cloud import bigquery
from sqlglot import exp

from runner import project

_TYPES = {str: "STRING", bool: "BOOL", int: "INT64", float: "FLOAT64", datetime: "TIMESTAMP", date: "DATE"}


def for_bigquery(sql: str) -> str:
    """A statement for BigQuery: its dialect, its names of our schemas, and the WHERE that it wants on every change."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    there, here = project.schemas("bigquery").__dict__, project.schemas("duckdb").__dict__
    schemas = {here[name]: schema for name, schema in there.items()} | {"": there["production"]}
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        # A function (`unnest`) and a CTE stand where tables do.
        if table.db or (isinstance(table.this, exp.Identifier) and table.name not in ctes):
            table.set("db", exp.to_identifier(schemas.get(table.db, table.db)))
    if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
        tree = tree.where("true")
    return tree.sql(dialect="bigquery")


def parameters_for_bigquery(values: list[Any]) -> bigquery.QueryJobConfig:
    """Values for the question marks of a statement."""
    return bigquery.QueryJobConfig(
        query_parameters=[bigquery.ScalarQueryParameter(None, _TYPES[type(value)], value) for value in values]
    )
