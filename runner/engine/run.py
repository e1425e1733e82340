"""One run: `sync` fetches, lands, enriches and builds; `import` lands files and builds. Both record themselves."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from runner import dbt, failpoints, project
from runner.engine import wallets
from runner.engine.adopt import adopt_existing
from runner.engine.build import Display, build
from runner.engine.chain import Chain
from runner.engine.enrich import enrich
from runner.engine.fetch import Fetched, Task
from runner.engine.order_api import OrderApi
from runner.engine.plan import SyncOptions, SyncPlan, plan_sync
from runner.engine.record import Recorded, Summary
from runner.engine.silence import check_silence
from runner.engine.workers import Loop
from runner.engine.writer import new_run_id, writing
from runner.errors import ExitCode, UpstreamError, UsageError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources import files, orders, polygon
from runner.warehouse.protocol import Warehouse

GOES_ON = "The same command goes on from there."


def sync(settings: Settings, warehouse: Warehouse, options: SyncOptions, display: Display) -> Summary:
    """Fetches the followed wallets from their checkpoints, lands, enriches, builds, records.

    Raises:
        PolytradesError: the run ended early; what had landed stays, and the run is recorded.
    """
    plan_sync(settings, warehouse, options)  # what is wrong with it is said before anything is written
    check_source(settings)
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with writing(settings, warehouse, "sync", run_id, display):
        adopt_existing(warehouse, run_id, display)
        # Again, because another run may have ended since.
        plan = plan_sync(settings, warehouse, options)
        wallets.apply_change(warehouse, plan.change, options.wallets_file)
        _tell_change(plan.change, display)
        if plan.since_ignored:
            display.note(
                f"{plan.since_ignored:,} wallets have been fetched before, and --since says nothing of them: they go "
                "on from their checkpoints. `polytrades backfill --from` fetches an older window."
            )
        with Recorded("sync", warehouse, run_id, wallets=len({task.wallet for task in plan.tasks})) as summary:
            with upstream_intake(settings, warehouse, run_id) as intake:
                summary.counts = intake.counts
                for skipped in plan.skipped:
                    intake.covered(skipped)
                with (
                    summary.phase("fetch"),
                    upstream_of(settings, warehouse, run_id, options.max_requests, heals=True) as upstream,
                ):
                    fetched = upstream.fetch(intake, plan.tasks, "Fetching", display)
                check_answered(plan.tasks, fetched, summary)
                tell_fetched(plan.tasks, fetched, summary, is_spent=upstream.budget.is_spent)
                if not upstream.budget.is_spent:
                    _tell_history(plan, fetched, summary)
                intake.settle(check_silence(settings, warehouse, plan, fetched, summary))
                enrich_landed(settings, warehouse, summary, display)
            build(settings, warehouse, summary, display)
    return summary


def check_source(settings: Settings) -> None:
    """Refuses a source that cannot be asked, before anything is written.

    Raises:
        UsageError: the chain is to be read, and there is no node.
    """
    if settings.source == "polygon":
        polygon.addresses(settings)


def check_answered(tasks: Sequence[Task], fetched: Fetched, summary: Summary) -> None:
    """Notes the wallets that failed, and ends a run in which nobody was answered.

    Raises:
        UpstreamError: no wallet was answered, and nothing came.
    """
    summary.wallets_failed |= fetched.failures
    if fetched.failures and len(fetched.failures) == len({task.wallet for task in tasks}) and not fetched.received:
        raise UpstreamError(next(iter(fetched.failures.values())))


def tell_fetched(
    tasks: Sequence[Task], fetched: Fetched, summary: Summary, is_spent: bool, then: str = GOES_ON
) -> None:
    """Says in the summary what of a fetch is not as it should be.

    `is_spent`: the run may send no more requests. `then`: a sentence about what the same command does with the rest.
    """
    if failures := fetched.failures:
        wallet, message = next(iter(failures.items()))
        summary.worsen(
            ExitCode.PARTLY_DONE,
            f"{len(failures)} of {len({task.wallet for task in tasks})} wallets could not be fetched and keep their "
            f"checkpoint; the first is {wallet}: {message}",
        )
    if is_spent and fetched.unfinished:
        left = {task.wallet for task in fetched.unfinished} - set(summary.wallets_failed)
        summary.wallets_unfinished = len(left)
        summary.worsen(
            ExitCode.PARTLY_DONE,
            f"{len(fetched.unfinished):,} windows were not fetched to their end, because the run may send no more "
            f"requests. {then}",
        )
    if fetched.seconds_ahead:
        summary.messages.append(
            f"This machine's clock is {fetched.seconds_ahead:,.0f} s ahead of the upstream's. Checkpoints end that "
            "much earlier, so nothing is lost; set the clock right."
        )
    if fetched.differing:
        summary.messages.append(
            f"In {fetched.differing:,} windows another number of records came than the upstream had said there are. "
            "`polytrades gaps` lists them, and `polytrades backfill --gaps` asks once more where too few came."
        )


def enrich_landed(settings: Settings, warehouse: Warehouse, summary: Summary, display: Display) -> None:
    """Fetches and lands the markets and events of what has landed."""
    display.progress("Markets and events", 0, 0, "")
    run_id, began = summary.run_id, summary.started_at
    with summary.phase("metadata"), closing(Loop()) as loop:
        found = loop.run(enrich(settings, warehouse, spool_dir(settings), run_id, began))
    summary.enriched.markets.add(found.markets)
    summary.enriched.events.add(found.events)
    landed = f"{found.markets.landed:,} markets, {found.events.landed:,} events"
    display.progress("Markets and events", 1, 1, landed)
    for problem in found.problems:
        summary.worsen(ExitCode.PARTLY_DONE, f"{problem} The next run asks for them again.")
    failpoints.passing("metadata.landed")


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
            with intake_for(settings, warehouse, None, run_id) as intake:
                summary.counts = intake.counts
                for problem in read_files(intake, paths, display):
                    summary.worsen(ExitCode.PARTLY_DONE, f"{problem} The other files were imported.")
                intake.flush()
            build(settings, warehouse, summary, display)
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


def upstream_of(
    settings: Settings, warehouse: Warehouse, run_id: str, max_requests: int | None, heals: bool = False
) -> OrderApi | Chain:
    """The chosen source, as a context manager. `heals`: what the chain has changed since the last run is made good."""
    if settings.source == "polygon":
        return Chain(settings, warehouse, run_id, max_requests, heals)
    return OrderApi(settings, max_requests)


def upstream_intake(settings: Settings, warehouse: Warehouse, run_id: str, again: bool = False) -> Intake:
    """The door for the chosen source's records."""
    if settings.source == "polygon":
        return Intake(warehouse, polygon.SOURCE, _swept_spool(settings), run_id, settings.batch_rows, again=again)
    return intake_for(settings, warehouse, orders.dialect_of(settings), run_id, again)


