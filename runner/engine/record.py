"""The record of one run: what it did, for the person who ran it and for the run history."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from runner import dbt, failpoints
from runner.engine.enrich import Enriched
from runner.errors import ExitCode, HeldBack, PolytradesError
from runner.landing.intake import Counts
from runner.sources import orders
from runner.warehouse.protocol import Run, Warehouse
from runner.windows import utc_now

_FEW = 0.01
"""Share of the records below which a field that is missing or of another type is no change of the API."""


@dataclass
class Summary:
    """What a run did. Its fields are the keys of `--json`, except those that `as_json` adds."""

    command: str
    run_id: str
    started_at: datetime
    exit_code: ExitCode = ExitCode.DONE
    wallets: int = 0
    wallets_failed: dict[str, str] = field(default_factory=dict)
    wallets_unfinished: int = 0
    """Of which something is left, because the run may send no more requests."""
    counts: Counts = field(default_factory=Counts)
    enriched: Enriched = field(default_factory=Enriched)
    build: dbt.BuildResult | None = None
    fills_new: int | None = None
    fills_total: int | None = None
    duplicate_keys: int | None = None
    pending_batches: int = 0
    history_pending: int = 0
    bytes_billed: int | None = None
    bytes_billed_today: int | None = None
    bytes_budget: int | None = None
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase: fetch, metadata, build."""
    cpu_seconds: float = 0.0
    """Processor time of this process from the first request to the last commit; dbt is another process."""
    messages: list[str] = field(default_factory=list)

    @property
    def fills_known(self) -> int | None:
        """Landed records that brought no new fill."""
        if self.fills_new is None:
            return None
        return max(0, self.counts.landed + self.counts.landed_before - self.fills_new)

    def worsen(self, code: ExitCode, message: str) -> None:
        """Adds a finding; the exit code becomes the one that takes precedence (2, 1, 3, 4, 0)."""
        order = [ExitCode.USAGE, ExitCode.FAILED, ExitCode.PARTLY_DONE, ExitCode.CHECK_FAILED, ExitCode.DONE]
        self.exit_code = min(self.exit_code, code, key=order.index)
        self.messages.append(message)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a phase."""
        began, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - began
            self.cpu_seconds += time.process_time() - cpu

    def as_json(self) -> dict[str, Any]:
        """The summary for `--json`."""
        return {
            "command": self.command,
            "run_id": self.run_id,
            "exit_code": int(self.exit_code),
            "messages": self.messages,
            "wallets": self.wallets,
            "wallets_failed": self.wallets_failed,
            "wallets_unfinished": self.wallets_unfinished,
            "records_received": self.counts.received,
            "records_landed": self.counts.landed,
            "records_landed_before": self.counts.landed_before,
            "records_rejected": self.counts.rejected,
            "rejected_by_reason": self.counts.rejected_by_reason,
            "fills_new": self.fills_new,
            "fills_known": self.fills_known,
            "fills_total": self.fills_total,
            "duplicate_keys": self.duplicate_keys,
            "markets_asked": self.enriched.markets.asked,
            "markets_landed": self.enriched.markets.landed,
            "markets_unknown": self.enriched.markets.unknown,
            "markets_left": self.enriched.markets.left,
            "events_asked": self.enriched.events.asked,
            "events_landed": self.enriched.events.landed,
            "events_unknown": self.enriched.events.unknown,
            "events_left": self.enriched.events.left,
            "pending_batches": self.pending_batches,
            "history_pending": self.history_pending,
            "unknown_fields": self.counts.unknown_fields,
            "missing_fields": self.counts.missing_fields,
            "retyped_fields": self.counts.retyped_fields,
            "tests_passed": self.build.tests_passed if self.build else None,
            "tests_failed": self.build.failed_tests if self.build else {},
            "models_failed": self.build.failed_nodes if self.build else {},
            "bytes_billed": self.bytes_billed,
            "bytes_billed_today": self.bytes_billed_today,
            "seconds": round(self.seconds, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "cpu_seconds": round(self.cpu_seconds, 3),
        }


class Recorded:
    """Writes the run's first and last row in state.runs, whatever happens in between."""

    def __init__(self, command: str, warehouse: Warehouse, run_id: str, wallets: int) -> None:
        started_at = utc_now()
        self._warehouse = warehouse
        self._summary = Summary(command, run_id, started_at, wallets=wallets)
        self._began = time.monotonic()
        self._run = Run(run_id, command, started_at, wallets=wallets)

    def __enter__(self) -> Summary:
        self._warehouse.record_run(self._run, self._run.started_at)
        failpoints.passing("run.recorded")
        return self._summary

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        summary = self._summary
        finished_at = utc_now()
        summary.seconds = time.monotonic() - self._began
        if isinstance(error, PolytradesError) and error.exit_code is ExitCode.FAILED and summary.counts.batches:
            # FAILED promises that nothing durable happened.
            error = HeldBack(f"{error} What had landed before is kept and will be merged by the next run.")
        if isinstance(error, KeyboardInterrupt):
            summary.worsen(ExitCode.PARTLY_DONE, "Interrupted.")
        elif error is None:
            self._tell_drift()
        else:
            code = error.exit_code if isinstance(error, PolytradesError) else ExitCode.FAILED
            summary.worsen(code, str(error) or type(error).__name__)
        run = replace(
            self._run,
            finished_at=finished_at,
            exit_code=int(summary.exit_code),
            wallets_failed=len(summary.wallets_failed),
            records_received=summary.counts.received,
            records_landed=summary.counts.landed,
            records_rejected=summary.counts.rejected,
            fills_new=summary.fills_new,
            fetch_seconds=summary.phases.get("fetch"),
            metadata_seconds=summary.phases.get("metadata"),
            build_seconds=summary.phases.get("build"),
            bytes_billed=summary.bytes_billed,
            bytes_budget=summary.bytes_budget,
            message=" ".join(summary.messages) or None,
        )
        if error is None:
            self._warehouse.record_run(run, finished_at)
            failpoints.passing("run.finished")
            return
        # The error is what matters; a record that cannot be written must not hide it.
        with suppress(PolytradesError):
            self._warehouse.record_run(run, finished_at)
        if isinstance(error, HeldBack):
            raise error

    def _tell_drift(self) -> None:
        """Says which fields records carry that nobody knows, and which they lack."""
        counts = self._summary.counts
        if counts.unknown_fields:
            self._summary.messages.append(
                f"Records carry fields that are new to us, kept in extra_fields: {_listed(counts.unknown_fields)}."
            )
        retyped = {name: n for name, n in counts.retyped_fields.items() if n >= counts.received * _FEW}
        if retyped:
            self._summary.messages.append(
                f"Records carry fields in another type than usual: {_listed(retyped)}. What could be "
                "read without loss was; the other records are in `polytrades rejected list`."
            )
        accepted = counts.landed + counts.landed_before
        lacking = {
            name: count
            for name, count in counts.missing_fields.items()
            if count >= accepted * (1 if name in orders.NEWER_FIELDS else _FEW)
        }
        lacking |= {name: count for name, count in counts.lone_missing_fields.items() if count >= accepted * _FEW}
        if lacking:
            self._summary.messages.append(
                f"Of {accepted:,} records some lack fields that they used to carry: {_listed(lacking)}. What cannot be "
                "derived is NULL until another record or the market completes it; see whether the API has changed."
            )


def _listed(counts: Mapping[str, int]) -> str:
    """The first five, with how many records."""
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items())[:5])
