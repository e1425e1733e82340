"""Batches: rows for one landing table, written as a Parquet file whose name is its content."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from runner import project
from runner.errors import Failed
from runner.records import READER_VERSION
from runner.warehouse.arrow import TYPES
from runner.warehouse.protocol import Batch

FROM_BATCH = ("source", "batch_id", "landed_at", "landed_on")


class BatchBuilder:
    """Collects rows of one landing table; `build` writes them. One builder, one batch.

    Rows are in the order of the table's columns, without the last four, which the batch gives. The same rows are the
    same batch, which lands once; with another `salt` they are another one.
    """

    def __init__(self, landing_table: str, source: str, spool: Path, salt: str = "") -> None:
        self._table = project.source_table("landing", landing_table)
        columns = {name: kind for name, kind in self._table.columns.items() if name not in FROM_BATCH}
        self._schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
        self._source = source
        self._spool = spool
        self._parts: list[pa.RecordBatch] = []
        self._rows: list[tuple[Any, ...]] = []
        self._count = 0
        self._identity = hashlib.sha256(f"{READER_VERSION}\0{landing_table}\0{source}\0{salt}".encode())

    def __len__(self) -> int:
        return self._count

    def add(self, row: tuple[Any, ...], identity: bytes) -> None:
        """Adds a row. `identity` is what makes it this row: the record as received, and who was asked for it."""
        self._rows.append(row)
        self._count += 1
        self._identify(identity)

    def add_all(self, rows: pa.RecordBatch, identity: bytes) -> None:
        """Adds rows in columns, with what makes them these rows."""
        self._close_rows()
        self._parts.append(rows)
        self._count += rows.num_rows
        self._identify(identity)

    def _identify(self, identity: bytes) -> None:
        self._identity.update(len(identity).to_bytes(8, "big"))
        self._identity.update(identity)

    def _close_rows(self) -> None:
        """Puts what came row by row into columns."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
            self._parts.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
            self._rows = []

    def nulls(self, names: Iterable[str]) -> dict[str, int]:
        """How many of the rows are NULL in each of these columns; those that are in none are left out."""
        self._close_rows()
        counts = {name: sum(part.column(name).null_count for part in self._parts) for name in names}
        return {name: count for name, count in counts.items() if count}

    def lone_nulls(self, pairs: Mapping[str, str]) -> dict[str, int]:
        """The same, of rows in which the other column has a value."""
        self._close_rows()
        counts = {name: sum(_lone_nulls(part, name, other) for part in self._parts) for name, other in pairs.items()}
        return {name: count for name, count in counts.items() if count}

    def build(self, landed_at: datetime) -> Batch | None:
        """Writes the file and gives the batch; None if there are no rows.

        Raises:
            Failed: the file cannot be written.
        """
        self._close_rows()
        if not self._count:
            return None
        batch_id = self._identity.hexdigest()[:32]
        table = pa.Table.from_batches(self._parts, schema=self._schema)
        from_batch = {
            "source": self._source,
            "batch_id": batch_id,
            "landed_at": landed_at,
            "landed_on": landed_at.date(),
        }
        for name, value in from_batch.items():
            kind = TYPES[self._table.columns[name]]
            table = table.append_column(name, pa.repeat(pa.scalar(value, kind), self._count))
        file = self._spool / f"{self._table.name}-{batch_id}.parquet"
        unfinished = file.with_suffix(".tmp")
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.select(list(self._table.columns)), unfinished)
            unfinished.replace(file)
        except OSError as error:
            raise Failed(
                f"The batch file {file} could not be written: {error}. Make room there, or make the folder writable; "
                "what it holds is asked for again."
            ) from None
        return Batch(batch_id, self._table.name, self._source, self._count, file, landed_at)


def _lone_nulls(part: pa.RecordBatch, name: str, other: str) -> int:
    column = part.column(name)
    if not column.null_count:
        return 0
    return int(pc.sum(pc.and_(column.is_null(), part.column(other).is_valid())).as_py() or 0)
