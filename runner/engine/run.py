"""One run: `sync` fetches, lands, enriches and builds; `import` lands files and builds. Both record themselves."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from runner import dbt
from runner.engine import wallets
from runner.engine.enrich import Enriched, enrich
from runner.engine.fetch import Task, fetch_fills
from runner.errors import ExitCode, HeldBack, PolytradesError, UpstreamError, UsageError
from runner.landing.intake import Counts, Intake
from runner.settings import Settings
from runner.sources import dome, files
from runner.warehouse.protocol import Run, Warehouse
from runner.windows import utc_now, window_to_fetch


class Display(Protocol):
    """What a run tells while it works."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """How far a phase is; called often."""


@dataclass
class Summary:
    """What a run did. Its fields are the keys of `--json`, except those that `as_json` adds."""

    command: str
    run_id: str
    started_at: datetime
    exit_code: ExitCode = ExitCode.DONE
    wallets: int = 0
    wallets_failed: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    enriched: Enriched = field(default_factory=Enriched)
    build: dbt.BuildResult | None = None
    fills_new: int | None = None
    fills_total: int | None = None
    duplicate_keys: int | None = None
    pending_batches: int = 0
    seconds: float = 0.0
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

    def as_json(self) -> dict[str, Any]:
        """The summary for `--json`."""
        return {
            "command": self.command,
            "run_id": self.run_id,
            "exit_code": int(self.exit_code),
            "messages": self.messages,
            "wallets": self.wallets,
            "wallets_failed": self.wallets_failed,
            "records_received": self.counts.received,
            "records_landed": self.counts.landed,
            "records_landed_before": self.counts.landed_before,
            "records_rejected": self.counts.rejected,
            "rejected_by_reason": self.counts.rejected_by_reason,
            "fills_new": self.fills_new,
            "fills_known": self.fills_known,
            "fills_total": self.fills_total,
            "duplicate_keys": self.duplicate_keys,
            "markets_landed": self.enriched.markets,
            "events_landed": self.enriched.events,
            "metadata_unknown": self.enriched.unknown,
            "pending_batches": self.pending_batches,
            "tests_passed": self.build.tests_passed if self.build else None,
            "tests_failed": self.build.failed_tests if self.build else {},
            "models_failed": self.build.failed_nodes if self.build else {},
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class SyncOptions:
    """What `sync` was asked for. `only` filters the followed wallets and changes nothing."""

    wallets_file: Path | None = None
    allow_shrink: bool = False
    only: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


def sync(settings: Settings, warehouse: Warehouse, options: SyncOptions, display: Display) -> Summary:
    """Fetches the followed wallets from their checkpoints, lands, enriches, builds, records.

    Raises:
        PolytradesError: the run ended early; what had landed stays, and the run is recorded.
    """
    change, tasks = plan(settings, warehouse, options)
    dbt.prepare(settings)
    warehouse.prepare()
    wallets.apply_change(warehouse, change, options.wallets_file)
    _tell_change(change, display)
    with _Recorded("sync", warehouse, wallets=len(tasks)) as summary:
        intake = _intake(settings, warehouse, dome.SOURCE, summary.run_id)
        summary.counts = intake.counts
        asyncio.run(_fetch_and_enrich(settings, warehouse, intake, tasks, summary, display))
        _build(settings, warehouse, summary, display)
    return summary


def plan(settings: Settings, warehouse: Warehouse, options: SyncOptions) -> tuple[wallets.WalletChange, list[Task]]:
    """What the list changes, then the wallets to fetch and their windows. Nothing is written.

    A wallet whose window holds nothing to ask for is left out.

    Raises:
        UsageError: a list or an address is wrong, no wallet is followed, a filter names one that is not, or `since` is
            not before the end.
    """
    only = [wallets.check_wallet(text, "--wallet") for text in options.only]
    present = warehouse.followed_wallets()
    change = wallets.plan_change(present, options.wallets_file, options.allow_shrink)
    followed = sorted({wallet.wallet_address for wallet in present} - set(change.removed) | set(change.added))
    for wallet in only:
        if wallet not in followed:
            raise UsageError(
                f"The wallet {wallet} is not followed, and --wallet only filters. Add it to seeds/wallets.csv or to "
                "the file of --wallets."
            )
    if not followed:
        raise UsageError(
            "No wallet is followed. Put addresses into seeds/wallets.csv, one a line below its header, or name a file "
            "with --wallets FILE."
        )
    latest = utc_now() - timedelta(minutes=settings.settle_lag_minutes)
    until = min(options.until, latest) if options.until else latest
    if options.since and options.since >= until:
        raise UsageError(
            f"--since {options.since.isoformat()} is not before the end of the window, {until.isoformat()}."
        )
    checkpoints = warehouse.checkpoints(dome.SOURCE)
    overlap = timedelta(hours=settings.overlap_hours)
    windows = {
        wallet: window_to_fetch(checkpoints.get(wallet), options.since, until, overlap)
        for wallet in (only or followed)
        if wallet not in checkpoints or checkpoints[wallet] < until
    }
    return change, [Task(wallet, window) for wallet, window in windows.items() if window.is_askable]


def import_files(settings: Settings, warehouse: Warehouse, paths: Sequence[Path], display: Display) -> Summary:
    """Lands the order records of files through the same door as `sync`, builds, records.

    Asks nobody: the next `sync` fetches the markets of the fills that came in here.
    """
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} is not a file. Name files of order records (NDJSON, JSON or Parquet).")
    dbt.prepare(settings)
    warehouse.prepare()
    with _Recorded("import", warehouse, wallets=0) as summary:
        intake = _intake(settings, warehouse, files.SOURCE, summary.run_id)
        summary.counts = intake.counts
        read_files(intake, paths, display)
        intake.flush()
        _build(settings, warehouse, summary, display)
    return summary


def read_files(intake: Intake, paths: Sequence[Path], display: Display) -> None:
    """Hands every record of the files to the intake."""
    for number, path in enumerate(paths, start=1):
        for record in files.records(path):
            intake.add([record.raw], None, f"{path.name}, {record.place}")
        display.progress("Reading", number, len(paths), path.name)


class _Recorded:
    """Writes the run's first and last row in state.runs, whatever happens in between."""

    def __init__(self, command: str, warehouse: Warehouse, wallets: int) -> None:
        started_at = utc_now()
        run_id = f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._warehouse = warehouse
        self._summary = Summary(command, run_id, started_at, wallets=wallets)
        self._began = time.monotonic()
        self._run = Run(run_id, command, started_at, wallets=wallets)

    def __enter__(self) -> Summary:
        self._warehouse.record_run(self._run, self._run.started_at)
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
        elif error is not None:
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
            message=" ".join(summary.messages) or None,
        )
        if error is None:
            self._warehouse.record_run(run, finished_at)
            return
        # The error is what matters; a record that cannot be written must not hide it.
        with suppress(PolytradesError):
            self._warehouse.record_run(run, finished_at)
        if isinstance(error, HeldBack):
            raise error


