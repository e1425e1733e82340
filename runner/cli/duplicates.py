"""`polytrades duplicates`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.options import Json, Target

if TYPE_CHECKING:
    from runner.engine.duplicates import Found

_KEYS_SHOWN = 10
_ALWAYS_SHOWN = ("timestamp", "source")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades duplicates · polytrades duplicates --from 2026-01-01 --to 2026-02-01 · "
        "polytrades duplicates --repair"
    )(duplicates)


def duplicates(
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Check the keys of the days from here on (UTC).")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DAY", help="… and before this one.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Take out all rows of a key but the first, after you have confirmed it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do not ask.")] = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Look now for keys that stand several times, and show their rows side by side. Exit code 4 if there are any.

    The whole table is checked, or with --from and --to the keys within these days. The row that is kept is the one that
    wins everywhere else: better source, newer version, later time, content. Rows that go are kept in
    state.removed_rows; fills that only share a key are never touched. A second --repair finds nothing to do.
    """
    from datetime import timedelta

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.engine import duplicates as engine
    from runner.errors import ExitCode, UsageError
    from runner.warehouse.connect import connect
    from runner.windows import Window, parse_instant, utc_now

    if to and not from_:
        raise UsageError("--to needs --from, the day where the window begins.")
    settings = runner_settings.load(target=target)
    output = Output(json)
    window = None
    if from_:
        end = parse_instant(to) if to else utc_now() + timedelta(days=1)
        window = Window(parse_instant(from_), end)
        if window.begins >= window.end:
            raise UsageError(f"The window from {from_} to {to or 'now'} is empty. Give a later --to.")
    warehouse = connect(settings)
    warehouse.names_jobs("duplicates", "duplicates")
    found = engine.look(settings, warehouse, window, output)
    content = {"command": "duplicates", "exit_code": 0, "keys": len(found.keys), "rows_that_would_go": found.surplus}
    content["found"] = [[_plain(row) for row in rows] for rows in found.keys]
    text = as_text(found)
    if not repair or not found.repairable:
        content["exit_code"] = int(ExitCode.CHECK_FAILED if found.keys else ExitCode.DONE)
        output.result(content, text)
        if found.keys:
            raise typer.Exit(int(ExitCode.CHECK_FAILED))
        return
    if not yes:
        if not sys.stdin.isatty() or json:
            raise UsageError("--repair asks on a terminal; elsewhere say --yes too. Nothing was changed.")
        output.result({}, text)
        typer.confirm(f"Take {found.surplus:,} rows of {len(found.repairable):,} keys out of trades?", abort=True)
    keys, rows = engine.repair(settings, warehouse, window, found, output)
    left = len(found.keys) - keys
    content |= {"keys_repaired": keys, "rows_removed": rows, "keys_left": left}
    content["exit_code"] = int(ExitCode.CHECK_FAILED if left else ExitCode.DONE)
    said = f"Took {rows:,} rows of {keys:,} keys out of trades; they are kept in state.removed_rows."
    output.result(content, said + (f" {left:,} keys are left: their rows are not one fill." if left else ""))
    if left:
        raise typer.Exit(int(ExitCode.CHECK_FAILED))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


def as_text(found: "Found") -> str:
    """The keys for a person (rich markup): of each row why it stays or goes, and the columns in which they differ."""
    from rich.markup import escape

    from runner.cli.output import printable

    if not found.keys:
        return "[bold green]No duplicates.[/] Each key stands once."
    lines = [f"[bold red]{len(found.keys):,} keys stand in trades more than once, or with a NULL.[/]"]
    for rows in found.keys[:_KEYS_SHOWN]:
        first = rows[0]
        lines.append(f"\n{escape(printable(' '.join(str(first[part]) for part in _KEY)))}")
        shown = [
            name
            for name in first
            if name not in (*_KEY, "id", "copies", "place", "is_one_fill", "reason")
            and (name in _ALWAYS_SHOWN or len({str(row[name]) for row in rows}) > 1)
        ]
        for row in rows:
            values = "  ".join(f"{name} {str(row[name])[:40]}" for name in shown)
            mark = "[green]keep[/]" if row["place"] == 1 and row["is_one_fill"] else "[yellow]    [/]"
            lines.append(f"  {mark} {escape(printable(row['reason'])):<38} [dim]{escape(printable(values))}[/]")
    if len(found.keys) > _KEYS_SHOWN:
        lines.append(f"\n… and {len(found.keys) - _KEYS_SHOWN:,} more keys; --json has all.")
    lines.append(
        f"\n`polytrades duplicates --repair` takes {found.surplus:,} rows of {len(found.repairable):,} keys out."
    )
    return "\n".join(lines)


_KEY = ("wallet_address", "tx_hash", "order_hash")
