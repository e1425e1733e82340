"""The project's own SQL without dbt around it: compiled and run by dbt once, then replayed on DuckDB in memory.

A build through dbt takes seconds; a replay takes a fraction of one, so properties can be tried on many examples. What
is replayed is the text that dbt sent, with one change: days that were literals of that build become `true`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from runner_tests.support import Home

TABLES = (
    "pending_batches",
    "int_trades_batched",
    "int_trades_stored",
    "int_trades_folded",
    "int_trades_versions",
    "int_trades_deduplicated",
    "int_trade_collisions",
)
MERGES = ("trade_collisions", "trades", "traders")
LANDED_AT = datetime(2026, 1, 27, tzinfo=UTC)

_DAY_WINDOW = re.compile(r"\(\w+\.timestamp >= timestamptz '[^']+' and \w+\.timestamp < timestamptz '[^)]+\)")
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
    extra_fields: str | None = None
    source: str = "dome"

    def values(self) -> tuple[Any, ...]:
        """In the order of the table's columns, without those that the batch gives."""
        return tuple(self.__dict__.values())


class Compiled:
    """The statements of one build, and a warehouse in memory to replay them in."""

    def __init__(self, home: Home) -> None:
        manifest = json.loads((home.target_path / "manifest.json").read_text())
        nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
        self._selects = {name: self._text(home, "compiled", nodes[name]) for name in (*TABLES, *MERGES)}
        self._merges = {name: self._text(home, "run", nodes[name]) for name in MERGES}
        for merge in self._merges.values():
            assert not re.search(r"^ *false$", merge, re.MULTILINE), "the build had no rows for this merge: no window"
        self._settle = self._hook(home, 'delete from "polytrades"."main"."trade_collisions"')
        self._relations = {name: nodes[name]["relation_name"] for name in TABLES}
        self._ledger = manifest["sources"]["source.polytrades.state.merged_batches"]["relation_name"]
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'; set threads = 1")
        self.connection.execute(f"attach '{home.duckdb_file}' as built (read_only)")
        self.connection.execute("attach ':memory:' as polytrades; copy from database built to polytrades; detach built")
        self.connection.execute("use polytrades")
        # The statements look whether their build still has the lease.
        holder = re.search(r"lease\.run_id from .*? = '([^']+)'", self._merges["trades"])
        assert holder is not None
        self.connection.execute("update state.lease set run_id = ?", [holder[1]])

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
        for table in ("landing.trades", "landing.batches", "state.merged_batches", *MERGES):
            self.connection.execute(f"delete from {table}")

    def land(self, records: Iterable[Record]) -> None:
        """Lands a batch."""
        count = self.connection.execute("select count(*) from landing.batches").fetchall()[0][0]
        batch = f"batch-{count}"
        rows = [(*record.values(), batch, LANDED_AT, LANDED_AT.date()) for record in records]
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self.connection.executemany(f"insert into landing.trades values ({marks})", rows)
        self.connection.execute(
            "insert into landing.batches values (?, 'trades', 'dome', ?, 'run', ?, ?)",
            [batch, len(rows), LANDED_AT, LANDED_AT.date()],
        )

    def build(self, marts: Sequence[str] = MERGES) -> dict[str, int]:
        """Builds what is pending; gives the number of rows that each merge wrote."""
        for name in TABLES:
            self.connection.execute(f"create or replace table {self._relations[name]} as ({self._selects[name]})")
        return {mart: self.merge(mart) for mart in marts}

    def merge(self, mart: str) -> int:
        """One mart's merge and its entry in the ledger; gives the number of rows written."""
        merge = self._merges[mart]
        source = re.search(r"from (\S+) as batch", merge)
        assert source is not None, merge
        self.connection.execute(f"create or replace temp table {source[1]} as ({self._selects[mart]})")
        written = self.connection.execute(merge).fetchall()
        if mart == "trades":
            self.connection.execute(self._settle)
        self.connection.execute(
            f"insert into {self._ledger} select batch_id, mart, now(), 'replay' from intermediate.pending_batches "
            "where mart = ?",
            [mart],
        )
        return int(written[0][0])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows, in one order."""
        result = self.connection.execute(f"select * from {table} order by all")
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """What a reader can see of the fills."""
        return {mart: self.rows(mart) for mart in MERGES}


def compile_project(home: Home, policy: str) -> Compiled:
    """Builds twice with dbt, the second time on a batch with rows for every merge: each then has its window of days."""
    arguments = ["--vars", json.dumps({"missing_order_hash": policy})]
    home.dbt("build", "--exclude", "test_type:unit", *arguments)
    with duckdb.connect(str(home.duckdb_file)) as connection:
        for record in (Record(), Record(shares_raw=1)):
            values = (*record.values(), "seed", LANDED_AT, LANDED_AT.date())
            connection.execute(f"insert into landing.trades values ({', '.join('?' * len(values))})", values)
        connection.execute(
            "insert into landing.batches values ('seed', 'trades', 'dome', 2, 'run', ?, ?)",
            [LANDED_AT, LANDED_AT.date()],
        )
    home.dbt("run", *arguments)
    return Compiled(home)
