"""The checks in words: a row of mon_checks becomes a finding with its reason and what to do.

What is judged, and by which limits, is SQL (models/monitoring/mon_checks.sql); here it is only said.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from runner.units import as_bytes, duration
from runner.warehouse.monitored import CheckRow


class Verdict(StrEnum):
    """OK: nothing to do. WARN: look at it today. FAIL: a promise is broken or the pipeline stands still."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


ORDER = [Verdict.OK, Verdict.WARN, Verdict.FAIL]


@dataclass(frozen=True)
class Finding:
    """One reason for a verdict, and what to do about it. `check` and `subject` name what was judged."""

    verdict: Verdict
    reason: str
    remedy: str
    check: str
    subject: str = ""


@dataclass(frozen=True)
class Wording:
    """A check in words: what it looks at, what is said if it is not OK, what to do then."""

    title: str
    reason: Callable[[CheckRow], str]
    remedy: str


def findings(rows: Iterable[CheckRow]) -> list[Finding]:
    """What is not OK, the worst first."""
    found = [finding(row) for row in rows if row.verdict != Verdict.OK]
    return sorted(found, key=lambda each: (-ORDER.index(each.verdict), _place(each.check), each.subject))


def finding(row: CheckRow) -> Finding:
    """A row in words; a check that only the project knows is said as it is."""
    words = CHECKS.get(row.check_name, _UNKNOWN)
    reason = words.reason(row)
    return Finding(Verdict(row.verdict), reason, words.remedy, row.check_name, row.subject or "")


def _place(check: str) -> int:
    """The order of CHECKS; what is not there comes last."""
    return list(CHECKS).index(check) if check in CHECKS else len(CHECKS)


def _said(template: str, row: CheckRow) -> str:
    """Fills {n} (measured, whole), {x}, {hours}, {percent}, {of} (affected), {bytes}, {run}, and the texts."""
    x = row.measured or 0.0
    return template.format(
        n=f"{x:,.0f}",
        x=f"{x:,.1f}",
        hours=duration(x * 3600),
        percent=f"{x:.1%}",
        of=f"{row.affected or 0:,}",
        bytes=as_bytes(row.affected or 0),
        run=f"The last {row.subject or 'sync'}" + (f" ({row.run_at:%Y-%m-%d %H:%M} UTC)" if row.run_at else ""),
        subject=row.subject or "",
        detail=(row.detail or "no message").rstrip("."),
        are="is" if round(x) == 1 else "are",
        s="" if round(x) == 1 else "s",
        name=row.check_name,
    )


def _worded(title: str, template: str, remedy: str) -> Wording:
    return Wording(title, partial(_said, template), remedy)


_UNKNOWN = _worded("{name}", "{name}: {x} ({detail}).", "See the model mon_checks, where it is made.")

