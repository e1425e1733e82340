"""`polytrades status`."""

from typing import TYPE_CHECKING, Any

import typer

from runner.cli.options import Json, Target

if TYPE_CHECKING:
    from runner.monitor.status import Status


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: polytrades status --json")(status)


def status(target: Target = None, json: Json = False) -> None:
    """Say in one look whether the data is good, and what to do if not. Reads only; exit code 4 on FAIL."""
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.errors import HeldBack
    from runner.monitor import status as monitor
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    try:
        current = monitor.assess(connect(settings).totals())
    except HeldBack as held:
        saved = monitor.read_saved(settings)
        if saved is None:
            raise
        output.note(f"{held} This is the last status that was kept.")
        output.result(saved, f"[bold]{saved['verdict']}[/] as of {saved['taken_at']}: {_saved_line(saved)}")
        raise typer.Exit(int(saved["exit_code"])) from None
    output.result(current.as_json(), as_text(current))
    if current.exit_code:
        raise typer.Exit(int(current.exit_code))


def _saved_line(saved: dict[str, Any]) -> str:
    totals = saved["totals"]
    return f"{totals['fills'] or 0:,} fills, latest {totals['latest_fill_at'] or 'none'}"


def as_text(current: "Status") -> str:
    """The status for a person (rich markup)."""
    from rich.markup import escape

    from runner.cli.output import printable

    totals = current.totals
    colour = {"OK": "green", "WARN": "yellow", "FAIL": "red"}
    lines = [f"[bold {colour[current.verdict]}]{current.verdict}[/]"]
    for finding in current.findings:
        lines.append(f"  [{colour[finding.verdict]}]{finding.verdict}[/] {escape(printable(finding.reason))}")
        lines.append(f"       → {escape(finding.remedy)}")

    def number(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    latest = f"{totals.latest_fill_at:%Y-%m-%d %H:%M:%S} UTC" if totals.latest_fill_at else "none"
    followed = f"{totals.wallets_followed:,} followed, {number(totals.wallets_with_fills)} with fills"
    rows = [
        ("trades", f"{number(totals.fills)} fills, latest {latest}"),
        ("wallets", followed),
        ("markets, events", f"{number(totals.markets)}, {number(totals.events)}"),
        ("duplicates", f"{number(totals.duplicate_keys)} keys (as of the last build)"),
        ("pending", f"{totals.pending_batches:,} batches, {totals.pending_rows:,} rows"),
        ("rejected", _rejected(totals.rejected_by_reason)),
    ]
    lines += [f"  {name:<16}{escape(value)}" for name, value in rows]
    for index, run in enumerate(totals.last_runs[:5]):
        ended = f"exit {run.exit_code}" if run.finished_at else "no end recorded"
        took = f", {(run.finished_at - run.started_at).total_seconds():,.0f} s" if run.finished_at else ""
        what = f"{run.command} {run.started_at:%Y-%m-%d %H:%M:%S} UTC, {ended}{took}, new {number(run.fills_new)}"
        lines.append(f"  {'last runs' if index == 0 else '':<16}{escape(what)}")
    return "\n".join(lines)


def _rejected(by_reason: dict[str, int]) -> str:
    total = sum(by_reason.values())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(by_reason.items())[:4])
    return f"{total:,} records" + (f" ({reasons})" if reasons else "")
