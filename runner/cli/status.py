"""`polytrades status`."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.options import Json, Target

if TYPE_CHECKING:
    from runner.cli.output import Output
    from runner.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades status · polytrades status --watch · polytrades status --json")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=1, metavar="SECONDS", help="How long --watch waits between two looks.")
    ] = 60,
    target: Target = None,
    json: Json = False,
) -> None:
    """Say in one look whether the data is good, and what to do if not. Reads only; exit code 4 on FAIL.

    While another process holds the DuckDB file, the last status that was kept is shown, with its time.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output

    settings = runner_settings.load(target=target)
    output = Output(json)
    code = 0
    try:
        while True:
            content = _look(settings, output)
            if watch:
                output.clear()
            output.result(content, as_text(content))
            code = int(content["exit_code"])
            if not watch:
                break
            time.sleep(every)
    except KeyboardInterrupt:
        if not watch:
            raise
    if code:
        raise typer.Exit(code)


def _look(settings: "Settings", output: "Output") -> dict[str, Any]:
    """The status now; the one that was kept, where nobody can look now."""
    from runner.errors import HeldBack
    from runner.monitor import status as monitor
    from runner.warehouse.connect import connect

    saved = monitor.read_saved(settings)
    if saved is not None:  # there is an answer already: do not wait long for a better one
        settings = settings.model_copy(update={"lock_wait_seconds": min(1.0, settings.lock_wait_seconds)})
    warehouse = connect(settings)
    warehouse.names_jobs("status", "status")
    try:
        return monitor.look(settings, warehouse).as_json()
    except HeldBack as held:
        if saved is None:
            raise
        output.note(f"{held} This is the last status that was kept.")
        return saved


def as_text(content: dict[str, Any]) -> str:
    """The status for a person (rich markup), from its JSON."""
    from rich.markup import escape

    from runner.cli.output import printable
    from runner.units import as_bytes

    colour = {"OK": "green", "WARN": "yellow", "FAIL": "red"}
    verdict, totals, days, wallets = content["verdict"], content["totals"], content["days"], content["wallets"]
    judged = content["checks"]
    good = sum(row["verdict"] == "OK" for row in judged)
    lines = [
        f"[bold {colour[verdict]}]{verdict}[/]  [dim]as of {_instant(content['taken_at'])}, "
        f"{good} of {len(judged)} checks are OK[/]"
    ]
    for finding in content["findings"]:
        lines.append(f"  [{colour[finding['verdict']]}]{finding['verdict']}[/] {escape(printable(finding['reason']))}")
        lines.append(f"       → {escape(finding['remedy'])}")
    newest, oldest = _instant(totals["latest_fill_at"]), _instant(wallets["oldest_checkpoint"])
    rows = [
        ("trades", f"{_number(totals['fills'])} fills, latest {newest}"),
        (
            "new",
            f"today {_number(days['today'])}, yesterday {_number(days['yesterday'])}, "
            f"last 48 h {_number(days['last_48_hours'])}  (as of the last build)",
        ),
        (
            "wallets",
            f"{wallets['followed']:,} followed, {_number(wallets['with_fills'])} with fills, "
            f"{wallets['without_fills']:,} without",
        ),
        ("checkpoints", f"oldest {oldest}, newest {_instant(wallets['newest_checkpoint'])}"),
        ("markets, events", f"{_number(totals['markets'])}, {_number(totals['events'])}"),
        ("duplicates", f"{_number(totals['duplicate_keys'])} keys (as of the last build)"),
        ("pending", f"{totals['pending_batches']:,} batches, {totals['pending_rows']:,} rows"),
        ("rejected", _rejected(totals["rejected_by_reason"])),
    ]
    if migration := content.get("migration"):  # a status that an older version has kept has none
        rows.append(
            (
                "migration",
                f"of {migration['staging']}: {migration['stage']}, {migration['rows']:,} rows in "
                f"{migration['months']:,} months, {_instant(migration['recorded_at'])}",
            )
        )
    if cost := content["cost"]:
        share = (
            f" ({cost['bytes_billed_today'] / cost['daily_bytes_budget']:.1%})" if cost["daily_bytes_budget"] else ""
        )
        rows.append(
            (
                "billed today",
                f"{as_bytes(cost['bytes_billed_today'])} of {as_bytes(cost['daily_bytes_budget'])}{share}, "
                f"tests {as_bytes(cost['bytes_billed_by_tests_today'])}, {cost['money_today']:,.4f}",
            )
        )
    lines += [f"  {name:<16}{escape(printable(value))}" for name, value in rows]
    lines += _listed("sources", [_source(row) for row in content["sources"]])
    top = [f"{row['wallet_address']}  {row['fills_48h']:>9,}" for row in wallets["top"]]
    lines += _listed("busiest, 48 h", top)
    lines += _listed("last runs", [_run(row) for row in content["runs"]])
    return "\n".join([*lines, *(f"  [dim]{escape(printable(note))}[/]" for note in content["notes"])])


def _listed(title: str, rows: list[str]) -> list[str]:
    from rich.markup import escape

    from runner.cli.output import printable

    return [f"  {title if index == 0 else '':<16}{escape(printable(row))}" for index, row in enumerate(rows)]


def _source(row: dict[str, Any]) -> str:
    fetched = f"fetched until {_instant(row['fetched_until'])}" if row["fetched_until"] else "no checkpoint"
    return f"{row['source']}: {fetched}, landed {_instant(row['landed_at'])}"


def _run(row: dict[str, Any]) -> str:
    from runner.units import duration

    if row["finished_at"]:
        ended = f"exit {row['exit_code']}, {duration(row['seconds'] or 0)}"
    else:
        ended = "at work" if row["is_working"] else "no end recorded"
    return f"{row['command']} {_instant(row['started_at'])}, {ended}, new {_number(row['fills_new'])}"


def _instant(text: str | None) -> str:
    return f"{text[:16].replace('T', ' ')} UTC" if text else "none"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _rejected(by_reason: dict[str, int]) -> str:
    total = sum(by_reason.values())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(by_reason.items())[:4])
    return f"{total:,} records" + (f" ({reasons})" if reasons else "")
