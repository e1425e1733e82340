"""`polytrades status`: what is there, and a verdict with reason and remedy."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from runner.errors import ExitCode
from runner.settings import Settings
from runner.warehouse.protocol import Run, Totals
from runner.windows import utc_now

_OVERDUE = timedelta(hours=26)
"""A nightly run is overdue after a day and some slack."""
_RUNS_SHOWN = 5


class Verdict(StrEnum):
    """OK: nothing to do. WARN: look at it today. FAIL: a promise is broken or the pipeline stands still."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One reason for a verdict, and what to do about it."""

    verdict: Verdict
    reason: str
    remedy: str


@dataclass
class Status:
    """What `status` prints."""

    verdict: Verdict
    findings: list[Finding]
    totals: Totals
    taken_at: datetime
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """4 on FAIL."""
        return ExitCode.CHECK_FAILED if self.verdict is Verdict.FAIL else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """For `--json`: instants in ISO 8601."""
        content = {"command": "status", "exit_code": int(self.exit_code), **asdict(self)}
        content["totals"]["last_runs"] = content["totals"]["last_runs"][:_RUNS_SHOWN]
        content["last_run"] = next(iter(content["totals"]["last_runs"]), None)
        plain: dict[str, Any] = json.loads(json.dumps(content, default=_iso))
        return plain


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def assess(totals: Totals, now: datetime | None = None) -> Status:
    """The verdict on what the warehouse holds. The worst finding decides."""
    now = now or utc_now()
    findings = list(_findings(totals, now))
    order = [Verdict.OK, Verdict.WARN, Verdict.FAIL]
    verdict = max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)
    findings.sort(key=lambda finding: order.index(finding.verdict), reverse=True)
    return Status(verdict, findings, totals, now)


def _findings(totals: Totals, now: datetime) -> Iterator[Finding]:
    if totals.fills is None and not totals.last_runs and not totals.lost_marts:
        yield Finding(
            Verdict.WARN,
            "This warehouse is empty: nothing has run yet.",
            "Run `polytrades sync`, or `polytrades demo` to see one.",
        )
        return
    for mart in totals.lost_marts:
        yield Finding(
            Verdict.FAIL,
            f"The table {mart} is missing, but the ledger says that batches were merged into it.",
            "Restore it from a backup; `dbt build` refuses to make an empty one and says what else can be done.",
        )
    if totals.duplicate_keys:
        yield Finding(
            Verdict.FAIL,
            f"{totals.duplicate_keys:,} keys stand in trades more than once.",
            "Look at monitoring.mon_duplicate_keys.",
        )
    if totals.collisions:
        yield Finding(
            Verdict.FAIL,
            f"{totals.collisions:,} fills share their key with another one.",
            "They are kept in trade_collisions; `fills` has both. Compare them with the chain.",
        )
    if totals.pending_batches:
        yield Finding(
            Verdict.WARN,
            f"{totals.pending_batches:,} batches ({totals.pending_rows:,} rows) have landed and are not merged.",
            "Run `polytrades sync` or `dbt build`; if it fails, it says which model.",
        )
    # The newest run of each command: an import must not hide that the night failed.
    newest = {run.command: run for run in reversed(totals.last_runs)}
    for run in newest.values():
        yield from _about_run(run)
    nightly = newest.get("sync")
    if nightly and now - nightly.started_at > _OVERDUE:
        yield Finding(
            Verdict.FAIL,
            f"The last sync started {_hours(now - nightly.started_at)} ago.",
            "Check the scheduler of the nightly job, then run `polytrades sync`.",
        )


def _about_run(run: Run) -> Iterator[Finding]:
    name = f"The last {run.command} ({run.started_at:%Y-%m-%d %H:%M} UTC)"
    if run.finished_at is None:
        yield Finding(
            Verdict.WARN,
            f"{name} has not recorded its end: it is running, or was killed.",
            "If nothing is running, run the same command again: it goes on where that run stopped.",
        )
    elif run.exit_code:
        yield Finding(
            Verdict.FAIL if run.exit_code in (ExitCode.FAILED, ExitCode.USAGE) else Verdict.WARN,
            f"{name} ended with code {run.exit_code}: {run.message or 'no message'}",
            "Do what the message says, then run the same command again.",
        )


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:,.0f} hours"


def last_status_file(settings: Settings) -> Path:
    """Where the last status is kept for the time while dbt holds the DuckDB file."""
    return settings.duckdb_file.with_name(settings.duckdb_file.name + ".status.json")


def save(settings: Settings, status: Status) -> None:
    """Keeps the status for `read_saved`: a temporary name, then a rename."""
    file = last_status_file(settings)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(status.as_json(), indent=2))
    unfinished.replace(file)


def read_saved(settings: Settings) -> dict[str, Any] | None:
    """The last status kept, as its JSON; None if there is none."""
    try:
        content: dict[str, Any] = json.loads(last_status_file(settings).read_text())
    except (OSError, ValueError):
        return None
    return content
