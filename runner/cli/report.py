"""`polytrades report`."""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades report · polytrades report --out reports/today.html --days 30")(report)


def report(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The page; its data goes beside it as .json.")
    ] = Path("polytrades-report.html"),
    days: Annotated[int, typer.Option("--days", min=7, max=60, help="How many days back.")] = 60,
    target: Target = None,
    json: Json = False,
) -> None:
    """Write the state of the data as one HTML page with charts, and as JSON beside it.

    The page needs no network and no script; mail it, print it, or read it on a phone. A second run replaces it.
    """
    from datetime import timedelta

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.errors import Failed, UsageError
    from runner.monitor import report as monitor
    from runner.monitor import status
    from runner.warehouse.connect import connect
    from runner.windows import utc_now

    settings = runner_settings.load(target=target)
    output = Output(json)
    if out.suffix not in (".html", ".htm"):
        raise UsageError(f"{out} does not end in .html. The page goes there, and its data beside it as .json.")
    warehouse = connect(settings)
    warehouse.names_jobs("report", "report")
    found = status.look(settings, warehouse)
    if not found.monitored.days and not found.monitored.wallets:
        raise Failed("There is nothing to report yet: no build has counted anything. Run `polytrades sync` first.")
    history = warehouse.history((utc_now() - timedelta(days=days)).date())
    out.parent.mkdir(parents=True, exist_ok=True)
    page, beside = monitor.write(out, found, history, warehouse.incident_events() or [], days)
    content = {"command": "report", "exit_code": 0, "verdict": found.verdict, "page": str(page), "data": str(beside)}
    output.result(content, f"{found.verdict}: wrote {page} ({page.stat().st_size / 1000:,.0f} kB) and {beside}.")