CHECKS: dict[str, Wording] = {
    "duplicate_keys": _worded(
        "duplicate keys",
        "{n} key{s} stand in trades more than once, or with a NULL.",
        "Run `polytrades duplicates`: it shows the rows side by side, and repairs.",
    ),
    "batch_keys": _worded(
        "keys of the last batch",
        "{n} key{s} of the last batch do not stand in trades exactly once.",
        "Look at monitoring.mon_batch_keys_not_once; `polytrades sync` builds again.",
    ),
    "key_collisions": _worded(
        "key collisions",
        "{n} fill{s} share their key with another one.",
        "They are kept in trade_collisions; `fills` has both. Compare them with the chain.",
    ),
    "failed_tests": _worded(
        "dbt tests",
        "{n} data test{s} of the last run failed: {detail}.",
        "`dbt test -s NAME` shows the rows; docs/guides/on-call.md says what each means.",
    ),
    "silent_exchange": _worded(
        "known exchanges",
        "{n} known exchange{s} {are} not heard any more: {detail}.",
        "Look whether it was replaced (seeds/exchange_contracts.csv), or the source leaves it out.",
    ),
    "unknown_exchange": _worded(
        "unknown exchanges",
        "{n} taker{s} of many fills {are} no known exchange: {detail}.",
        "If it is a new exchange contract, put it into seeds/exchange_contracts.csv and build again.",
    ),
    "run_overdue_hours": _worded(
        "nightly run",
        "The last sync started {hours} ago.",
        "Check the scheduler of the nightly job, then run `polytrades sync`.",
    ),
    "run_failed": _worded(
        "last runs",
        "{run} ended with code {of}: {detail}.",
        "Do what the message says; unless it ended with 4, run the same command again then.",
    ),
    "run_without_end": _worded(
        "runs without an end",
        "{run} has not recorded its end and does not hold the lease: it was killed.",
        "Run the same command again: it goes on where that run stopped.",
    ),
    "budget_share": _worded(
        "byte budget",
        "{bytes} have been billed today, {percent} of the daily budget.",
        "`polytrades cost` shows what used it; at 100 % runs end with 3 until tomorrow.",
    ),
    "unmerged_hours": _worded(
        "unmerged batches",
        "{of} batches have landed and are not merged, the oldest for {hours}.",
        "Run `polytrades sync` or `dbt build`; if it fails, it says which model.",
    ),
    "checkpoint_hours": _worded(
        "checkpoints",
        "{of} wallets lag; the oldest checkpoint of a followed wallet is {hours} old.",
        "Run `polytrades sync`; `polytrades checkpoints` shows who lags.",
    ),
    "silent_hours": _worded(
        "silence of the source",
        "The newest fill is {hours} older than the newest checkpoint, and fills should have come since.",
        "Check that the order API still has new fills (`polytrades doctor`).",
    ),
    "volume_drop": _worded(
        "fewer fills than usual",
        "{detail} has {of} fills, {x} spreads below a usual day.",
        "Look whether the upstream lacks some: `polytrades gaps`, then `polytrades backfill --again` over that day.",
    ),
    "volume_surge": _worded(
        "more fills than usual",
        "{detail} has {of} fills, {x} spreads above a usual day.",
        "Look at the report: a new wallet, a busy market, or records that come twice under other keys.",
    ),
    "rejected_share": _worded(
        "rejected records",
        "{run} rejected {of} records, {percent} of what came.",
        "`polytrades rejected list` shows them with reasons; one reason all of a sudden is a change of the upstream.",
    ),
    "coverage_holes": _worded(
        "coverage",
        "{n} window{s} between fetched ones {are} missing, of {of} wallets.",
        "Run `polytrades backfill --gaps`; `polytrades gaps` lists them.",
    ),
    "never_fetched": _worded(
        "wallets without a checkpoint",
        "{n} followed wallet{s} {are} without a checkpoint: their first fetch has not ended.",
        "Run `polytrades sync`; if it stays, its summary says why they fail.",
    ),
    "moved_timestamps": _worded(
        "moved timestamps",
        "{n} record{s} of the last batch give a known fill another time.",
        "Look at monitoring.mon_moved_timestamps: which source says so?",
    ),
    "token_without_market": _worded(
        "tokens without a market",
        "{n} token{s} of {of} fills have waited too long for their market.",
        "Look at monitoring.mon_source_findings; Gamma may list the market under another name.",
    ),
    "stand_in_share": _worded(
        "keys without an order hash",
        "{of} fills of the last seven days have no order hash, {percent} of all.",
        "The source leaves it out; the chain has it. See docs/concepts/one-fill-one-row.md.",
    ),
    # What is known without the models.
    "warehouse_empty": _worded(
        "warehouse",
        "This warehouse is empty: nothing has run yet.",
        "Run `polytrades sync`, or `polytrades demo` to see one.",
    ),
    "lost_mart": _worded(
        "lost tables",
        "The table {subject} is missing, but the ledger says that batches were merged into it.",
        "Restore it from a backup; `dbt build` refuses to make an empty one and says what else can be done.",
    ),
    "checks_unread": _worded(
        "the checks themselves",
        "The checks cannot be read: {detail}.",
        "Run `dbt build`, which makes the monitoring models again.",
    ),
    "not_built": _worded(
        "first build",
        "Nothing has been built yet, so nothing is checked.",
        "Run `polytrades sync` or `dbt build`.",
    ),
}
