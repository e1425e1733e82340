"""`polytrades sync`."""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, MaxRequests, Source, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades sync · polytrades sync --wallets wallets.csv · polytrades sync --dry-run --json"
    )(sync)


def sync(
    wallets: Annotated[
        Path | None,
        typer.Option(
            "--wallets",
            metavar="FILE",
            help="Follow the wallets in FILE (one a line, or CSV with a column wallet_address) beside those in "
            "seeds/wallets.csv. Remembered: later runs need it only to change the list.",
        ),
    ] = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Let the list lose more than a tenth of its wallets.")
    ] = False,
    wallet: Annotated[
        list[str] | None,
        typer.Option("--wallet", metavar="ADDRESS", help="Only this followed wallet; may be given several times."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Where to begin with a wallet that has no checkpoint yet (UTC)."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Where the window ends (UTC; default: now, less the lag)."),
    ] = None,
    source: Source = None,
    max_requests: MaxRequests = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Fetch new fills of the followed wallets, land them, merge them with dbt.

    Each wallet is fetched from its checkpoint, less an overlap; without a checkpoint, everything. Running it twice
    changes nothing; after an interruption or a failure, run it again.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import finish, show_plan
    from runner.engine.plan import SyncOptions
    from runner.engine.run import sync as run_sync
    from runner.warehouse.connect import connect
    from runner.windows import parse_instant

    settings = runner_settings.load(target=target, source=source)
    output = Output(json)
    options = SyncOptions(
        wallets_file=wallets,
        allow_shrink=allow_shrink,
        only=wallet or (),
        since=parse_instant(since) if since else None,
        until=parse_instant(until) if until else None,
        max_requests=max_requests,
    )
    warehouse = connect(settings)
    if dry_run:
        show_plan(settings, warehouse, options, output)
        return
    finish(settings, warehouse, lambda: run_sync(settings, warehouse, options, output), output)
