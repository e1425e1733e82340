"""Who may write: the lease of a run, the jobs that a dead one left, and the day's budget."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from runner import failpoints
from runner.errors import HeldBack, PolytradesError
from runner.settings import Settings
from runner.units import as_bytes
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

_ORPHANS_MAY_TAKE = 60.0
"""Seconds that a dead run's job is given to end by itself."""


class Notes(Protocol):
    """Where a writer says what it found."""

    def note(self, text: str) -> None:
        """A line that stays."""


def new_run_id() -> str:
    """Names a run: its start, and something to tell two of the same second apart."""
    return f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextmanager
def writing(settings: Settings, warehouse: Warehouse, command: str, run_id: str, notes: Notes) -> Iterator[None]:
    """Holds the lease for the block; before it, ends what a dead holder left; after it, books what the run cost.

    Raises:
        HeldBack: somebody else holds the lease, or the day's budget is used up.
    """
    warehouse.names_jobs(command, run_id)
    before = warehouse.acquire_lease(run_id, f"polytrades {command} (run {run_id})", settings.lease_minutes)
    failpoints.passing("lease.taken")
    try:
        with warehouse.keeping_lease(settings.lease_minutes):
            if before is not None:
                notes.note(f"The lease was taken over from {before}, which did not end properly.")
                for line in warehouse.end_orphans(before, _ORPHANS_MAY_TAKE):
                    notes.note(line)
            check_budget(settings, warehouse, "Nothing was fetched.")
            yield
    except BaseException:
        # dbt may have been killed in the middle of a job: it must not write after the lease is gone.
        with suppress(PolytradesError):
            warehouse.end_orphans(run_id, 0)
        raise
    finally:
        with suppress(PolytradesError):
            warehouse.collect_costs()
            failpoints.passing("costs.collected")
        with suppress(PolytradesError):
            warehouse.release_lease()
            failpoints.passing("lease.released")


def check_budget(settings: Settings, warehouse: Warehouse, consequence: str) -> None:
    """Refuses once the jobs of this UTC day have billed the daily budget.

    Raises:
        HeldBack: the budget is used up; the message says by what, and how to go on.
    """
    warehouse.collect_costs()
    today = utc_now().date()
    spent = warehouse.bytes_billed_on(today)
    if spent < settings.daily_bytes_budget:
        return
    users = [
        f"{cost.kind} {cost.name} {as_bytes(cost.bytes_billed)}"
        for cost in warehouse.costs(today)[:3]
        if cost.day == today and cost.bytes_billed
    ]
    raise HeldBack(
        f"The jobs of {today} (UTC) have billed {as_bytes(spent)}, and daily_bytes_budget is "
        f"{as_bytes(settings.daily_bytes_budget)}. {consequence} Most of it: {', '.join(users)}. Tomorrow's run goes "
        "on from here by itself; to go on today, raise POLYTRADES_DAILY_BYTES_BUDGET. `polytrades cost` shows more."
    )
