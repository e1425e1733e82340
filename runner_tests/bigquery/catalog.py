"""Tables as the emulator has them, for the bytes rule and for INFORMATION_SCHEMA.PARTITIONS."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from runner_tests.bigquery.bytes_rule import FORMATS, NULL_PARTITION, Key, Partition, Table

OWN_PROJECT = "polytrades-proxy"
"""Our questions are jobs too; they run in a project of their own, so that no test sees them."""

FIXED = {
    "BOOL": 1,
    "BOOLEAN": 1,
    "NUMERIC": 16,
    "DECIMAL": 16,
    "INTERVAL": 16,
    "BIGNUMERIC": 32,
    "BIGDECIMAL": 32,
} | dict.fromkeys(("INTEGER", "INT64", "FLOAT", "FLOAT64", "TIMESTAMP", "DATE", "DATETIME", "TIME"), 8)


class EmulatorError(Exception):
    """The emulator refused a question of the proxy's own."""


def call(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """One request to the emulator on a connection of its own: status and JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else {}
    finally:
        connection.close()


class EmulatorCatalog:
    """Asks for a table once and remembers it until `forget`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tables: dict[Key, Table | None] = {}
        self._lock = threading.Lock()

    def table(self, key: Key) -> Table | None:
        """The table, or None where there is none."""
        with self._lock:
            if key in self._tables:
                return self._tables[key]
        found = self._ask(key)
        with self._lock:
            self._tables[key] = found
        return found

    def forget(self, keys: set[Key] | None = None) -> None:
        """Asks again for these tables, or for all, when they are next needed."""
        with self._lock:
            for key in list(self._tables) if keys is None else keys:
                self._tables.pop(key, None)

    def names(self, project: str, dataset: str) -> Iterator[str]:
        """The tables of a dataset that are no views."""
        path = f"/bigquery/v2/projects/{quote(project)}/datasets/{quote(dataset)}/tables"
        token = None
        while True:
            status, answer = call(self.url, "GET", f"{path}?pageToken={token}" if token else path)
            if status != 200:
                return
            for table in answer.get("tables") or ():
                if table.get("type") == "TABLE":
                    yield table["tableReference"]["tableId"]
            token = answer.get("nextPageToken")
            if not token:
                return

    def _ask(self, key: Key) -> Table | None:
        project, dataset, name = key
        if not dataset:
            return None
        path = f"/bigquery/v2/projects/{quote(project)}/datasets/{quote(dataset)}/tables/{quote(name)}"
        status, answer = call(self.url, "GET", path)
        if status != 200:
            return None
        fields = (answer.get("schema") or {}).get("fields") or []
        columns = tuple(column["name"].lower() for column in fields)
        if view := answer.get("view"):
            return Table(columns, view=view["query"])
        partitioning = answer.get("timePartitioning") or {}
        partition_column = (partitioning.get("field") or "").lower() or None
        granularity = partitioning.get("type") or "DAY"
        partitions = self._partitions(key, fields, partition_column, granularity)
        return Table(columns, partitions, partition_column, granularity)

    def _partitions(
        self, key: Key, fields: list[dict[str, Any]], partition_column: str | None, granularity: str
    ) -> dict[str, Partition]:
        identifier = "''"
        if partition_column:
            day = f"format_timestamp('{FORMATS[granularity]}', cast(`{partition_column}` as timestamp), 'UTC')"
            identifier = f"coalesce({day}, '{NULL_PARTITION}')"
        sizes = "".join(f", {_size(column)}" for column in fields)
        rows = self.query(f"select {identifier}, count(*){sizes} from `{'`.`'.join(key)}` group by 1 order by 1")
        found = {}
        for row in rows:
            name, count, *columns = row
            found[name] = Partition(
                int(count),
                {column["name"].lower(): int(size or 0) for column, size in zip(fields, columns, strict=True)},
            )
        return found

    def query(self, sql: str) -> list[list[Any]]:
        """The rows of a question of our own."""
        path = f"/bigquery/v2/projects/{OWN_PROJECT}/queries"
        body = {"query": sql, "useLegacySql": False, "timeoutMs": 600_000, "maxResults": 1_000_000}
        status, answer = call(self.url, "POST", path, body)
        if status != 200:
            raise EmulatorError(f"{answer}\n{sql}")
        return [[cell["v"] for cell in row["f"]] for row in answer.get("rows") or ()]


def _size(column: dict[str, Any]) -> str:
    """SQL for the bytes of a column, NULL counting nothing."""
    name, kind = f"`{column['name']}`", column["type"].upper()
    if column.get("mode") == "REPEATED" or kind in ("RECORD", "STRUCT", "GEOGRAPHY", "JSON"):
        return f"sum(if({name} is null, 0, 2 + byte_length(to_json_string({name}))))"
    if kind in FIXED:
        return f"count({name}) * {FIXED[kind]}"
    return f"sum(2 + byte_length({name}))"
