"""`backfill`: the engine of `sync` over a past window, slice by slice, merged as soon as there is enough."""

import time

from runner import dbt, failpoints
from runner.engine.build import Display, build
from runner.engine.chain import Chain
from runner.engine.fetch import Fetched, Task
from runner.engine.order_api import OrderApi
from runner.engine.plan import BackfillOptions, BackfillPlan, plan_backfill
from runner.engine.public_logs import FromPublicLogs
from runner.engine.record import Recorded, Summary
from runner.engine.run import (
    GOES_ON,
    check_answered,
    check_source,
    enrich_landed,
    tell_fetched,
    upstream_intake,
    upstream_of,
)
from runner.engine.silence import check_past
from runner.engine.writer import new_run_id, writing
from runner.errors import ExitCode
from runner.settings import Settings
from runner.units import duration
from runner.warehouse.protocol import Warehouse

_BEGINS_ANEW = "With --again the same command begins anew: name what is left with --from and --to."
_FEW_ROWS = 200_000
"""Landed rows for which it is not worth starting dbt before the last slice."""


def backfill(settings: Settings, warehouse: Warehouse, options: BackfillOptions, display: Display) -> Summary:
    """Fetches what of a past window nobody has fetched; stopped anywhere, the same call goes on.

    Raises:
        PolytradesError: the run ended early; the slices before are merged, what had landed stays.
    """
    plan_backfill(settings, warehouse, options)  # what is wrong with it is said before anything is written
    if not options.public_logs:
        check_source(settings)
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with writing(settings, warehouse, "backfill", run_id, display):
        plan = plan_backfill(settings, warehouse, options)
        wallets = {task.wallet for task in plan.tasks}
        with Recorded("backfill", warehouse, run_id, wallets=len(wallets)) as summary:
            if not plan.slices:
                summary.messages.append(
                    "Everything in this window is covered already; nothing was asked for."
                    if plan.wanted
                    else "There is no hole: nothing of these wallets has been fetched yet. `polytrades sync` begins."
                )
            _run_slices(settings, warehouse, plan, options, summary, display)
    return summary


def _run_slices(
    settings: Settings,
    warehouse: Warehouse,
    plan: BackfillPlan,
    options: BackfillOptions,
    summary: Summary,
    display: Display,
) -> None:
    began = time.monotonic()
    with (
        upstream_intake(settings, warehouse, summary.run_id, options.again) as intake,
        _upstream(settings, warehouse, summary.run_id, options) as upstream,
    ):
        summary.counts = intake.counts
        merged = 0
        together = Fetched()
        begun: list[Task] = []
        for number, (window, tasks) in enumerate(plan.slices, start=1):
            phase = f"Slice {number} of {len(plan.slices)}, {window.begins:%Y-%m-%d} to {window.end:%Y-%m-%d}"
            with summary.phase("fetch"):
                fetched = upstream.fetch(intake, tasks, phase, display)
            together.add(fetched)
            begun += tasks
            display.note(f"{phase}: {fetched.received:,} records. {_time_left(began, number, len(plan.slices))}")
            is_last = number == len(plan.slices) or upstream.budget.is_spent or upstream.has_given_up
            if is_last:
                check_answered(begun, together, summary)
                # What BigQuery's public table tells is proven by its blocks.
                intake.settle(not options.public_logs and check_past(settings, begun, together, summary))
            if is_last or summary.counts.landed - merged >= _FEW_ROWS:
                enrich_landed(settings, warehouse, summary, display)
                build(settings, warehouse, summary, display)
                merged = summary.counts.landed
            failpoints.passing("slice.ended")
            if is_last or (summary.build and not summary.build.is_complete):
                break
        then = _BEGINS_ANEW if options.again else GOES_ON
        tell_fetched(plan.tasks, together, summary, upstream.budget.is_spent, then)
        _tell_rest(plan, begun, upstream, summary, then)
    if not plan.slices:  # what a run before has landed and not merged, nor asked about
        if warehouse.totals().pending_batches:
            enrich_landed(settings, warehouse, summary, display)
        build(settings, warehouse, summary, display)


def _tell_rest(
    plan: BackfillPlan, begun: list[Task], upstream: OrderApi | Chain | FromPublicLogs, summary: Summary, then: str
) -> None:
    """Says that there are slices that were not begun."""
    left = len(plan.tasks) - len(begun)
    if left and (upstream.budget.is_spent or upstream.has_given_up):
        why = "the run may send no more requests" if upstream.budget.is_spent else "the upstream does not answer"
        summary.worsen(
            ExitCode.PARTLY_DONE,
            f"{left:,} windows of later slices were not begun, because {why}. {then}",
        )


def _upstream(
    settings: Settings, warehouse: Warehouse, run_id: str, options: BackfillOptions
) -> OrderApi | Chain | FromPublicLogs:
    if options.public_logs:
        return FromPublicLogs(settings, warehouse, run_id)
    return upstream_of(settings, warehouse, run_id, options.max_requests)


def _time_left(began: float, done: int, total: int) -> str:
    """A sentence about how long the rest takes if it goes on like the slices since `began`."""
    if done >= total:
        return "That was the last one."
    left = (time.monotonic() - began) / done * (total - done)
    return f"About {duration(left)} left for {total - done:,} slices."
