"""INFORMATION_SCHEMA views that the emulator lacks or fills differently, written into the statement as literals.

`JOBS`, `JOBS_BY_PROJECT`, `JOBS_BY_USER` come from the proxy's record of jobs, `PARTITIONS` from the bytes rule's
catalog. The rest of the statement stays as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

VIEWS = {
    "JOBS": {
        "creation_time": "timestamp",
        "start_time": "timestamp",
        "end_time": "timestamp",
        "project_id": "string",
        "user_email": "string",
        "job_id": "string",
        "parent_job_id": "string",
        "job_type": "string",
        "statement_type": "string",
        "state": "string",
        "query": "string",
        "labels": "array<struct<key string, value string>>",
        "total_bytes_processed": "int64",
        "total_bytes_billed": "int64",
        "total_slot_ms": "int64",
        "cache_hit": "bool",
        "error_result": "struct<reason string, message string>",
    },
    "PARTITIONS": {
        "table_catalog": "string",
        "table_schema": "string",
        "table_name": "string",
        "partition_id": "string",
        "total_rows": "int64",
        "total_logical_bytes": "int64",
    },
}

Rows = Callable[[str, list[str]], list[dict[str, Any]]]
"""Gives the rows of a view: its name, and what stands before INFORMATION_SCHEMA."""

TOKENS = re.compile(
    r"""
    (?P<skip> --[^\n]* | \#[^\n]* | /\*.*?\*/
        | [rRbB]{0,2}(?: '''(?:\\.|[^\\])*?''' | \"\"\"(?:\\.|[^\\])*?\"\"\" | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*"))
    | (?P<name> (?:`[^`]+`|[A-Za-z_][\w-]*) (?:\s*\.\s*(?:`[^`]+`|[A-Za-z_][\w-]*))* )
    """,
    re.VERBOSE | re.DOTALL,
)
NO_ALIAS = re.compile(
    r"""\s*(?:$|[),;]|(?:where|join|inner|left|right|full|cross|group|order|limit|having|qualify|union|except|intersect
    |window|on|using|tablesample|pivot|unpivot|for|when)\b)""",
    re.VERBOSE | re.IGNORECASE,
)


def rewritten(sql: str, rows: Rows) -> str:
    """The statement with each of our views replaced by its rows."""
    if "information_schema" not in sql.lower():
        return sql

    def replace(match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        parts = re.sub(r"[`\s]", "", match["name"]).split(".")
        upper = [part.upper() for part in parts]
        if len(parts) < 2 or upper[-2] != "INFORMATION_SCHEMA":
            return match[0]
        view = "JOBS" if upper[-1] in ("JOBS", "JOBS_BY_PROJECT", "JOBS_BY_USER") else upper[-1]
        if view not in VIEWS:
            return match[0]
        alias = f" as {parts[-1]}" if NO_ALIAS.match(sql, match.end()) else ""
        return f"{_table(VIEWS[view], rows(view, parts[:-2]))}{alias}"

    return TOKENS.sub(replace, sql)


def _table(columns: dict[str, str], rows: list[dict[str, Any]]) -> str:
    kinds = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    values = ",\n".join(f"({', '.join(literal(row[name]) for name in columns)})" for row in rows)
    return f"(select * from unnest(array<struct<{kinds}>>[{values}]))"


def literal(value: Any) -> str:
    """A value in GoogleSQL. A dictionary is a struct, by position."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamp '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"({', '.join(map(literal, value.values()))})"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
