"""`polytrades gaps`."""

from typing import Annotated

import typer

from runner.cli.options import Json, Source, Target

_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades gaps · polytrades gaps --quiet-days 7 --json")(gaps)


def gaps(
    quiet_days: Annotated[
        float,
        typer.Option(
            "--quiet-days",
            min=0,
            max=10_000,
            metavar="DAYS",
            help="List wallets whose newest fill is older than their checkpoint.",
        ),
    ] = 30,
    source: Source = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show what of the followed wallets has not been fetched. Exit code 4 if there are holes.

    A hole is a window that no run has fetched to its end. `polytrades backfill --gaps` fetches them; the nightly sync
    does so too, within history_requests_per_run, and alone begins with wallets of which nothing has been fetched.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, shortened
    from runner.errors import ExitCode
    from runner.monitor.gaps import find_gaps
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target, source=source)
    output = Output(json)
    found = find_gaps(settings, connect(settings), quiet_days)
    exit_code = ExitCode.DONE if found.is_complete else ExitCode.CHECK_FAILED
    history = [hole for hole in found.holes if hole.is_history]
    inner = [hole for hole in found.holes if not hole.is_history]
    sections = [
        (
            "holes between windows that were fetched",
            [f"{hole.wallet}  {_instant(hole.window.start)} to {_instant(hole.window.end)}" for hole in inner],
        ),
        (
            "wallets whose past has not been fetched to its beginning",
            [f"{hole.wallet}  before {_instant(hole.window.end)}" for hole in history],
        ),
        ("followed wallets of which nothing has been fetched", found.never_fetched),
        ("wallets without a checkpoint of this source", found.without_checkpoint),
        (
            "windows in which another number of records came than the source had said",
            [
                f"{row.wallet_address}  {_instant(row.window_start)} to {_instant(row.window_end)}  "
                f"{row.declared:,} declared, {row.received:,} received"
                for row in found.differences
            ],
        ),
        (
            f"wallets without a fill in the {quiet_days:g} days before their checkpoint (they may be quiet)",
            [
                f"{wallet}  checkpoint {_instant(checkpoint)}, newest fill {_instant(newest) if newest else 'none'}"
                for wallet, (checkpoint, newest) in found.quiet.items()
            ],
        ),
    ]
    if not found.wallets:
        head = "No wallet is followed yet: `polytrades sync --wallets FILE` begins."
    elif found.is_complete:
        head = f"[bold green]No holes.[/] What has been fetched of {found.wallets:,} followed wallets tiles."
    else:
        head = f"[bold yellow]There are holes.[/] {found.wallets:,} wallets are followed."
    lines = [head]
    for title, rows in sections:
        if rows:
            lines.append(f"{len(rows):,} {title}:")
            lines += shortened([f"  {escape(row)}" for row in rows], _SHOWN, "more; --json lists all")
    if found.holes:
        lines.append("`polytrades backfill --gaps` fetches holes and past; --dry-run says what that takes.")
    if any(row.is_short for row in found.differences):
        lines.append(
            "`polytrades backfill --gaps` also asks once more for windows in which too few records came. Sources count "
            "in their own way: where the same number comes again, there is no more to be had."
        )
    if found.never_fetched or found.without_checkpoint:
        lines.append("`polytrades sync` fetches wallets that are new or have no checkpoint.")
    output.result({"command": "gaps", "exit_code": int(exit_code), **found.as_json()}, "\n".join(lines))
    if exit_code:
        raise typer.Exit(int(exit_code))


def _instant(instant: object) -> str:
    return "since ever" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"
