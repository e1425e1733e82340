"""An upstream that answers everybody with nothing is not believed."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from runner.engine.fetch import Fetched, Task
from runner.engine.plan import SyncPlan, overlap_of
from runner.engine.record import Summary
from runner.errors import ExitCode
from runner.landing.covered import source_of
from runner.settings import Settings
from runner.warehouse.protocol import CheckpointMove, Warehouse
from runner.windows import Window, utc_now


def check_silence(settings: Settings, warehouse: Warehouse, plan: SyncPlan, fetched: Fetched, summary: Summary) -> bool:
    """Says in the summary that not one fill came where some should have, and puts the checkpoints back.

    Judged is what was fetched to its end: of wallets that were known before, or, where there are none, of the new ones;
    and with it the nights before in which no record came, so that those of a few wallets add up. A fill that was known
    does not count. Put back is whatever got no answer then, the past too: an upstream that is silent for three nights
    and then has them all must be asked for all three. Gives whether it is suspicious.
    """
    finished = fetched.finished(plan.tasks)
    ended = [task for task in finished if task.moves_checkpoint and task.wallet not in fetched.failures]
    judged = [task for task in ended if not task.is_history] or ended
    if not judged or not fetched.heard.isdisjoint(judged) or not settings.silent_wallet_days:
        return False
    source, at = source_of(settings), utc_now()
    last = warehouse.last_heard(source, summary.run_id)
    # Where the chain has not come to, there can be nothing.
    ends = [min(task.window.end, fetched.reached or task.window.end) for task in judged]
    days = _wallet_days(Window(_quiet_since(task, last), end) for task, end in zip(judged, ends, strict=True))
    if days < settings.silent_wallet_days:
        return False
    # What came last may have been of the overlap alone, so the whole of that night is asked for again.
    back = (last.start + overlap_of(settings) if last.start else last.end) if last else None
    before: dict[str, datetime] = {}
    for task in finished:
        if task in fetched.heard:
            continue
        known = before.get(task.wallet, plan.checkpoints.get(task.wallet, task.window.begins))
        # Of a window behind a checkpoint the beginning is the overlap, which was asked for before.
        before[task.wallet] = min(known, task.window.begins if task.is_history else back or known)
    warehouse.set_checkpoints(
        [CheckpointMove(source, wallet, until, summary.run_id, at) for wallet, until in before.items()]
    )
    _tell(
        settings,
        judged,
        days,
        "Their checkpoints are where they were when a record came last, so the next run asks for all that time again. "
        "If the wallets are quiet, raise silent_wallet_days.",
        summary,
    )
    return True


def check_past(settings: Settings, tasks: Sequence[Task], fetched: Fetched, summary: Summary) -> bool:
    """Says in the summary that a backfill brought nothing at all where much was asked for; gives whether it is so."""
    judged = [task for task in fetched.finished(tasks) if task.wallet not in fetched.failures]
    days = _wallet_days(task.window for task in judged)
    if fetched.received or not 0 < settings.silent_wallet_days <= days:
        return False
    _tell(
        settings,
        judged,
        days,
        "None of it counts as covered, so the same command asks again. If the wallets did not trade then, repeat it "
        "with POLYTRADES_SILENT_WALLET_DAYS=0.",
        summary,
    )
    return True


def _quiet_since(task: Task, last: Window | None) -> datetime:
    """Since when nobody has been answered with a record: the beginning of the window, or before."""
    begins = task.window.begins
    return begins if task.is_history or last is None else min(begins, last.end)


def _wallet_days(windows: Iterable[Window]) -> float:
    return sum(window.length.total_seconds() for window in windows) / 86_400


def _tell(settings: Settings, judged: Sequence[Task], days: float, what_then: str, summary: Summary) -> None:
    where = "the order API still has fills"
    if settings.source == "polygon":
        where = "seeds/exchange_contracts.csv has the exchanges of today"
    asked = len({task.wallet for task in judged})
    summary.worsen(
        ExitCode.CHECK_FAILED,
        f"Not one new fill came for {asked:,} wallets over {days:,.0f} wallet-days. That is suspicious: check that "
        f"{where}. {what_then}",
    )
