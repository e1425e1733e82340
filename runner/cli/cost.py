"""`polytrades cost`."""

from typing import Annotated

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades cost --target bigquery · polytrades cost --days 30 --json")(cost)


def cost(
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How many UTC days back, today included.")] = 7,
    top: Annotated[int, typer.Option("--top", min=1, help="How many models, tests and statements to name.")] = 10,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show what BigQuery billed us: by day, command, model and test, against the daily budget.

    From our own book of jobs, which is brought up to date first and then compared with BigQuery's account of all jobs
    (INFORMATION_SCHEMA.JOBS, by our labels) where we may read that. DuckDB bills nothing.
    """
    from datetime import timedelta

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.monitor import bill
    from runner.warehouse.connect import connect
    from runner.windows import utc_now

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    warehouse.names_jobs("cost", f"cost-{utc_now():%Y%m%dT%H%M%SZ}")
    since = (utc_now() - timedelta(days=days - 1)).date()
    found = bill.draw_up(settings, warehouse, since)
    output.result(found.as_json(), bill.as_text(found, top))