def _intake(settings: Settings, warehouse: Warehouse, source: str, run_id: str) -> Intake:
    return Intake(warehouse, source, spool_dir(settings), run_id, settings.batch_rows)


def spool_dir(settings: Settings) -> Path:
    """Where batches wait to be loaded, beside the DuckDB file. Empty between runs; safe to delete then."""
    return settings.duckdb_file.with_name(settings.duckdb_file.name + ".spool")


async def _fetch_and_enrich(
    settings: Settings,
    warehouse: Warehouse,
    intake: Intake,
    tasks: list[Task],
    summary: Summary,
    display: Display,
) -> None:
    async with dome.client(settings) as http:
        failures = await fetch_fills(
            http,
            intake,
            tasks,
            page_size=settings.page_size,
            in_flight=settings.requests_in_flight,
            progress=lambda done, total, records: display.progress("Fetching", done, total, f"{records:,} records"),
        )
    summary.wallets_failed = failures
    if failures:
        wallet, message = next(iter(failures.items()))
        if len(failures) == len(tasks) and not intake.counts.received:
            raise UpstreamError(message)
        summary.worsen(
            ExitCode.PARTLY_DONE,
            f"{len(failures)} of {len(tasks)} wallets could not be fetched and keep their checkpoint; the first is "
            f"{wallet}: {message}",
        )
    display.progress("Markets and events", 0, 0, "")
    summary.enriched = await enrich(settings, warehouse, spool_dir(settings), summary.run_id, intake.conditions)
    for problem in summary.enriched.problems:
        summary.worsen(ExitCode.PARTLY_DONE, f"{problem} The next run asks for them again.")


def _build(settings: Settings, warehouse: Warehouse, summary: Summary, display: Display) -> None:
    build = dbt.build(settings, lambda done, total, node: display.progress("dbt build", done, total, node))
    summary.build = build
    if build.used_example_profile:
        display.note("No profiles.yml was found; dbt used profiles.example.yml.")
    totals = warehouse.totals()
    summary.fills_total = totals.fills
    summary.duplicate_keys = totals.duplicate_keys
    summary.pending_batches = totals.pending_batches
    if not build.is_complete:
        failed = build.failed_nodes or build.failed_tests
        name, message = next(iter(failed.items()), ("", "dbt gave no reason."))
        summary.worsen(
            ExitCode.PARTLY_DONE,
            f"dbt could not build everything: {name} failed ({message}) and {len(build.skipped)} models after it were "
            f"skipped. What has landed is kept ({totals.pending_batches} batches pending) and will be merged by the "
            "next run.",
        )
        return
    summary.fills_new = warehouse.merge_counts().fills_new
    for name, message in build.failed_tests.items():
        summary.worsen(ExitCode.CHECK_FAILED, f"The check {name} failed: {message}. `polytrades status` says more.")
    received = summary.counts.received
    if received and summary.counts.rejected > settings.max_rejected_share * received:
        summary.worsen(
            ExitCode.CHECK_FAILED,
            f"{summary.counts.rejected:,} of {received:,} records were rejected, more than max_rejected_share "
            f"({settings.max_rejected_share:.0%}) allows. They are kept in landing.rejected_records, with reasons.",
        )


def _tell_change(change: wallets.WalletChange, display: Display) -> None:
    if change.is_empty:
        return
    now = change.followed_before + len(change.added) - len(change.removed)
    display.note(
        f"Followed wallets: {change.followed_before} → {now} (+{len(change.added)}, -{len(change.removed)})"
        + "".join(f"\n  + {wallet}" for wallet in change.added[:5])
        + (f"\n  + … {len(change.added) - 5} more" if len(change.added) > 5 else "")
        + "".join(f"\n  - {wallet}" for wallet in change.removed[:5])
        + (f"\n  - … {len(change.removed) - 5} more" if len(change.removed) > 5 else "")
    )
