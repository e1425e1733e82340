"""`polytrades status`: a verdict with reason and remedy, and what is there.

One look; it is kept as JSON for those who come while the DuckDB file is held.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from runner.errors import ExitCode, Failed, UsageError
from runner.monitor.checks import ORDER, Finding, Verdict, findings
from runner.settings import Settings
from runner.warehouse.migrating import Progress, progress
from runner.warehouse.monitored import CheckRow, DayRow, Monitored, RunRow
from runner.warehouse.protocol import Run, Totals, Warehouse
from runner.windows import utc_now

_RUNS_SHOWN = 5
_WALLETS_SHOWN = 10
_MISSING_NAMED = 100
_ENDED = ("swapped", "dropped", "rolled back")
"""Stages of a migration of which there is nothing more to say."""


@dataclass
class Status:
    """What was found in one look."""

    verdict: Verdict
    findings: list[Finding]
    checks: list[CheckRow]
    totals: Totals
    monitored: Monitored
    taken_at: datetime
    budget: int | None = None
    price_per_tib: float = 0.0
    migration: Progress | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """4 on FAIL."""
        return ExitCode.CHECK_FAILED if self.verdict is Verdict.FAIL else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """For `--json`, and all that is printed. Instants in ISO 8601, days as YYYY-MM-DD, bytes whole."""
        totals, monitored = self.totals, self.monitored
        wallets = monitored.wallets
        missing = [row.wallet_address for row in wallets if row.last_fill_at is None]
        content = {
            "command": "status",
            "exit_code": int(self.exit_code),
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            "taken_at": self.taken_at,
            "totals": {**asdict(totals), "last_runs": [asdict(run) for run in totals.last_runs[:_RUNS_SHOWN]]},
            "days": {
                "today": _of_day(monitored.days, self.taken_at.date()),
                "yesterday": _of_day(monitored.days, _day_before(self.taken_at.date())),
                "last_48_hours": sum(row.fills_48h for row in wallets) if wallets else None,
            },
            "wallets": {
                "followed": totals.wallets_followed,
                "with_fills": len(wallets) - len(missing) if wallets else totals.wallets_with_fills,
                "without_fills": len(missing),
                "without_fills_named": missing[:_MISSING_NAMED],
                "oldest_checkpoint": min((row.fetched_until for row in wallets if row.fetched_until), default=None),
                "newest_checkpoint": max((row.fetched_until for row in wallets if row.fetched_until), default=None),
                "top": [asdict(row) for row in wallets[:_WALLETS_SHOWN] if row.fills_48h],
            },
            "sources": [asdict(row) for row in monitored.sources],
            "cost": self._cost(),
            "migration": asdict(self.migration) if self.migration else None,
            "checks": [asdict(row) for row in self.checks],
            "last_run": next((asdict(run) for run in totals.last_runs), None),
            "runs": [asdict(run) for run in monitored.runs[:_RUNS_SHOWN]],
            "notes": self.notes,
        }
        plain: dict[str, Any] = json.loads(json.dumps(content, default=_iso))
        return plain

    def _cost(self) -> dict[str, Any] | None:
        if self.budget is None:
            return None
        today = next((row for row in self.monitored.costs if row.day == self.taken_at.date()), None)
        billed = today.bytes_billed if today else 0
        return {
            "bytes_billed_today": billed,
            "bytes_billed_by_tests_today": today.bytes_billed_by_tests if today else 0,
            "daily_bytes_budget": self.budget,
            "money_today": round(billed / 2**40 * self.price_per_tib, 6),
        }


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _of_day(days: list[DayRow], day: date) -> int:
    return next((row.fills for row in days if row.day == day), 0)


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def look(settings: Settings, warehouse: Warehouse) -> Status:
    """Reads state and monitoring tables, and the verdict in them. Changes nothing.

    Raises:
        HeldBack: another process holds the DuckDB file.
    """
    monitored: Monitored | None = None
    trouble = ""
    with warehouse.reading():
        totals, migration = warehouse.totals(), _migration(warehouse)
        try:
            monitored = warehouse.monitored()
        except (Failed, UsageError) as error:  # a table behind the views is gone, or may not be read
            trouble = str(error)
    checks = [*_without_models(totals, monitored, trouble), *(monitored.checks if monitored else [])]
    found = findings(checks)
    verdict = max((finding.verdict for finding in found), key=ORDER.index, default=Verdict.OK)
    is_billed = warehouse.name == "bigquery"
    return Status(
        verdict,
        found,
        checks,
        totals,
        monitored or Monitored(runs=[_as_row(run) for run in totals.last_runs]),
        utc_now(),
        settings.daily_bytes_budget if is_billed else None,
        settings.price_per_tib,
        migration,
    )


def _migration(warehouse: Warehouse) -> Progress | None:
    """A migration on its way; None if there is none, or it has come to its end."""
    steps = warehouse.migration_steps()
    found = progress(steps, warehouse.verifications()) if steps else None
    return None if found is None or found.stage in _ENDED else found


def _without_models(totals: Totals, monitored: Monitored | None, trouble: str) -> Iterator[CheckRow]:
    """What must be said of a warehouse in which the monitoring models are not there yet, or stand on nothing."""
    for mart in totals.lost_marts:
        yield _row("lost_mart", Verdict.FAIL, subject=mart)
    if trouble and not totals.lost_marts:
        yield _row("checks_unread", Verdict.FAIL, detail=trouble)
    if monitored is not None or trouble:
        return
    if not totals.last_runs:
        yield _row("warehouse_empty" if totals.fills is None else "not_built", Verdict.WARN)
        return
    run = totals.last_runs[0]
    yield _row("not_built", Verdict.WARN)
    if run.exit_code:
        is_failure = run.exit_code in (ExitCode.FAILED, ExitCode.USAGE)
        yield CheckRow(
            "run_failed",
            run.command,
            1 + is_failure,
            run.exit_code,
            run.message,
            run.started_at,
            0,
            1,
            Verdict.FAIL if is_failure else Verdict.WARN,
        )


def _row(check: str, verdict: Verdict, subject: str | None = None, detail: str | None = None) -> CheckRow:
    return CheckRow(check, subject, 1, None, detail, None, None, None, verdict)


def _as_row(run: Run) -> RunRow:
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    return RunRow(
        run.run_id,
        run.command,
        run.started_at,
        run.finished_at,
        run.exit_code,
        False,
        seconds,
        None,
        None,
        None,
        run.records_received,
        run.records_rejected,
        run.fills_new,
        None,
        None,
        run.message,
    )


def last_status_file(settings: Settings) -> Path:
    """Where the last status is kept for the time while another process holds the DuckDB file."""
    return settings.duckdb_file.with_name(settings.duckdb_file.name + ".status.json")


def save(settings: Settings, status: Status) -> None:
    """Keeps the status for `read_saved`: a temporary name, then a rename."""
    file = last_status_file(settings)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(status.as_json(), indent=2))
    unfinished.replace(file)


def read_saved(settings: Settings) -> dict[str, Any] | None:
    """The last status kept, as its JSON; None if there is none, or one of another version."""
    try:
        content: dict[str, Any] = json.loads(last_status_file(settings).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "checks" in content else None
