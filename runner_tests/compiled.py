"""The project's own SQL without dbt around it: compiled and run by dbt once, then replayed.

A build through dbt takes seconds; a replay on DuckDB in memory takes a fraction of one, so properties can be tried on
many examples; on BigQuery it takes less than a build. What is replayed is the text that dbt sent, with one change: days
that were literals of that build become `true`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import duckdb

from runner_tests.support import ONLY_FILLS, Home, order

BEFORE_THE_MERGE = (
    "pending_batches",
    "int_trades_completions",
    "int_trades_batched",
    "int_trades_stored",
    "int_trades_folded",
    "int_trades_versions",
    "int_trades_deduplicated",
    "int_trade_collisions",
)
MERGES = ("trade_collisions", "trades", "traders", "awaiting_metadata")
LANDED_AT = datetime(2026, 1, 27, tzinfo=UTC)

_DAY_WINDOW = re.compile(r"\(\w+\.timestamp >= timestamp(?:tz)? '[^']+' and \w+\.timestamp < timestamp(?:tz)? '[^)]+\)")
# On DuckDB the batch is a table, on BigQuery a query of one.
_BATCH = re.compile(r"from\s+(?:\(\s*select\s+\*\s+from\s+)?(\S+)(?:\s*\))?\s+as batch")
_PENDING_DAYS = re.compile(r"landed_on in \([^)]*\)")


@dataclass(frozen=True)
class Record:
    """A row of landing.trades; what is not given is NULL or an ordinary value."""

    wallet_address: str = "0x" + "a" * 40
    tx_hash: str = "0x" + "1" * 64
    order_hash: str | None = "0x" + "2" * 64
    record_id: str | None = None
    traded_at: datetime = datetime(2026, 1, 26, 12, tzinfo=UTC)
    side: str = "BUY"
    token_id: str = "1"
    price: float = 0.5
    shares_normalized: float = 2.0
    shares_raw: int | None = 2_000_000
    usdc_raw: int | None = None
    condition_id: str | None = None
    token_label: str | None = None
    taker: str | None = None
    market_slug: str | None = None
    title: str | None = None
    log_index: int | None = None
    block_number: int | None = None
    contract_address: str | None = None
    upstream_version: int | None = None
    is_removed: bool | None = None
    fee_raw: int | None = None
    fee_unit: str | None = None
    extra_fields: str | None = None
    source: str = "dome"

    def landed(self, batch: str) -> dict[str, Any]:
        """The row as part of a batch."""
        return {**self.__dict__, "batch_id": batch, "landed_at": LANDED_AT, "landed_on": LANDED_AT.date()}


class Warehouse(Protocol):
    """Where statements are replayed: with a home's schemas and tables as dbt built them."""

    def send(self, statement: str) -> int:
        """Runs what dbt has written; gives the number of rows that it wrote."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Runs what a test has written, in DuckDB's words; gives the rows."""

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows to a table."""


class InMemory:
    """A copy of a home's DuckDB file."""

    def __init__(self, home: Home) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("set TimeZone = 'UTC'; set threads = 1")
        self._connection.execute(f"attach '{home.duckdb_file}' as built (read_only); attach ':memory:' as polytrades")
        self._connection.execute("copy from database built to polytrades; detach built; use polytrades")

    def send(self, statement: str) -> int:
        """See Warehouse."""
        found = self._connection.execute(statement).fetchall()
        return int(found[0][0]) if found and isinstance(found[0][0], int) else 0

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """See Warehouse."""
        result = self._connection.execute(sql, list(parameters))
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """See Warehouse."""
        marks = ", ".join("?" * len(rows[0]))
        values = [tuple(row.values()) for row in rows]
        self._connection.executemany(f"insert into {table} ({', '.join(rows[0])}) values ({marks})", values)


