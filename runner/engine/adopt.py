"""A production table that was there before polytrades: looked at, and taken on as it is or refused with a plan."""

from runner.engine.writer import Notes
from runner.errors import UsageError
from runner.warehouse.protocol import Adoption, Warehouse
from runner.windows import utc_now

ACCEPT = "--accept-known-defects"


def adopt_existing(warehouse: Warehouse, run_id: str, notes: Notes, accept_defects: bool = False) -> Adoption | None:
    """Adopts a table `trades` that polytrades did not make; None where there is nothing to adopt.

    Raises:
        UsageError: the table cannot be taken on as it is. The message is the plan; nothing was changed.
    """
    adoption = warehouse.find_adoption()
    if adoption is None:
        return None
    if refusal := why_refused(adoption, accept_defects):
        raise UsageError(refusal)
    warehouse.adopt(adoption, run_id, utc_now())
    notes.note(f"Adopted {described(adoption)}")
    return adoption


def described(adoption: Adoption) -> str:
    """The table in a sentence, and what adopting it does."""
    span = ""
    if adoption.first_fill_at and adoption.last_fill_at:
        span = f", {adoption.first_fill_at:%Y-%m-%d} to {adoption.last_fill_at:%Y-%m-%d}"
    appended = f"{len(adoption.missing_columns)} columns appended ({', '.join(adoption.missing_columns) or 'none'})"
    return (
        f"{adoption.table}: {adoption.rows:,} rows of {adoption.wallets:,} wallets{span}; {appended}; each wallet's "
        "checkpoint starts at its newest fill, and its history counts as inherited. Nothing was dropped or rewritten."
    )


def why_refused(adoption: Adoption, accept_defects: bool) -> str | None:
    """What is in the way, with what to do about each; None if nothing is."""
    steps = list(adoption.problems)
    if adoption.null_keys and not accept_defects:
        steps.append(
            f"{adoption.null_keys:,} rows have no wallet_address, tx_hash, order_hash or timestamp, and would never "
            "be found "
            "by a merge: put a value there, or move them to another table"
        )
    if adoption.duplicate_keys and not accept_defects:
        steps.append(
            f"{adoption.duplicate_keys:,} keys stand there more than once: copy one row of each into a new table "
            "(qualify "
            "row_number() over (partition by wallet_address, tx_hash, order_hash order by timestamp desc) = 1) and "
            "swap the "
            "names"
        )
    if not steps:
        return None
    plan = " ".join(f"({number}) {step}." for number, step in enumerate(steps, start=1))
    accepting = (
        f" `polytrades adopt {ACCEPT}` takes the table on with its defects, which the duplicate monitor will report."
        if adoption.has_defects and not adoption.problems
        else ""
    )
    return (
        f"{adoption.table} was there before polytrades and cannot be taken on as it is; nothing was changed. {plan} "
        "Then run "
        f"the same command again.{accepting}"
    )
