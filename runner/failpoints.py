"""Places where a process can be made to die or to fail, to show that nothing is lost there.

`POLYTRADES_FAULT=SITE:KIND:N` strikes when the process passes SITE for the N-th time: `kill` ends it as SIGKILL does,
`term` sends it SIGTERM, `raise` raises Injected. Unset, a passing costs a look into a dictionary that is empty.
"""

import os
import signal

from runner.errors import PolytradesError, UsageError

SITES = {
    "tables.made": "Landing and state tables exist; nothing is known yet.",
    "lease.taken": "The lease is ours; nothing is fetched.",
    "wallets.changed": "The list of followed wallets is changed; nothing is fetched.",
    "run.recorded": "The run has its first row in state.runs.",
    "page.received": "A page has come and is not in a batch yet.",
    "batch.written": "A batch is a file in the spool; nothing of it is in the warehouse.",
    "batch.loaded": "The rows of a batch are in landing; the manifest does not list them.",
    "batch.listed": "The manifest lists the batch; rejections and coverage are missing.",
    "rejections.kept": "The rejected records are kept; coverage is missing.",
    "coverage.recorded": "The coverage of a batch is recorded; checkpoints are not moved.",
    "checkpoints.moved": "The checkpoints are moved, in a transaction that has not ended where there is one.",
    "batch.landed": "Everything about a batch is in the warehouse; its file is still in the spool.",
    "reorganisation.healed": "What a reorganisation changed has landed; blocks are not noted anew.",
    "blocks.noted": "The newest blocks are noted; none of their logs is read.",
    "fills.landed": "All fills have landed; markets and events are not fetched.",
    "metadata.landed": "Markets and events have landed; dbt has not been started.",
    "build.ended": "dbt has ended; nothing is tidied up or recorded.",
    "landing.emptied": "Merged days are deleted from landing; the run has no last row.",
    "slice.ended": "A slice of a backfill is merged; the next one has not begun.",
    "replay.recorded": "Replayed records have landed and are marked as replayed.",
    "checkpoints.set": "A checkpoint was moved by hand.",
    "costs.collected": "The run's bytes are booked.",
    "work.kept": "A work table of a migration is written; it is not recorded.",
    "work.recorded": "A work table of a migration is recorded; the next step has not begun.",
    "month.copied": "A month is copied, in a transaction that has not ended where there is one; it is not recorded.",
    "month.recorded": "A month is copied and recorded; the next one has not begun.",
    "trades.swapped": "The repaired table is production; that is not recorded.",
    "staging.saved": "The staging table has a copy; it is not dropped.",
    "drop.recorded": "BigQuery: that the staging table is dropped is recorded; it is still there.",
    "staging.dropped": "The staging table is dropped, and that is recorded.",
    "month.taken.back": "A copied month is deleted from production again; the ledger is not reopened.",
    "ledger.reopened": "Batches merged since the copy are to be merged again; the rollback is not recorded.",
    "verification.recorded": "A verdict is recorded; the run has no last row.",
    "run.finished": "The run has its last row; the lease is still ours.",
    "lease.released": "Everything is done; the process has not ended.",
}
"""Every site with what is true when it is passed."""

KINDS = ("kill", "term", "raise")
VARIABLE = "POLYTRADES_FAULT"


class Injected(PolytradesError):
    """The failure that was asked for."""


class _Armed:
    def __init__(self, text: str) -> None:
        site, _, rest = text.partition(":")
        kind, _, number = rest.partition(":")
        if site not in SITES or kind not in KINDS or not (number or "1").isdigit() or number == "0":
            raise UsageError(
                f"{VARIABLE} is {text!r}. Write SITE:KIND:N, KIND being one of {', '.join(KINDS)} and N from 1; "
                "`polytrades doctor --failpoints` lists the sites."
            )
        self.site, self.kind, self.left = site, kind, int(number or 1)


_armed: dict[str, _Armed] = {}


def arm() -> None:
    """Reads the variable, once, when a command starts.

    Raises:
        UsageError: it names no site, kind or number.
    """
    if text := os.environ.get(VARIABLE):
        armed = _Armed(text)
        _armed[armed.site] = armed


def passing(site: str) -> None:
    """Marks a site; does nothing unless it is armed.

    Raises:
        Injected: the kind is `raise` and the N-th passing is this one.
    """
    armed = _armed.get(site)
    if armed is None:
        return
    armed.left -= 1
    if armed.left:
        return
    if armed.kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.kind == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        return
    raise Injected(f"The failpoint {site} was asked to fail here. Run the same command again without {VARIABLE}.")
