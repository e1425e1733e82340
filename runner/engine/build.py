"""From landed to merged: dbt, its retries and limits, and what the run's summary says of it."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from runner import dbt, failpoints
from runner.engine.record import Summary
from runner.engine.writer import check_budget
from runner.errors import ExitCode, HeldBack
from runner.settings import Settings
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

RECONCILIATION = "tag:reconciliation"
"""What only `polytrades reconcile` builds."""
_LONGEST_BUILD = 120
"""Minutes that a build may take on DuckDB before others may think its run dead."""


class Display(Protocol):
    """What a run tells while it works."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """How far a phase is; called often."""


def build(settings: Settings, warehouse: Warehouse, summary: Summary, display: Display) -> None:
    """Merges what has landed, checks it, and empties landing of what is merged and old.

    Raises:
        HeldBack: dbt did not start, the lease has passed to another run, or the budget is used up.
    """
    with summary.phase("build"):
        build = _built(settings, warehouse, summary, display)
    failpoints.passing("build.ended")
    warehouse.record_nodes(summary.run_id, build.nodes, utc_now())
    if summary.build is None:
        summary.build = build
    else:
        summary.build.add(build)
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
    summary.fills_new = (summary.fills_new or 0) + warehouse.new_fills()
    warehouse.empty_merged_days((utc_now() - timedelta(days=settings.landing_retention_days)).date())
    failpoints.passing("landing.emptied")
    for name, message in build.failed_tests.items():
        summary.worsen(ExitCode.CHECK_FAILED, f"The check {name} failed: {message}. `polytrades status` says more.")
    received = summary.counts.received
    if received and summary.counts.rejected > settings.max_rejected_share * received:
        summary.worsen(
            ExitCode.CHECK_FAILED,
            f"{summary.counts.rejected:,} of {received:,} records were rejected, more than max_rejected_share "
            f"({settings.max_rejected_share:.0%}) allows. `polytrades rejected list` has them, with reasons.",
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
        job = replace(job, selection=("--exclude", RECONCILIATION))
        return _built_part(settings, display, job, "dbt build")
    whole_table = "tag:whole_table"
    selection = ("--exclude", whole_table, RECONCILIATION)
    build = _built_part(settings, display, replace(job, selection=selection), "dbt build")
    if build.is_complete:
        check_budget(settings, warehouse, "Everything is merged; the check of all keys was left out.")
        limit = settings.whole_table_bytes_limit
        only = ("-s", whole_table, "--exclude", RECONCILIATION)
        check = replace(job, selection=only, maximum_bytes_billed=limit, part="whole_table")
        build.add(_built_part(settings, display, check, "Whole-table check"))
    warehouse.collect_costs()
    summary.bytes_billed = warehouse.bytes_billed_by(summary.run_id)
    summary.bytes_billed_today = warehouse.bytes_billed_on(utc_now().date())
    summary.bytes_budget = settings.daily_bytes_budget
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
