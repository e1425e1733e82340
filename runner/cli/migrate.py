"""`polytrades migrate`."""

from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, Target

Staging = Annotated[
    str,
    typer.Option(
        "--staging",
        metavar="TABLE",
        help="The table to move (`schema.table`), or a pattern of Parquet files, quoted: 'staging/*.parquet'.",
    ),
]

StagingOrNewest = Annotated[
    str | None,
    typer.Option("--staging", metavar="TABLE", help="The table that was moved (default: of the newest migration)."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    migrate = typer.Typer(no_args_is_help=True, help="Move an old table of trades into production, with proof.")
    migrate.command(epilog="Example: polytrades migrate copy --staging main.trades_staging")(copy)
    migrate.command(epilog="Example: polytrades migrate verify")(verify)
    app.add_typer(migrate, name="migrate")


def copy(staging: Staging, target: Target = None, json: Json = False) -> None:
    """Copy what production has never had: of each key the newest row, month by month.

    A row that stands in production stays as it is. What breaks a rule is kept in quarantine. Stopped anywhere, the same
    command goes on; run again when it is done, it changes nothing.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.engine.migration.copy import copy as run_copy
    from runner.units import duration
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    summary, copied = run_copy(settings, connect(settings), staging, output)
    if copied.was_copied_before:
        text = (
            f"{copied.staging} was copied already (migration {copied.migration_id}); nothing was changed. Next: "
            "polytrades migrate verify"
        )
    else:
        text = (
            f"Copied. Migration {copied.migration_id} of {copied.staging}\n"
            f"  staging rows    {copied.staging_rows:,}\n"
            f"  copied          {copied.copied:,} fills of {len(copied.months):,} months\n"
            f"  rejected        {copied.rejected:,} rows, kept in landing.rejected_records\n"
            f"  time            {duration(summary.seconds)}\n"
            "Next: polytrades migrate verify"
        )
    content = {"command": "migrate copy", "exit_code": int(summary.exit_code), "run_id": summary.run_id}
    output.result(content | copied.as_json(), escape(text))


def verify(staging: StagingOrNewest = None, target: Target = None, json: Json = False) -> None:
    """Compare production with the staging table, and keep the verdict.

    Every key of the staging table has to be in production once, with the values of the row that had to win or of the
    row that was there before. Differences are traced to their rows, and the command ends with 4. Run again, it compares
    again.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.migration_report import verdict_text
    from runner.cli.output import Output
    from runner.engine.migration.verify import verify as run_verify
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    summary, verdict = run_verify(settings, connect(settings), staging, output)
    content = {"command": "migrate verify", "exit_code": int(summary.exit_code), "run_id": summary.run_id}
    output.result(content | verdict.as_json(), escape(verdict_text(verdict)))
    raise typer.Exit(summary.exit_code)
