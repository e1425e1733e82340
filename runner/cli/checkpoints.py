"""`polytrades checkpoints`."""

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.options import DryRun, Json, Target

if TYPE_CHECKING:  # imported when the command runs
    from runner.cli.output import Output
    from runner.settings import Settings
    from runner.warehouse.protocol import Warehouse

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades checkpoints · polytrades checkpoints --wallet 0x… · "
        "polytrades checkpoints --move-back 2026-01-01 --wallet 0x… --dry-run"
    )(checkpoints)


def checkpoints(
    wallet: Annotated[
        list[str] | None,
        typer.Option("--wallet", metavar="ADDRESS", help="Only this wallet; may be given several times."),
    ] = None,
    move_back: Annotated[
        str | None,
        typer.Option(
            "--move-back", metavar="TIME", help="Move later checkpoints back to TIME (UTC): sync asks again from there."
        ),
    ] = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show up to where each wallet has been fetched; with --wallet, how its checkpoint moved. Or move checkpoints back.

    Moving back loses nothing and makes no duplicates: the next sync asks once more for what lies after it.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, shortened
    from runner.engine.wallets import check_wallet
    from runner.warehouse.connect import connect
    from runner.windows import utc_now

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    only = [check_wallet(text, "--wallet") for text in wallet or ()]
    if move_back is not None:
        _move_back(settings, warehouse, only, move_back, dry_run, output)
        return
    moves = (
        [move for one in only for move in warehouse.checkpoint_moves(one)] if only else warehouse.checkpoint_moves(None)
    )
    content = {
        "command": "checkpoints",
        "exit_code": 0,
        "checkpoints": [
            {
                "source": move.source,
                "wallet": move.wallet_address,
                "fetched_until": move.fetched_until.isoformat(),
                "run_id": move.run_id,
                "recorded_at": move.recorded_at.isoformat(),
            }
            for move in moves
        ],
    }
    now = utc_now()
    rows = [
        f"  {move.wallet_address}  {move.source:<9} until {move.fetched_until:%Y-%m-%d %H:%M:%S}  "
        f"{(now - move.fetched_until).total_seconds() / 3600:>8,.1f} h ago  "
        f"moved {move.recorded_at:%Y-%m-%d %H:%M:%S} by {move.run_id}"
        for move in moves
    ]
    head = f"{len(rows):,} {'moves, the newest first' if only else 'checkpoints, the oldest first'}:"
    shown = shortened([escape(row) for row in rows], len(rows) if only else _SHOWN, "more; --json lists all")
    lines = [head, *shown] if rows else ["There are no checkpoints yet; `polytrades sync` makes them."]
    output.result(content, "\n".join(lines))


def _move_back(
    settings: "Settings", warehouse: "Warehouse", only: list[str], text: str, dry_run: bool, output: "Output"
) -> None:
    from dataclasses import replace

    from runner.engine.writer import new_run_id, writing
    from runner.errors import UsageError
    from runner.windows import EVER, parse_instant, utc_now

    to = max(parse_instant(text), EVER)
    if to >= utc_now():
        raise UsageError(f"--move-back {text} is not in the past, and checkpoints only move back by hand.")
    known = warehouse.checkpoint_moves(None)
    for wallet in only:
        if wallet not in {move.wallet_address for move in known}:
            raise UsageError(f"The wallet {wallet} has no checkpoint. Nothing was changed.")
    later = [move for move in known if move.fetched_until > to and (not only or move.wallet_address in only)]
    run_id = new_run_id()
    if later and not dry_run:
        with writing(settings, warehouse, "checkpoints", run_id, output):
            at = utc_now()
            warehouse.set_checkpoints(
                [replace(move, fetched_until=to, run_id=run_id, recorded_at=at) for move in later]
            )
    word = "Would move" if dry_run else "Moved"
    content = {"command": "checkpoints", "exit_code": 0, "dry_run": dry_run, "moved": len(later), "to": to.isoformat()}
    output.result(content, f"{word} {len(later):,} of {len(known):,} checkpoints back to {to:%Y-%m-%d %H:%M:%S} UTC.")
