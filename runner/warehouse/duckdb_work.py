"""DuckDB's side of a migration: work tables are Parquet files beside the DuckDB file, and memory is bounded."""

import csv
import gzip
import hashlib
import re
import shutil
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from runner import failpoints
from runner.errors import Failed, UsageError
from runner.warehouse.migrating import Staging, State, Step
from runner.warehouse.migration import Migration

_TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_LOOKS_UP_AFTER = 0.2
"""Seconds."""
_PARTITIONED = ("rows",)
"""Work tables that are kept as one folder a month."""


class DuckDBWork(Migration):
    """Reads and writes work files through the warehouse's own connection."""

    path: Path
    _bounds: tuple[str, ...] = ()
    """Settings of each connection while a migration works."""

    @abstractmethod
    def _connected(self, read_only: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The connection of the step that this thread is in, or one of its own."""

    def work_place(self, migration_id: str) -> str:
        """See Migrating."""
        return str(self._work_folder / migration_id)

    @property
    def _work_folder(self) -> Path:
        return self.path.with_name(self.path.name + ".migration")

    def _work_table(self, name: str, place: str) -> str:
        pattern = f"{name}/*/*.parquet" if name in _PARTITIONED else f"{name}.parquet"
        return f"read_parquet({_text(f'{place}/{pattern}')})"

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Connections of the block keep to the memory of the settings; what does not fit goes beside the work files."""
        self._work_folder.mkdir(parents=True, exist_ok=True)
        self._bounds = (
            f"set memory_limit = {_text(self._settings.migration_memory)}",
            f"set temp_directory = {_text(str(self._work_folder / 'spill'))}",
            "set preserve_insertion_order = false",
        )
        try:
            yield
        finally:
            self._bounds = ()

    def _rows(self, connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Runs a statement. One that may take minutes runs beside us, so that Ctrl-C and SIGTERM can end it."""
        if not self._bounds:
            return connection.execute(sql, parameters).fetchall()
        rows: list[tuple[Any, ...]] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                rows.extend(connection.execute(sql, parameters).fetchall())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_LOOKS_UP_AFTER)
        except BaseException:
            connection.interrupt()
            thread.join()
            raise
        if failed:
            raise failed[0]
        return rows

    def ask(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """See Migrating."""
        with self._bounded():
            return super().ask(name, sql, **parameters)

    def copy_month(self, into: str, sql: str, since: datetime, until: datetime, done: Step) -> int:
        """See Migrating."""
        with self._bounded():
            return super().copy_month(into, sql, since, until, done)

    def find_staging(self, name: str) -> Staging:
        """See Migrating."""
        files = _files(name)
        if files is None:
            if not _TABLE.fullmatch(name):
                raise UsageError(
                    f"{name!r} is neither a table (`schema.table`) nor a pattern of .parquet or .csv files. Name one."
                )
            schema, _, table = name.rpartition(".")
            schema = schema or self._schemas.production
            found = self._columns(schema, table)
            if found is None:
                raise UsageError(f"There is no table {schema}.{table} in {self.place}. Name the staging table.")
            relation = self._quoted(schema, table)
            name, columns = f"{schema}.{table}", tuple(found)
            ((rows,),) = self._query("count_staging", f"select count(*) from {relation}")
            identity = f"{rows} rows"
        else:
            name = str(Path(name).absolute())
            stamps = " ".join(f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
            parquet = name if name.endswith(".parquet") else str(self._as_parquet(name, files, stamps))
            relation = f"read_parquet({_text(parquet)})"
            with duckdb.connect() as connection:
                described = connection.execute(f"describe select * from {relation}").fetchall()
                rows = _one(connection.execute(f"select sum(num_rows) from parquet_file_metadata({_text(parquet)})"))
            columns = tuple(row[0] for row in described)
            identity = f"{rows} rows, {stamps}"
        return Staging(name, relation, columns, rows, identity, is_table=files is None)

    def _as_parquet(self, name: str, files: Sequence[Path], stamps: str) -> Path:
        """CSV files as one Parquet file beside the DuckDB file, made once: a row of CSV has no place to be found by.

        All columns are text, as they were written; the migration makes types of them. Nothing is guessed: a line that
        is not of the header's columns ends it.
        """
        identity = hashlib.sha256(f"{name}\0{stamps}".encode()).hexdigest()[:16]
        made = self._work_folder / f"csv-{identity}.parquet"
        if made.exists():
            return made
        self._work_folder.mkdir(parents=True, exist_ok=True)
        writing = made.with_suffix(".writing")
        header = _header(files)
        columns = ", ".join(f"{_text(column)}: 'VARCHAR'" for column in header)
        source = f"read_csv({_text(name)}, header = true, auto_detect = false, columns = {{{columns}}})"
        with duckdb.connect() as connection:
            connection.execute(f"set memory_limit = {_text(self._settings.migration_memory)}")
            connection.execute("set preserve_insertion_order = false")
            try:
                connection.execute(f"copy (from {source}) to {_text(str(writing))} (format parquet)")
            except duckdb.Error as error:
                writing.unlink(missing_ok=True)
                raise UsageError(f"{name} cannot be read as CSV: {error} Mend the line, or write Parquet.") from None
        writing.replace(made)
        return made

    def keep(self, statement: str, place: str, sql: str, **parameters: Any) -> int:
        """See Migrating. Written under another name and renamed, so that a file that is there is whole."""
        name = statement.partition("_")[2]
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / (name if name in _PARTITIONED else f"{name}.parquet")
        writing = folder / f"{kept.name}.writing"
        _remove(writing)
        layout = ", partition_by (month), overwrite true" if name in _PARTITIONED else ""
        with self._bounded():
            written = f"copy ({sql}) to {_text(str(writing))} (format parquet, compression lz4_raw{layout})"
            rows = self._execute(statement, written, **parameters)
            if name in _PARTITIONED and not rows:  # a folder without a file could not be read
                nothing = writing / "month=none"
                nothing.mkdir(parents=True, exist_ok=True)
                empty = f"copy (select * exclude (month) from ({sql}) limit 0) to {_text(f'{nothing}/0.parquet')}"
                self._execute(statement, f"{empty} (format parquet)", **parameters)
        _remove(kept)
        writing.rename(kept)
        failpoints.passing("work.kept")
        return rows

    def has_work(self, name: str, place: str) -> bool:
        """See Migrating."""
        return (Path(place) / (name if name in _PARTITIONED else f"{name}.parquet")).exists()

    def forget_work(self, place: str) -> None:
        """See Migrating."""
        shutil.rmtree(place, ignore_errors=True)

    def save_staging(self, staging: Staging, migration_id: str) -> str:
        """See Migrating. A Parquet file beside the DuckDB file, renamed when it is whole."""
        saved = self._work_folder / f"{staging.name}-{migration_id}.parquet"
        writing = saved.with_name(saved.name + ".writing")
        with self._bounded():
            self._execute(
                "save_staging",
                f"copy (select * from {staging.relation}) to {_text(str(writing))} (format parquet, compression zstd)",
            )
        writing.rename(saved)
        failpoints.passing("staging.saved")
        return str(saved)

    def drop_staging(self, staging: Staging, checks: Sequence[tuple[str, State]], done: Step) -> bool:
        """See Migrating. One transaction."""
        with self._step():
            if any(State(*self._one("state_of_rows", sql)) != wanted for sql, wanted in checks):
                return False
            self._execute("drop_staging", f"drop table {staging.relation}")
            self.record_step(done)
        failpoints.passing("staging.dropped")
        return True

    def restore_staging(self, name: str, saved: str) -> int:
        """See Migrating."""
        if not Path(saved).is_file():
            raise Failed(f"The copy {saved} of {name} is not there any more, so {name} cannot be restored from it.")
        schema, _, table = name.rpartition(".")
        relation = self._quoted(schema, table)
        with self._step():
            self._execute(
                "restore_staging",
                f"create table if not exists {relation} as select * from read_parquet({_text(saved)})",
            )
            ((rows,),) = self._query("count_restored", f"select count(*) from {relation}")
        return int(rows)


def _files(name: str) -> list[Path] | None:
    """The files that a pattern means; None if it is no pattern."""
    if not name.endswith((".parquet", ".csv", ".csv.gz")):
        return None
    pattern = Path(name)
    files = sorted(Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))
    if not files:
        raise UsageError(f"No file is called {name}. Quote the pattern, so that the shell leaves it alone.")
    return files


def _header(files: Sequence[Path]) -> list[str]:
    """The columns that the CSV files have, by their first lines."""
    headers = {}
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            headers[file] = next(csv.reader(lines), [])
    first, *others = headers
    for other in others:
        if headers[other] != headers[first]:
            raise UsageError(
                f"{other} begins with {','.join(headers[other])[:200]!r}, and {first} with "
                f"{','.join(headers[first])[:200]!r}. Give all files the same header, or move one after the other."
            )
    return headers[first]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _one(result: duckdb.DuckDBPyConnection) -> int:
    row = result.fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
