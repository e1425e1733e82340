"""Batches: rows for one landing table, written as a Parquet file whose name is its content."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from runner import project
from runner.records import READER_VERSION
from runner.warehouse.arrow import TYPES
from runner.warehouse.protocol import Batch

_FROM_BATCH = ("source", "batch_id", "landed_at", "landed_on")


class BatchBuilder:
    """Collects rows of one landing table; `build` writes them. One builder, one batch.

    Rows are sequences in the order of the table's columns, without the last four, which the batch gives.
    """

    def __init__(self, landing_table: str, source: str, spool: Path) -> None:
        self._table = project.source_table("landing", landing_table)
        self._columns = [name for name in self._table.columns if name not in _FROM_BATCH]
        self._source = source
        self._spool = spool
        self._rows: list[tuple[Any, ...]] = []
        self._identity = hashlib.sha256(f"{READER_VERSION}\0{landing_table}\0{source}\0".encode())

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: tuple[Any, ...], identity: bytes) -> None:
        """Adds a row. `identity` is what makes it this row: the record as received, and who was asked for it."""
        self._rows.append(row)
        self._identity.update(len(identity).to_bytes(8, "big"))
        self._identity.update(identity)

    def build(self, landed_at: datetime) -> Batch | None:
        """Writes the file and gives the batch; None if there are no rows."""
        if not self._rows:
            return None
        batch_id = self._identity.hexdigest()[:32]
        count = len(self._rows)
        from_batch: dict[str, Callable[[pa.DataType], pa.Array]] = {
            "source": lambda kind: pa.repeat(pa.scalar(self._source, kind), count),
            "batch_id": lambda kind: pa.repeat(pa.scalar(batch_id, kind), count),
            "landed_at": lambda kind: pa.repeat(pa.scalar(landed_at, kind), count),
            "landed_on": lambda kind: pa.repeat(pa.scalar(landed_at.date(), kind), count),
        }
        values = dict(zip(self._columns, zip(*self._rows, strict=True), strict=True))
        arrays = [
            from_batch[name](TYPES[kind]) if name in from_batch else pa.array(values[name], TYPES[kind])
            for name, kind in self._table.columns.items()
        ]
        file = self._spool / f"{self._table.name}-{batch_id}.parquet"
        self._spool.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".tmp")
        pq.write_table(pa.table(arrays, names=list(self._table.columns)), unfinished)
        unfinished.replace(file)
        return Batch(batch_id, self._table.name, self._source, count, file, landed_at)
