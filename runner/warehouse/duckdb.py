"""DuckDB: one file, one writer. Every call connects, works and closes; what belongs together is one transaction."""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from runner import log, project
from runner.errors import Failed, HeldBack
from runner.settings import Settings
from runner.warehouse import duckdb_torn
from runner.warehouse.arrow import TYPES
from runner.warehouse.duckdb_work import DuckDBWork
from runner.warehouse.protocol import Batch, Holder
from runner.warehouse.sql import SqlWarehouse

_TYPES = {"timestamp": "timestamptz", "float64": "double", "string": "varchar"}
_WRITTEN_OUT = {"timestamp with time zone": "timestamptz"}
_ALWAYS = ("set TimeZone = 'UTC'", "set max_vacuum_tasks = 0")
"""A batch is smaller than a row group, and a checkpoint that puts small ones together would write each batch several
times. dbt does so, once, when it has merged."""
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


class DuckDBWarehouse(DuckDBWork, SqlWarehouse):
    """The file of the settings, created at the first write; waits for another process to let go of it."""

    name = "duckdb"
    public_logs = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.path = settings.duckdb_file
        self.place = f"the DuckDB file {self.path}"
        self._open = threading.local()
        self._was_whole = False

    @contextmanager
    def _connected(self, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection of the step that this thread is in, or one of its own."""
        if (current := getattr(self._open, "connection", None)) is not None:
            with self._translated():
                yield current
            return
        connection = self._connect(read_only)
        try:
            with self._translated():
                for statement in (*_ALWAYS, *self._bounds):
                    connection.execute(statement)
                yield connection
        finally:
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What DuckDB raises, in the words of this project."""
        try:
            yield
        except duckdb.TransactionException as error:
            if "onflict" not in str(error):  # it is also how a commit fails for which there is no room
                raise Failed(
                    f"DuckDB could not write {self.path} ({error}). See whether its disk is full, then run the same "
                    "command again."
                ) from error
            raise HeldBack(
                f"Another writer changed the same rows of {self.path} at the same moment; nothing was changed here. "
                f"Run the same command again. ({error})"
            ) from None
        except duckdb.Error as error:
            raise Failed(f"DuckDB refused a statement on {self.path}: {error}") from error
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # how DuckDB hands on Ctrl-C
                raise KeyboardInterrupt from None
            raise

    @contextmanager
    def _kept(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """One connection for all calls within; within another such context, its connection."""
        if (current := getattr(self._open, "connection", None)) is not None:
            yield current
            return
        with self._connected(read_only) as connection:
            self._open.connection = connection
            try:
                yield connection
            finally:
                self._open.connection = None

    @contextmanager
    def _step(self) -> Iterator[None]:
        if getattr(self._open, "connection", None) is not None:
            yield  # within a step already
            return
        with self._kept(read_only=False) as connection:
            connection.begin()
            yield
            connection.commit()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See Warehouse. For reading only, so that nobody waits for us; without a file there is nothing to open.

        Not while we write: DuckDB does not open a file in two ways in one process, and the lease is renewed meanwhile.
        """
        if not self.path.exists():
            yield
            return
        with self._kept(read_only=self._run_id is None):
            yield

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not self.path.parent.is_dir():
            raise Failed(f"There is no folder {self.path.parent}. Create it, or set POLYTRADES_DUCKDB_PATH.")
        give_up_at = time.monotonic() + self._settings.lock_wait_seconds
        while True:
            try:
                return self._opened(read_only)
            except duckdb.IOException as error:
                holder = _HOLDER.search(str(error))
                if not _is_held(error):
                    raise Failed(
                        f"The DuckDB file {self.path} cannot be opened: {error}. Check that the folder is writable "
                        "and the file is a DuckDB file, or set POLYTRADES_DUCKDB_PATH."
                    ) from None
                who = f": {holder['program']} (PID {holder['pid']})" if holder else ""
            except BlockingIOError:
                who = ""
            except duckdb.Error as error:
                raise Failed(f"The DuckDB file {self.path} cannot be opened: {error}") from None
            if time.monotonic() >= give_up_at:
                raise HeldBack(
                    f"The DuckDB file {self.path} is held by another process{who}. Wait for that process or end "
                    "it, then run the same command again; nothing is lost."
                )
            time.sleep(0.1)

    def _opened(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A connection; the one block that a killed writer may have left half written is mended first.

        Raises:
            duckdb.Error: the file cannot be opened.
            BlockingIOError: another process opened it meanwhile.
            Failed: it is damaged in another way.
        """
        try:
            return self._whole(read_only)
        except duckdb.Error as error:
            block = duckdb_torn.torn_block(error)
            if block is None:
                raise
        kept = duckdb_torn.mend(self.path, block)
        try:
            connection = self._whole(read_only)
        except duckdb.Error as error:
            if _is_held(error):
                raise
            raise duckdb_torn.put_back(
                self.path, block, kept, f"and more than that is wrong with it ({error})"
            ) from None
        log.get().warning(
            "mended",
            file=str(self.path),
            reason="its last writer was killed in the middle of a block; nothing is lost",
            kept=str(kept),
        )
        return connection

    def _whole(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A connection to a file whose metadata can be read, as far as a killed writer may have harmed it."""
        # Our own mark lies there while we write: it says something once.
        has_died = (
            duckdb_torn.has_log(self.path) if self._was_whole else duckdb_torn.was_left_by_a_dead_writer(self.path)
        )
        connection = duckdb.connect(str(self.path), read_only=read_only)
        if has_died:
            try:
                duckdb_torn.check_metadata(connection)
            except duckdb.Error:
                connection.close()
                raise
        self._was_whole = True
        return connection

    def acquire_lease(self, run_id: str, holder: str, minutes: float) -> str | None:
        """See Warehouse."""
        before = super().acquire_lease(run_id, holder, minutes)
        duckdb_torn.mark(self.path, is_written=True)
        return before

    def release_lease(self) -> None:
        """See Warehouse."""
        super().release_lease()
        duckdb_torn.mark(self.path, is_written=False)

    def _query(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return self._rows(connection, _named(sql), parameters)

    def _execute(self, name: str, sql: str, **parameters: Any) -> int:
        with self._connected() as connection:
            rows = self._rows(connection, _named(sql), parameters)
        return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0

    def _insert(self, name: str, table: project.SourceTable, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = {column: TYPES[kind] for column, kind in table.columns.items()}
        incoming = pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(list(columns.items())))
        names = ", ".join(self._quoted(column) for column in columns)
        with self._connected() as connection:
            connection.register("incoming", incoming)
            connection.execute(
                f"insert into {self._quoted(self._schema_of(table), table.name)} ({names}) select {names} from incoming"
            )
            connection.unregister("incoming")

    def _load(self, batch: Batch) -> datetime:
        names = ", ".join(project.source_table("landing", batch.landing_table).columns)
        with self._connected() as connection:
            # A second thread would take the processor from who decodes the next batch.
            connection.execute("set threads = 1")
            connection.execute(
                f"insert into {self._landing(batch.landing_table)} ({names}) select {names} from read_parquet(?)",
                [str(batch.file)],
            )
        return batch.landed_at

    def _columns(self, schema: str, table: str) -> dict[str, str] | None:
        if not self.path.exists() and getattr(self._open, "connection", None) is None:
            return None
        rows = self._query(
            "columns",
            "select column_name, data_type from information_schema.columns where table_catalog = current_database() "
            "and table_schema = @schema and table_name = @table order by ordinal_position",
            schema=schema,
            table=table,
        )
        return dict(rows) or None

    def _create_schema(self, schema: str) -> None:
        self._execute("create_schema", f"create schema if not exists {self._quoted(schema)}")

    def _create(self, table: project.SourceTable) -> None:
        address = self._quoted(self._schema_of(table), table.name)
        self._execute("create_table", f"create table {address} {self._definition(table)}")

    def _keep_one_row(self, statements: list[str], **parameters: Any) -> None:
        with self._step():
            for statement in statements:
                named = {name: value for name, value in parameters.items() if f"@{name}" in statement}
                self._execute("keep_one_row", statement, **named)

    def _row_as_json(self, alias: str) -> str:
        return f"cast(to_json({alias}) as varchar)"

    def _layout_problems(self) -> list[str]:
        return []

    def _twin(self) -> "DuckDBWarehouse":
        other = DuckDBWarehouse(self._settings)
        other._run_id = self._run_id
        return other

    def _is_dead(self, holder: Holder) -> bool:
        """Also a build by hand: it keeps the file to itself while it runs, and we have opened it."""
        return holder.pid is None or super()._is_dead(holder)

    def _quoted(self, *names: str) -> str:
        return ".".join('"' + name.replace('"', '""') + '"' for name in names)

    def _type(self, kind: str) -> str:
        return _TYPES.get(kind, kind)

    def _is_same_type(self, found: str, kind: str) -> bool:
        return _WRITTEN_OUT.get(found.lower(), found.lower()) == self._type(kind)

    def _each(self, parameter: str, column: str) -> str:
        return f"(select unnest(cast(@{parameter} as varchar[])) as {column}) as each_{parameter}"

    def _in_minutes(self, minutes: float) -> str:
        return f"now() + interval {int(minutes)} minute" if minutes else "now()"


def _is_held(error: duckdb.Error) -> bool:
    """True if another process has the file open."""
    return "set lock on file" in str(error) or _HOLDER.search(str(error)) is not None


def _named(sql: str) -> str:
    """DuckDB writes named parameters with a dollar sign."""
    return re.sub(r"@(\w+)", r"$\1", sql)
