"""The one door into landing: every record of a fill comes in here, is landed or rejected, and is counted."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import msgspec
import pyarrow as pa

from runner import failpoints, project
from runner.landing.batch import FROM_BATCH, BatchBuilder
from runner.landing.columns import PageReader
from runner.landing.logs import Logs
from runner.records import BrokenRule, OrderRow, form_of, read_order
from runner.sources.orders import NEWER_FIELDS, Seen
from runner.warehouse.arrow import TYPES
from runner.warehouse.protocol import ChainFill, Covered, Rejection, Warehouse
from runner.windows import utc_now


@dataclass
class Counts:
    """What came in. received = landed + landed_before + rejected, once everything is flushed."""

    received: int = 0
    landed: int = 0
    landed_before: int = 0
    rejected: int = 0
    batches: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    unknown_fields: dict[str, int] = field(default_factory=dict)
    """Field that nobody knows → records with it."""
    missing_fields: dict[str, int] = field(default_factory=dict)
    """Field that each record of its API usually carries → records without it."""
    lone_missing_fields: dict[str, int] = field(default_factory=dict)
    """Field that older forms lack → records without it that are not of an older form."""
    retyped_fields: dict[str, int] = field(default_factory=dict)
    """Field → records in which it is text instead of a number, or the other way round."""

    def add(self, other: "Counts") -> None:
        """Adds what came in elsewhere."""
        self.received += other.received
        self.landed += other.landed
        self.landed_before += other.landed_before
        self.rejected += other.rejected
        self.batches += other.batches
        for mine, more in (
            (self.rejected_by_reason, other.rejected_by_reason),
            (self.unknown_fields, other.unknown_fields),
            (self.missing_fields, other.missing_fields),
            (self.lone_missing_fields, other.lone_missing_fields),
            (self.retyped_fields, other.retyped_fields),
        ):
            _add(mine, more)


def _add(mine: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        mine[name] = mine.get(name, 0) + count


class Intake:
    """Collects records into batches of about `batch_rows` and lands them, each while the next one is collected.

    What has been covered is handed in when its last record has been, and is landed with the batch that holds that
    record or after it: never before. Until the first record comes it is only noted, since an upstream that has nothing
    for anybody may be broken: `settle` says what to make of it. Not for two threads at a time.

    Another `landing_table` than trades is of the same columns and is not merged: what lands there is compared. With
    `again` a run's batches land although the same have landed before: what was merged of those may be gone since.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        source: str,
        spool: Path,
        run_id: str,
        batch_rows: int,
        extra_fields: tuple[str, ...] = (),
        optional_fields: tuple[str, ...] = (),
        landing_table: str = "trades",
        again: bool = False,
    ) -> None:
        self.counts = Counts()
        self._landing_table = landing_table
        columns = project.source_table("landing", landing_table).columns
        own = {name: kind for name, kind in columns.items() if name not in FROM_BATCH}
        self._schema = pa.schema([(name, TYPES[kind]) for name, kind in own.items()])
        self._reader = PageReader(own, extra_fields)
        self._usual_fields = frozenset(extra_fields)
        self._optional_fields = optional_fields
        self._warehouse = warehouse
        self._source = source
        self._spool = spool
        self._run_id = run_id
        self._salt = run_id if again else ""
        self._batch_rows = batch_rows
        self._now = utc_now()
        self._lander = ThreadPoolExecutor(1, thread_name_prefix="lander")
        self.landing: Future[None] | None = None
        """The batch that was handed over last."""
        self._unheard: list[Covered] = []
        self._start_batch()

    def _start_batch(self) -> None:
        self._builder = BatchBuilder(self._landing_table, self._source, self._spool, self._salt)
        self._rejections: list[Rejection] = []
        self._covered: list[Covered] = []

    @property
    def is_full(self) -> bool:
        """True if the batch should be handed over before more is added."""
        return len(self._builder) + len(self._rejections) >= self._batch_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for the batch that is landing; what was not handed over is dropped."""
        self._lander.shutdown(wait=True)

    def add_page(self, page: bytes, wallet: str) -> Seen:
        """Takes a page of order records, the JSON list as received, of the wallet that was asked for.

        Raises:
            msgspec.DecodeError: it is no JSON list; nothing was taken.
        """
        failpoints.passing("page.received")
        usual = self._reader.read(page, wallet, self._now)
        if usual is None:
            rows = self._add_each(msgspec.json.decode(page, type=list[msgspec.Raw]), wallet, wallet)
            times = [row.traded_at for row in rows if row is not None]
            if not times:
                return Seen(len(rows))
            is_newest_first = all(earlier >= later for earlier, later in pairwise(times))
            return Seen(len(rows), max(times), min(times), is_newest_first)
        columns, seen = usual
        if seen.count:
            self.counts.received += seen.count
            self._builder.add_all(columns, page + wallet.encode())
        return seen

    def add_logs(self, answer: bytes, logs: Logs, times: Mapping[int, int], version: int, origin: str) -> None:
        """Takes event logs that have been read.

        Args:
            answer: the JSON list as received.
            logs: what stands in it.
            times: block number → Unix seconds, of the blocks whose time the logs do not have.
            version: the head of the chain at which they were read.
            origin: where they are from, for the quarantine.
        """
        failpoints.passing("page.received")
        self.counts.received += len(logs) + len(logs.broken)
        for broken in logs.broken:
            self._reject(broken.raw, broken.rule, origin)
        if len(logs):
            rows = logs.rows(self._schema, times, version)
            self._builder.add_all(rows, hashlib.sha256(answer).digest() + f"{origin} {version}".encode())

    def add_removed(self, fills: Sequence[ChainFill], version: int) -> None:
        """Takes fills that a reorganisation has taken away, as records that say so."""
        self.counts.received += len(fills)
        for fill in fills:
            known = {**asdict(fill), "upstream_version": version, "is_removed": True}
            self._builder.add(tuple(known.get(name) for name in OrderRow._fields), repr(known).encode())

    def add(self, raw_records: Iterable[bytes], queried_wallet: str | None, origin: str) -> None:
        """Takes records as received. `origin` says where they are from, for the quarantine. Lands what is full."""
        self._add_each(raw_records, queried_wallet, origin)
        if self.is_full:
            self.hand_over()

    def _add_each(
        self, raw_records: Iterable[msgspec.Raw | bytes], queried_wallet: str | None, origin: str
    ) -> list[OrderRow | None]:
        rows: list[OrderRow | None] = []
        for record in raw_records:
            raw = bytes(record)
            self.counts.received += 1
            self._note_form(raw)
            try:
                row = read_order(raw, queried_wallet, self._now)
            except BrokenRule as rule:
                self._reject(raw, rule, origin)
                rows.append(None)
                continue
            rows.append(row)
            self._builder.add(row, raw + b"\0" + row.wallet_address.encode())
        return rows

    def _note_form(self, raw: bytes) -> None:
        """Counts what is unusual about the fields of a record, whether it is taken or not."""
        form = form_of(raw)
        _add(self.counts.retyped_fields, dict.fromkeys(form.retyped, 1))
        _add(self.counts.unknown_fields, dict.fromkeys(form.unknown - self._usual_fields, 1))
        if self._optional_fields:  # files are of every form
            lacking = form.missing | (self._usual_fields - form.unknown)
            _add(self.counts.missing_fields, dict.fromkeys(lacking, 1))

    def _reject(self, raw: bytes, rule: BrokenRule, origin: str) -> None:
        self.counts.rejected += 1
        _add(self.counts.rejected_by_reason, {rule.reason: 1})
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

    def covered(self, window: Covered, is_proven: bool = False) -> None:
        """A window has been handed in, as far as it says. What is only compared covers nothing.

        `is_proven`: it is known otherwise that there was no more than what came, though that may be nothing.
        """
        if self._landing_table != "trades":
            return
        if self.counts.received or is_proven or window.status == "failed":
            self._covered.append(window)
        else:
            self._unheard.append(window)

    def settle(self, is_silent: bool) -> None:
        """Lands what has been collected, and what was covered without a record: if `is_silent`, as not answered.

        Raises:
            PolytradesError: it could not be landed.
        """
        for window in self._unheard:
            if not is_silent:
                self._covered.append(window)
            elif window.status == "complete":
                self._covered.append(replace(window, status="silent", moves_checkpoint=False))
        self._unheard = []
        self.flush()

    def hand_over(self) -> Future[None]:
        """Lands what has been collected, in a thread of its own, and starts a new batch; waits for the one before.

        Raises:
            PolytradesError: the batch before could not be landed. Nothing after it was.
        """
        if self.landing is not None:
            self.landing.result()
        if self.counts.received:
            self._covered += self._unheard
            self._unheard = []
        _add(self.counts.missing_fields, self._builder.nulls(self._optional_fields))
        pairs = {name: other for name, other in NEWER_FIELDS.items() if name in self._optional_fields}
        _add(self.counts.lone_missing_fields, self._builder.lone_nulls(pairs))
        self.landing = self._lander.submit(self._land, self._builder, self._rejections, self._covered)
        self._start_batch()
        return self.landing

    def flush(self) -> None:
        """Lands what has been collected, to its end.

        Raises:
            PolytradesError: it could not be landed.
        """
        self.hand_over().result()

    def _land(self, builder: BatchBuilder, rejections: list[Rejection], covered: list[Covered]) -> None:
        now = utc_now()
        batch = builder.build(now)
        if not (batch or rejections or covered):
            return
        failpoints.passing("batch.written")
        is_new = self._warehouse.land(batch, rejections, covered, self._run_id, now)
        failpoints.passing("batch.landed")
        if batch is None:
            return
        batch.file.unlink(missing_ok=True)
        if is_new:
            self.counts.batches += 1
            self.counts.landed += batch.row_count
        else:
            self.counts.landed_before += batch.row_count
