"""DuckDB: one file, one writer. Every call connects, works in one transaction and closes."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from runner import project
from runner.errors import Failed, HeldBack
from runner.warehouse.protocol import (
    Batch,
    Checkpoint,
    FollowedWallet,
    Rejection,
    Run,
    Totals,
)

_TYPES = {"timestamp": "timestamptz", "float64": "double", "string": "varchar"}
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_RUN_COLUMNS = (
    "run_id, command, started_at, finished_at, exit_code, wallets, wallets_failed, records_received, records_landed, "
    "records_rejected, fills_new, message"
)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class DuckDBWarehouse:
    """The file at `path`, created at the first write; waits `lock_wait_seconds` for another process to let go of it."""

    name = "duckdb"

    def __init__(self, path: Path, lock_wait_seconds: float) -> None:
        self.path = path
        self._lock_wait_seconds = lock_wait_seconds
        self._landing = _quoted(str(project.variables()["landing_schema"]))
        self._state = _quoted(str(project.variables()["state_schema"]))
        self._production = project.production_schema(default="main")
        self._marts = _quoted(self._production)
        self._intermediate = _quoted(project.layer_schema("intermediate", self._production))
        self._monitoring = project.layer_schema("monitoring", self._production)

    @contextmanager
    def _connected(self, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connect(read_only)
        try:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
        except duckdb.Error as error:
            raise Failed(f"DuckDB refused a statement on {self.path}: {error}") from error
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # how DuckDB hands on Ctrl-C
                raise KeyboardInterrupt from None
            raise
        finally:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._connected() as connection:
            connection.begin()
            yield connection
            connection.commit()

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not self.path.parent.is_dir():
            raise Failed(f"There is no folder {self.path.parent}. Create it, or set POLYTRADES_DUCKDB_PATH.")
        give_up_at = time.monotonic() + self._lock_wait_seconds
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only)
            except duckdb.IOException as error:
                holder = _HOLDER.search(str(error))
                if holder is None and "set lock on file" not in str(error):
                    raise Failed(
                        f"The DuckDB file {self.path} cannot be opened: {error}. Check that the folder is writable "
                        "and the file is a DuckDB file, or set POLYTRADES_DUCKDB_PATH."
                    ) from None
                if time.monotonic() >= give_up_at:
                    who = f": {holder['program']} (PID {holder['pid']})" if holder else ""
                    raise HeldBack(
                        f"The DuckDB file {self.path} is held by another process{who}. Wait for that process or end "
                        "it, then run the same command again; nothing is lost."
                    ) from None
                time.sleep(0.1)
            except duckdb.Error as error:
                raise Failed(f"The DuckDB file {self.path} cannot be opened: {error}") from None

    def prepare(self) -> None:
        """See Warehouse."""
        with self._transaction() as connection:
            present = self._columns(connection)
            for table in project.source_tables():
                address = f"{_quoted(table.schema)}.{_quoted(table.name)}"
                columns = {name: _TYPES.get(kind, kind) for name, kind in table.columns.items()}
                known = present.get((table.schema, table.name))
                if known is None:
                    definition = ", ".join(f"{_quoted(name)} {kind}" for name, kind in columns.items())
                    connection.execute(f"create schema if not exists {_quoted(table.schema)}")
                    connection.execute(f"create table {address} ({definition})")
                    continue
                for name, kind in columns.items():
                    if name not in known:
                        connection.execute(f"alter table {address} add column {_quoted(name)} {kind}")

    def followed_wallets(self) -> list[FollowedWallet]:
        """See Warehouse."""
        if not self._has_state("followed_wallets"):
            return []
        with self._connected() as connection:
            rows = connection.execute(
                f"select wallet_address, origin from {self._state}.followed_wallets "
                "where followed_until is null order by wallet_address"
            ).fetchall()
        return [FollowedWallet(*row) for row in rows]

    def change_followed_wallets(self, add: Iterable[FollowedWallet], remove: Iterable[str], at: datetime) -> None:
        """See Warehouse."""
        table = f"{self._state}.followed_wallets"
        with self._transaction() as connection:
            for wallet in remove:
                connection.execute(
                    f"update {table} set followed_until = ? where wallet_address = ? and followed_until is null",
                    [at, wallet],
                )
            rows = [(wallet.wallet_address, at, wallet.origin) for wallet in add]
            if rows:
                connection.execute(
                    f"delete from {table} where followed_until is not null and list_contains(?, wallet_address)",
                    [[row[0] for row in rows]],
                )
                connection.executemany(
                    f"insert into {table} (wallet_address, followed_from, origin) values (?, ?, ?)", rows
                )

    def checkpoints(self, source: str) -> dict[str, datetime]:
        """See Warehouse."""
        if not self._has_state("checkpoints"):
            return {}
        with self._connected() as connection:
            rows = connection.execute(
                "select wallet_address, arg_max(fetched_until, recorded_at) "
                f"from {self._state}.checkpoints where source = ? group by wallet_address",
                [source],
            ).fetchall()
        return dict(rows)

    def land(
        self,
        batch: Batch | None,
        rejections: Sequence[Rejection],
        checkpoints: Sequence[Checkpoint],
        run_id: str,
        at: datetime,
    ) -> bool:
        """See Warehouse."""
        with self._transaction() as connection:
            is_new = batch is not None and not self._has_landed(connection, batch)
            if batch is not None and is_new:
                names = ", ".join(project.source_table("landing", batch.landing_table).columns)
                connection.execute(
                    f"insert into {self._landing}.{_quoted(batch.landing_table)} ({names}) "
                    f"select {names} from read_parquet(?)",
                    [str(batch.file)],
                )
                connection.execute(
                    f"insert into {self._landing}.batches "
                    "(batch_id, landing_table, source, row_count, run_id, landed_at, landed_on) "
                    "values (?, ?, ?, ?, ?, ?, ?)",
                    [
                        batch.batch_id,
                        batch.landing_table,
                        batch.source,
                        batch.row_count,
                        run_id,
                        batch.landed_at,
                        batch.landed_at.date(),
                    ],
                )
            self._reject(connection, rejections, run_id, at)
            if checkpoints:
                connection.executemany(
                    f"insert into {self._state}.checkpoints "
                    "(source, wallet_address, fetched_until, run_id, recorded_at) values (?, ?, ?, ?, ?)",
                    [(row.source, row.wallet_address, row.fetched_until, run_id, at) for row in checkpoints],
                )
        return is_new

    def _has_landed(self, connection: duckdb.DuckDBPyConnection, batch: Batch) -> bool:
        found = connection.execute(
            f"select 1 from {self._landing}.batches where batch_id = ?",
            [batch.batch_id],
        )
        return found.fetchone() is not None

    def _reject(
        self, connection: duckdb.DuckDBPyConnection, rejections: Sequence[Rejection], run_id: str, at: datetime
    ) -> None:
        """Adds the rejections that are not there yet: the overlap sends the same bad record every night."""
        if not rejections:
            return
        incoming = pa.Table.from_pylist([asdict(row) for row in rejections])
        connection.register("incoming_rejections", incoming)
        connection.execute(
            f"insert into {self._landing}.rejected_records by name "
            "select distinct on (record_hash, reason) *, ? as run_id, ?::timestamptz as landed_at "
            "from incoming_rejections as incoming "
            f"where not exists (from {self._landing}.rejected_records as known "
            "where known.record_hash = incoming.record_hash and known.reason = incoming.reason)",
            [run_id, at],
        )
        connection.unregister("incoming_rejections")

    def conditions_to_fetch(self, seen: Iterable[str]) -> list[str]:
        """See Warehouse."""
        with self._connected() as connection:
            known = f"select condition_id from {self._landing}.markets"
            closed = "select null::varchar"
            if self._exists(connection, "markets"):
                known += f" union all select condition_id from {self._marts}.markets"
                closed = f"select condition_id from {self._marts}.markets where status = 'closed'"
            rows = connection.execute(
                f"select condition_id from {self._landing}.trades where condition_id is not null "
                f"and not exists (from ({known}) as known where known.condition_id = trades.condition_id) "
                "union "
                "select seen.condition_id from (select unnest(?) as condition_id) as seen "
                f"where not exists (from ({closed}) as closed(condition_id) where closed.condition_id = "
                "seen.condition_id) order by 1",
                [list(seen)],
            ).fetchall()
        return [row[0] for row in rows]

    def events_to_fetch(self) -> list[str]:
        """See Warehouse."""
        with self._connected() as connection:
            slugs = [
                "select coalesce(payload::json ->> '$.event_slug', payload::json ->> '$.events[0].slug') as event_slug "
                f"from {self._landing}.markets"
            ]
            known = [f"select event_slug from {self._landing}.events"]
            if self._exists(connection, "markets"):
                slugs.append(f"select event_slug from {self._marts}.markets")
            if self._exists(connection, "events"):
                known.append(f"select event_slug from {self._marts}.events")
            rows = connection.execute(
                f"select distinct event_slug from ({' union all '.join(slugs)}) as slugs "
                f"where event_slug is not null and not exists (from ({' union all '.join(known)}) as known "
                "where known.event_slug = slugs.event_slug) order by event_slug"
            ).fetchall()
        return [row[0] for row in rows]

    def record_run(self, run: Run, at: datetime) -> None:
        """See Warehouse."""
        with self._transaction() as connection:
            connection.execute(
                f"insert into {self._state}.runs ({_RUN_COLUMNS}, status, recorded_at) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    run.run_id,
                    run.command,
                    run.started_at,
                    run.finished_at,
                    run.exit_code,
                    run.wallets,
                    run.wallets_failed,
                    run.records_received,
                    run.records_landed,
                    run.records_rejected,
                    run.fills_new,
                    run.message,
                    "finished" if run.finished_at else "running",
                    at,
                ],
            )

    def new_fills(self) -> int:
        """See Warehouse."""
        with self._connected() as connection:
            (count,) = _one(connection)(
                f"select count(*) from {self._intermediate}.int_trades_deduplicated "
                "where is_new and key_quality <> 'retired'"
            )
        return int(count)

    def totals(self) -> Totals:
        """See Warehouse."""
        if not self.path.exists():
            return Totals()
        with self._connected(read_only=True) as connection:
            present = self._columns(connection)
            if (project.variables()["state_schema"], "runs") not in present:
                return Totals()
            totals = Totals()
            one = _one(connection)
            if self._exists(connection, "trades"):
                totals.fills, totals.latest_fill_at, totals.wallets_with_fills = one(
                    f"select count(*), max(timestamp), count(distinct wallet_address) from {self._marts}.trades"
                )
            for mart in ("markets", "events"):
                if self._exists(connection, mart):
                    setattr(totals, mart, one(f"select count(*) from {self._marts}.{mart}")[0])
            if self._exists(connection, "trade_collisions"):
                totals.collisions = one(
                    f"select count(*) from {self._marts}.trade_collisions where key_quality <> 'collapsed'"
                )[0]
            if (self._monitoring, "mon_duplicate_keys") in present:
                monitoring = _quoted(self._monitoring)
                totals.duplicate_keys = one(f"select count(*) from {monitoring}.mon_duplicate_keys")[0]
            totals.wallets_followed = one(
                f"select count(*) from {self._state}.followed_wallets where followed_until is null"
            )[0]
            totals.pending_batches, totals.pending_rows = one(
                f"select count(*), coalesce(sum(row_count), 0)::bigint from {self._landing}.batches "
                f"where landing_table = 'trades' and batch_id not in "
                f"(select batch_id from {self._state}.merged_batches where mart = 'trades')"
            )
            totals.rejected_by_reason = dict(
                connection.execute(
                    f"select reason, count(*) from {self._landing}.rejected_records group by reason order by 2 desc, 1"
                ).fetchall()
            )
            totals.rejected_records = sum(totals.rejected_by_reason.values())
            totals.lost_marts = [
                mart
                for (mart,) in connection.execute(
                    f"select distinct mart from {self._state}.merged_batches order by mart"
                ).fetchall()
                if not self._exists(connection, mart)
            ]
            totals.last_runs = [
                Run(*row)
                for row in connection.execute(
                    f"select {_RUN_COLUMNS} from {self._state}.runs "
                    "qualify row_number() over (partition by run_id order by recorded_at desc, finished_at is null) "
                    "= 1 order by started_at desc limit 50"
                ).fetchall()
            ]
        return totals

    def _columns(self, connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], set[str]]:
        """(schema, table) → names of its columns."""
        columns: dict[tuple[str, str], set[str]] = {}
        for schema, table, column in connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where table_catalog = current_database()"
        ).fetchall():
            columns.setdefault((schema, table), set()).add(column)
        return columns

    def _has_state(self, table: str) -> bool:
        """False before the first run, which makes the file and its tables; asking makes neither."""
        if not self.path.exists():
            return False
        with self._connected() as connection:
            return (project.variables()["state_schema"], table) in self._columns(connection)

    def _exists(self, connection: duckdb.DuckDBPyConnection, mart: str) -> bool:
        return (self._production, mart) in self._columns(connection)


def _one(connection: duckdb.DuckDBPyConnection) -> Any:
    """Runs a query that gives one row."""

    def run(query: str) -> tuple[Any, ...]:
        row = connection.execute(query).fetchone()
        if row is None:
            raise Failed(f"A query gave no row: {query}")
        return row

    return run
