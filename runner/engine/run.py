"""One run: `sync` fetches, lands, enriches and builds; `import` lands files and builds. Both record themselves."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from runner import dbt, project
from runner.engine import wallets
from runner.engine.adopt import adopt_existing
from runner.engine.enrich import enrich
from runner.engine.fetch import Task, fetch_fills
from runner.engine.record import Recorded, Summary
from runner.engine.writer import check_budget, new_run_id, writing
from runner.errors import ExitCode, HeldBack, UpstreamError, UsageError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources import dome, files
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now, window_to_fetch

_LONGEST_BUILD = 120
"""Minutes that a build may take on DuckDB before others may think its run dead."""


class Display(Protocol):
    """What a run tells while it works."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """How far a phase is; called often."""


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
    plan(settings, warehouse, options)  # what is wrong with it is said before anything is written
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with writing(settings, warehouse, "sync", run_id, display):
        adopt_existing(warehouse, run_id, display)
        # Again, because another run may have ended since.
        change, tasks = plan(settings, warehouse, options)
        wallets.apply_change(warehouse, change, options.wallets_file)
        _tell_change(change, display)
        with Recorded("sync", warehouse, run_id, wallets=len(tasks)) as summary:
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
    run_id = new_run_id()
    with writing(settings, warehouse, "import", run_id, display):
        adopt_existing(warehouse, run_id, display)
        with Recorded("import", warehouse, run_id, wallets=0) as summary:
            intake = _intake(settings, warehouse, files.SOURCE, summary.run_id)
            summary.counts = intake.counts
            for problem in read_files(intake, paths, display):
                summary.worsen(ExitCode.PARTLY_DONE, f"{problem} The other files were imported.")
            intake.flush()
            _build(settings, warehouse, summary, display)
    return summary


def read_files(intake: Intake, paths: Sequence[Path], display: Display) -> list[str]:
    """Hands every record of the files to the intake; gives what is wrong with files that cannot be read as a whole.

    Raises:
        UsageError: there was no record in any of them, and one cannot be read.
    """
    problems: list[UsageError] = []
    for number, path in enumerate(paths, start=1):
        try:
            for record in files.records(path):
                intake.add([record.raw], None, f"{path.name}, {record.place}")
        except UsageError as error:
            problems.append(error)
        display.progress("Reading", number, len(paths), path.name)
    if problems and not intake.counts.received:
        raise problems[0]
    return [str(problem) for problem in problems]


def _intake(settings: Settings, warehouse: Warehouse, source: str, run_id: str) -> Intake:
    spool = spool_dir(settings)
    # What a killed run left never landed and is asked for again. After a day, because another run may be at work.
    for file in spool.glob("*"):
        if time.time() - file.stat().st_mtime > 86_400:
            file.unlink(missing_ok=True)
    return Intake(warehouse, source, spool, run_id, settings.batch_rows)


def spool_dir(settings: Settings) -> Path:
    """Where batches wait to be loaded, beside the DuckDB file. Nothing between runs is needed; safe to delete then."""
    if project.read_output(project.find_profiles(), settings.target).type != "duckdb":
        return Path(tempfile.gettempdir()) / "polytrades-spool"
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
    summary.enriched = await enrich(settings, warehouse, spool_dir(settings), summary.run_id)
    found = f"{summary.enriched.markets.landed:,} markets, {summary.enriched.events.landed:,} events"
    display.progress("Markets and events", 1, 1, found)
    for problem in summary.enriched.problems:
        summary.worsen(ExitCode.PARTLY_DONE, f"{problem} The next run asks for them again.")


def _build(settings: Settings, warehouse: Warehouse, summary: Summary, display: Display) -> None:
    build = _built(settings, warehouse, summary, display)
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
    summary.fills_new = warehouse.new_fills()
    warehouse.empty_merged_days((utc_now() - timedelta(days=settings.landing_retention_days)).date())
    for name, message in build.failed_tests.items():
        summary.worsen(ExitCode.CHECK_FAILED, f"The check {name} failed: {message}. `polytrades status` says more.")
    received = summary.counts.received
    if received and summary.counts.rejected > settings.max_rejected_share * received:
        summary.worsen(
            ExitCode.CHECK_FAILED,
            f"{summary.counts.rejected:,} of {received:,} records were rejected, more than max_rejected_share "
            f"({settings.max_rejected_share:.0%}) allows. They are kept in landing.rejected_records, with reasons.",
        )


def _built(settings: Settings, warehouse: Warehouse, summary: Summary, display: Display) -> dbt.BuildResult:
    """Runs dbt; on BigQuery in two parts, because the check of all keys has a byte limit of its own.

    Raises:
        HeldBack: dbt did not start, the lease has passed to another run, or the budget is used up.
    """
    kept = "What has landed is kept."
    check_budget(settings, warehouse, f"{kept} It was not merged.")
    # dbt keeps a DuckDB file to itself, so there the lease cannot be renewed until it has ended.
    minutes = _LONGEST_BUILD if warehouse.name == "duckdb" else settings.lease_minutes
    if not warehouse.renew_lease(minutes):
        raise HeldBack(
            f"The lease of this run has passed to another one. {kept} The other run, or the next, merges it."
        )
    job = dbt.Job(summary.command, summary.run_id)
    if warehouse.name == "duckdb":
        return _built_part(settings, display, job, "dbt build")
    whole_table = "tag:whole_table"
    build = _built_part(settings, display, replace(job, selection=("--exclude", whole_table)), "dbt build")
    if build.is_complete:
        check_budget(settings, warehouse, "Everything is merged; the check of all keys was left out.")
        limit = settings.whole_table_bytes_limit
        check = replace(job, selection=("-s", whole_table), maximum_bytes_billed=limit, part="whole_table")
        build.add(_built_part(settings, display, check, "Whole-table check"))
    warehouse.collect_costs()
    summary.bytes_billed = warehouse.bytes_billed_by(summary.run_id)
    summary.bytes_billed_today = warehouse.bytes_billed_on(utc_now().date())
    return build


def _built_part(settings: Settings, display: Display, job: dbt.Job, phase: str) -> dbt.BuildResult:
    """One call of dbt, again where all that failed may pass: a build is safe to run twice."""
    for attempt in range(1, settings.dbt_attempts + 1):
        build = dbt.build(settings, lambda done, total, node: display.progress(phase, done, total, node), job)
        if not build.may_pass or attempt == settings.dbt_attempts:
            break
        name, message = next(iter(build.failed_nodes.items()))
        pause = min(60.0, settings.retry_pause_seconds * 2 ** (attempt - 1))
        display.note(f"dbt failed in passing at {name} ({message}); again in {pause:,.0f} s.")
        time.sleep(pause)
    return build


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
