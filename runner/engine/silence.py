"""An upstream that answers everybody with nothing is not believed."""

from dataclasses import replace
from datetime import datetime

from runner.engine.fetch import Fetched
from runner.engine.plan import SyncPlan
from runner.engine.record import Summary
from runner.errors import ExitCode
from runner.landing.covered import source_of
from runner.settings import Settings
from runner.warehouse.protocol import CheckpointMove, Warehouse
from runner.windows import utc_now


def check_silence(settings: Settings, warehouse: Warehouse, plan: SyncPlan, fetched: Fetched, summary: Summary) -> None:
    """Says in the summary that not one fill came where some should have, and puts the checkpoints back.

    Judged is what was fetched to its end: of wallets that were known before, or, where there are none, of the new ones.
    Put back is whatever got no answer then, the past too: an upstream that is silent for three nights and then has them
    all must be asked for all three.
    """
    unfinished = set(fetched.unfinished)
    finished = [task for task in plan.tasks if task not in unfinished]
    ended = [task for task in finished if task.moves_checkpoint and task.wallet not in fetched.failures]
    judged = [task for task in ended if not task.is_history] or ended
    # Where the chain has not come to, there can be nothing.
    ends = [min(task.window.end, fetched.reached or task.window.end) for task in judged]
    lengths = [replace(task.window, end=end).length for task, end in zip(judged, ends, strict=True)]
    days = sum(length.total_seconds() for length in lengths) / 86_400
    if not fetched.heard.isdisjoint(judged) or not 0 < settings.silent_wallet_days <= days:
        return
    source, at = source_of(settings), utc_now()
    before: dict[str, datetime] = {}
    for task in finished:
        if task in fetched.heard:
            continue
        known = before.get(task.wallet, plan.checkpoints.get(task.wallet, task.window.begins))
        # Of a window behind a checkpoint the beginning is the overlap, which was asked for before.
        before[task.wallet] = min(known, task.window.begins) if task.is_history else known
    warehouse.set_checkpoints(
        [CheckpointMove(source, wallet, until, summary.run_id, at) for wallet, until in before.items()]
    )
    asked = len({task.wallet for task in judged})
    where = "the order API still has new fills"
    if settings.source == "polygon":
        where = "seeds/exchange_contracts.csv has the exchanges of today"
    summary.worsen(
        ExitCode.CHECK_FAILED,
        f"Not one fill came for {asked:,} wallets over {days:,.0f} wallet-days. That is suspicious: check that "
        f"{where}. Their checkpoints stay where they were, so the next run asks for the same time again. If the "
        "wallets are quiet, raise silent_wallet_days.",
    )