class InProject:
    """A home's own project of the BigQuery emulator."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def send(self, statement: str) -> int:
        """See Warehouse."""
        return int(self._home.bigquery.query_and_wait(statement).num_dml_affected_rows or 0)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """See Warehouse."""
        return [dict(row.items()) for row in self._home.bigquery_rows(sql, list(parameters))]

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """See Warehouse."""
        texts = [
            {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
            for row in rows
        ]
        address = f"{self._home.project}.polytrades_{table}"
        self._home.bigquery.load_table_from_json(texts, address).result()


class Compiled:
    """The statements of one build, and a warehouse to replay them in."""

    def __init__(self, home: Home) -> None:
        manifest = json.loads((home.target_path / "manifest.json").read_text())
        nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
        self._selects = {name: self._text(home, "compiled", nodes[name]) for name in (*BEFORE_THE_MERGE, *MERGES)}
        self._merges = {name: self._text(home, "run", nodes[name]) for name in MERGES}
        for merge in self._merges.values():
            assert not re.search(r"^ *false$", merge, re.MULTILINE), "the build had no rows for this merge: no window"
        self._settlement = self._split_settlement(home)
        self._relations = {
            name: f"{nodes[name]['config']['materialized']} {nodes[name]['relation_name']}" for name in BEFORE_THE_MERGE
        }
        self._is_duckdb = home.target == "duckdb"
        warehouse: Warehouse = InMemory(home) if self._is_duckdb else InProject(home)
        self.query, self._send, self._insert = warehouse.query, warehouse.send, warehouse.insert
        # The statements look whether their build still has the lease.
        holder = re.search(r"lease\.run_id from .*? = '([^']+)'", self._merges["trades"])
        assert holder is not None
        self.query("update state.lease set run_id = ?", [holder[1]])

    def _split_settlement(self, home: Home) -> list[str]:
        """What dbt sent beside the merge of `trades`: on DuckDB a hook, on BigQuery the rest of one script."""
        if home.target == "duckdb":
            return [self._hook(home, 'delete from "polytrades"."main"."trade_collisions"')]
        script = self._merges["trades"]
        assert "begin transaction;" in script, "the build had nothing to settle"
        script = script[script.index("begin transaction;") :]
        _, self._merges["trades"], *settlement, _ = script.split(";")
        return settlement

    @staticmethod
    def _hook(home: Home, beginning: str) -> str:
        """The last statement with this beginning that dbt sent: hooks stand in its log alone."""
        log = (home.folder / "logs" / "dbt.log").read_text()
        statement = log[log.rindex(beginning) :]
        statement = re.split(r"^\S*\d\d:\d\d:\d\d\.\d+ \[", statement, maxsplit=1, flags=re.MULTILINE)[0]
        return _DAY_WINDOW.sub("true", statement)

    @staticmethod
    def _text(home: Home, kind: str, node: dict[str, Any]) -> str:
        text = (home.target_path / kind / "polytrades" / node["original_file_path"]).read_text()
        return _DAY_WINDOW.sub("true", _PENDING_DAYS.sub("true", text))

    def empty(self) -> None:
        """A warehouse in which nothing has happened."""
        for table in ("landing.trades", "landing.batches", "state.merged_batches", "markets", *MERGES):
            self.query(f"delete from {table}")

    def land(self, records: Iterable[Record]) -> None:
        """Lands a batch."""
        [count] = self.query("select count(*) as batches from landing.batches")
        batch = f"batch-{count['batches']}"
        rows = [record.landed(batch) for record in records]
        if rows:
            self._insert("landing.trades", rows)
        listed = {"batch_id": batch, "landing_table": "trades", "source": "dome", "row_count": len(rows)}
        listed |= {"run_id": "run", "landed_at": LANDED_AT, "landed_on": LANDED_AT.date()}
        self._insert("landing.batches", [listed])

    def know_market(self, condition_id: str, yes_token: str, no_token: str, title: str) -> None:
        """A market as an earlier build left it in `markets`."""
        market = {"condition_id": condition_id, "title": title, "market_slug": title.lower(), "status": "open"}
        sides = {"side_a_id": yes_token, "side_a_label": "Yes", "side_b_id": no_token, "side_b_label": "No"}
        columns = {**market, **sides, "as_of": LANDED_AT, "source": "gamma", "content_hash": "", "row_version": ""}
        marks = ", ".join("?" * len(columns))
        self.query(f"insert into markets ({', '.join(columns)}) values ({marks})", list(columns.values()))

    def build(self, marts: Sequence[str] = MERGES) -> dict[str, int]:
        """Builds what is pending; gives the number of rows that each merge wrote."""
        for name in BEFORE_THE_MERGE:
            self._send(f"create or replace {self._relations[name]} as ({self._selects[name]})")
        return {mart: self.merge(mart) for mart in marts}

    def merge(self, mart: str) -> int:
        """One mart's merge and its entry in the ledger; gives the number of rows written."""
        merge = self._merges[mart]
        batch = _BATCH.search(merge)
        assert batch is not None, merge
        temporary = "temp " if self._is_duckdb else ""
        self._send(f"create or replace {temporary}table {batch[1]} as ({self._selects[mart]})")
        written = self._send(merge)
        if mart == "trades":
            for statement in self._settlement:
                self._send(statement)
        self.query(
            "insert into state.merged_batches select batch_id, mart, now(), 'replay' "
            "from intermediate.pending_batches where mart = ?",
            [mart],
        )
        return written

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows, in one order."""
        return sorted(
            self.query(f"select * from {table}"), key=lambda row: [(value is None, value) for value in row.values()]
        )

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """What a reader can see of the fills."""
        return {mart: self.rows(mart) for mart in MERGES}


def compile_project(home: Home, policy: str) -> Compiled:
    """Builds with dbt, the last time on a batch with rows for every merge: each then has its window of days."""
    arguments = ["--vars", json.dumps({"missing_order_hash": policy})]
    home.land(order(tx_hash=f"0x{5:064x}", title=None))
    home.dbt("build", "--exclude", "test_type:unit", "test_type:data", *arguments)
    # Something waits for its market now, so that what completes it is compiled too.
    home.land(order(), order(shares=1_000_000, shares_normalized=1))
    home.dbt("run", *ONLY_FILLS, *arguments)
    return Compiled(home)
