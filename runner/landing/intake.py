"""The one door into landing: every record of a fill comes in here, is landed or rejected, and is counted."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runner.landing.batch import BatchBuilder
from runner.records import BrokenRule, read_order
from runner.warehouse.protocol import Batch, Checkpoint, Rejection, Warehouse
from runner.windows import utc_now


@dataclass
class Counts:
    """What came in. received = landed + landed_before + rejected, always."""

    received: int = 0
    landed: int = 0
    landed_before: int = 0
    rejected: int = 0
    batches: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)


class Intake:
    """Collects records into batches of about `batch_rows` and lands them.

    A wallet's checkpoint is handed in when its last record has been, and is landed with the batch that holds that
    record: never before it.
    """

    def __init__(self, warehouse: Warehouse, source: str, spool: Path, run_id: str, batch_rows: int) -> None:
        self.counts = Counts()
        self._warehouse = warehouse
        self._source = source
        self._spool = spool
        self._run_id = run_id
        self._batch_rows = batch_rows
        self._now = utc_now()
        self._start_batch()

    def _start_batch(self) -> None:
        self._builder = BatchBuilder("trades", self._source, self._spool)
        self._rejections: list[Rejection] = []
        self._checkpoints: list[Checkpoint] = []

    def add(self, raw_records: Iterable[bytes], queried_wallet: str | None, origin: str) -> None:
        """Takes records as received. `origin` says where they are from, for the quarantine."""
        for raw in raw_records:
            self.counts.received += 1
            try:
                row = read_order(raw, queried_wallet, self._now)
            except BrokenRule as rule:
                self.reject(raw, rule, origin)
                continue
            self._builder.add(row, raw + b"\0" + row.wallet_address.encode())
        if len(self._builder) + len(self._rejections) >= self._batch_rows:
            self.flush()

    def reject(self, raw: bytes, rule: BrokenRule, origin: str) -> None:
        """Puts a record into quarantine. It counts as received by whoever calls this."""
        self.counts.rejected += 1
        self.counts.rejected_by_reason[rule.reason] = self.counts.rejected_by_reason.get(rule.reason, 0) + 1
        self._rejections.append(
            Rejection(
                record_hash=hashlib.sha256(raw).hexdigest(),
                reason=rule.reason,
                detail=rule.detail,
                record=raw.decode("utf-8", "backslashreplace"),
                origin=origin,
                source=self._source,
            )
        )

    def finished(self, checkpoint: Checkpoint) -> None:
        """The wallet's window has been handed in to its end."""
        self._checkpoints.append(checkpoint)

    def flush(self) -> None:
        """Lands what has been collected: rows, rejections and checkpoints in one step."""
        now = utc_now()
        batch = self._builder.build(now)
        if batch or self._rejections or self._checkpoints:
            is_new = self._warehouse.land(batch, self._rejections, self._checkpoints, self._run_id, now)
            self._count(batch, is_new)
        if batch:
            batch.file.unlink(missing_ok=True)
        self._start_batch()

    def _count(self, batch: Batch | None, is_new: bool) -> None:
        if batch is None:
            return
        if is_new:
            self.counts.batches += 1
            self.counts.landed += batch.row_count
        else:
            self.counts.landed_before += batch.row_count
