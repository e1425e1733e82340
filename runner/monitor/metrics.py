"""The status as OpenMetrics text, for the textfile collector of Prometheus' node exporter."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from runner.monitor.checks import ORDER
from runner.monitor.status import Status


def write(file: Path, status: Status) -> None:
    """Writes the file by a temporary name, then a rename: the collector never reads half of it."""
    unfinished = file.with_name(file.name + ".tmp")
    unfinished.write_text(as_text(status), encoding="utf-8")
    unfinished.replace(file)


def as_text(status: Status) -> str:
    """Gauges only: everything is as of the moment of the look, and may go down."""
    return "".join(_lines(status)) + "# EOF\n"


def _lines(status: Status) -> Iterator[str]:
    totals, runs = status.totals, status.monitored.runs
    yield from _gauge("verdict", "0 OK, 1 WARN, 2 FAIL.", {"": ORDER.index(status.verdict)})
    verdicts: dict[str, float | None] = {}
    measured: dict[str, float | None] = {}
    for row in status.checks:
        labels = f'{{check="{_escaped(row.check_name)}",subject="{_escaped(row.subject or "")}"}}'
        verdicts[labels] = [str(verdict) for verdict in ORDER].index(row.verdict)
        measured[labels] = row.measured
    yield from _gauge("check_verdict", "The same for each check.", verdicts)
    yield from _gauge("check_measured", "What a check compares with its limits.", measured)
    yield from _gauge("fills", "Rows of trades.", {"": totals.fills})
    yield from _gauge("duplicate_keys", "Keys with more than one row.", {"": totals.duplicate_keys})
    yield from _gauge("pending_batches", "Batches that are not merged.", {"": totals.pending_batches})
    yield from _gauge("rejected_records", "Records in quarantine.", {"": totals.rejected_records})
    yield from _gauge("followed_wallets", "Wallets that are followed.", {"": totals.wallets_followed})
    yield from _gauge(
        "newest_fill_timestamp_seconds", "Time of the newest fill.", {"": _seconds(totals.latest_fill_at)}
    )
    yield from _gauge("status_timestamp_seconds", "When this was found.", {"": _seconds(status.taken_at)})
    newest = {run.command: run for run in reversed(runs)}
    labelled = {f'{{command="{_escaped(name)}"}}': run for name, run in newest.items()}
    yield from _gauge("run_exit_code", "Of the last run.", {label: run.exit_code for label, run in labelled.items()})
    yield from _gauge(
        "run_seconds", "How long the last run took.", {label: run.seconds for label, run in labelled.items()}
    )
    yield from _gauge(
        "run_start_timestamp_seconds",
        "When the last run started.",
        {label: _seconds(run.started_at) for label, run in labelled.items()},
    )
    if status.budget is not None:
        today = next((row for row in status.monitored.costs if row.day == status.taken_at.date()), None)
        yield from _gauge("billed_bytes_today", "Billed on this UTC day.", {"": today.bytes_billed if today else 0})
        yield from _gauge("daily_budget_bytes", "What a day may bill.", {"": status.budget})


def _gauge(name: str, says: str, samples: dict[str, float | int | None]) -> Iterator[str]:
    """A family with a sample for each label set; what is not known is left out."""
    known = {labels: value for labels, value in samples.items() if value is not None}
    if known:
        yield f"# TYPE polytrades_{name} gauge\n# HELP polytrades_{name} {says}\n"
    for labels, value in known.items():
        yield f"polytrades_{name}{labels} {float(value)!r}\n"


def _seconds(instant: datetime | None) -> float | None:
    return instant.timestamp() if instant else None


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