def intake_for(
    settings: Settings, warehouse: Warehouse, dialect: orders.Dialect | None, run_id: str, again: bool = False
) -> Intake:
    """The door for records of an order API, or of files (no dialect)."""
    spool = _swept_spool(settings)
    if dialect is None:
        return Intake(warehouse, files.SOURCE, spool, run_id, settings.batch_rows)
    fields = dialect.extra_fields, dialect.optional_fields
    return Intake(warehouse, dialect.source, spool, run_id, settings.batch_rows, *fields, again=again)


def _swept_spool(settings: Settings) -> Path:
    """The spool without what killed runs left: it never landed and is asked for again."""
    spool = spool_dir(settings)
    for file in spool.glob("*"):
        if time.time() - file.stat().st_mtime > 86_400:  # a younger one may be of a run that is at work
            file.unlink(missing_ok=True)
    return spool


def spool_dir(settings: Settings) -> Path:
    """Where batches wait to be loaded, beside the DuckDB file. Nothing between runs is needed; safe to delete then."""
    if project.read_output(project.find_profiles(), settings.target).type != "duckdb":
        return Path(tempfile.gettempdir()) / "polytrades-spool"
    return settings.duckdb_file.with_name(settings.duckdb_file.name + ".spool")


def _tell_history(plan: SyncPlan, fetched: Fetched, summary: Summary) -> None:
    """How much of the past of new wallets is left for the next runs."""
    waiting = [task for task in fetched.unfinished if task.is_history]
    if waiting:
        summary.history_pending = len({task.wallet for task in waiting})
        summary.messages.append(
            f"The history of {summary.history_pending:,} of {len(plan.wallets):,} wallets is not complete yet: a run "
            "sends at most history_requests_per_run requests for the past. The next run goes on."
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
