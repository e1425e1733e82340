"""`polytrades migrate`."""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, Target

Staging = Annotated[
    str,
    typer.Option(
        "--staging",
        metavar="TABLE",
        help="The table to move (`schema.table`), or a pattern of Parquet or CSV files, quoted: 'staging/*.parquet'.",
    ),
]

StagingOrNewest = Annotated[
    str | None,
    typer.Option("--staging", metavar="TABLE", help="The table that was moved (default: of the newest migration)."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    migrate = typer.Typer(
        no_args_is_help=True,
        help="Move an old table of trades into production: audit, copy, verify, drop; and back.",
        epilog="Examples: polytrades migrate audit --staging main.trades_staging · polytrades migrate status",
    )
    migrate.command(
        "audit",
        epilog="Examples: polytrades migrate audit --staging main.trades_staging --html audit.html · "
        "polytrades migrate audit --staging 'staging/*.parquet' --json",
    )(audit)
    migrate.command(
        "copy",
        epilog="Examples: polytrades migrate copy --staging main.trades_staging --dry-run · polytrades migrate copy "
        "--staging main.trades_staging --background",
    )(copy)
    migrate.command("verify", epilog="Example: polytrades migrate verify")(verify)
    migrate.command(
        "drop", epilog="Examples: polytrades migrate drop · polytrades migrate drop --yes 20261128T103426Z-a0be11"
    )(drop)
    migrate.command("rollback", epilog="Examples: polytrades migrate rollback --dry-run · polytrades migrate rollback")(
        rollback
    )
    migrate.command("status", epilog="Example: polytrades migrate status")(status)
    app.add_typer(migrate, name="migrate")


def audit(
    staging: Staging,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts too.", dir_okay=False)
    ] = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Say what the table holds: keys, repeats and their kinds, broken rows, overlap with production.

    Only reads. Run again, it counts again.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.migration_page import audit_page
    from runner.cli.migration_report import audit_text
    from runner.cli.output import Output
    from runner.engine.migration.audit import audit as run_audit
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    found = run_audit(settings, connect(settings), staging, output)
    if html is not None:
        html.write_text(audit_page(found))
        output.note(f"Wrote {html}.")
    content = {"command": "migrate audit", "exit_code": 0} | found.as_json()
    output.result(content, escape(audit_text(found, settings.price_per_tib)))


def copy(
    staging: Staging,
    background: Annotated[
        bool, typer.Option("--background", help="Go on behind this terminal; `polytrades migrate status` follows it.")
    ] = False,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Copy what production has never had: of each key the newest row, month by month.

    A row that stands in production stays as it is. What breaks a rule is kept in quarantine. Stopped anywhere, the same
    command goes on; run again when it is done, it changes nothing.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli import background as behind
    from runner.cli.migration_report import copied_text, plan_text
    from runner.cli.output import Output
    from runner.engine.migration.copy import copy as run_copy
    from runner.engine.migration.copy import plan_copy
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run or background:
        planned = plan_copy(settings, warehouse, staging)
    if dry_run:
        content = {"command": "migrate copy", "exit_code": 0, "dry_run": True} | planned.as_json()
        output.result(content, escape(plan_text(planned)))
        return
    if background:
        log, process_id = behind.start(settings, ["migrate", "copy", "--staging", staging, "--target", settings.target])
        output.result(
            {"command": "migrate copy", "exit_code": 0, "background": True, "log": str(log), "pid": process_id},
            escape(
                f"Copying behind this terminal (process {process_id}); it writes {log}.\n"
                "Next: polytrades migrate status"
            ),
        )
        return
    summary, copied = run_copy(settings, warehouse, staging, output)
    content = {"command": "migrate copy", "exit_code": int(summary.exit_code), "run_id": summary.run_id}
    output.result(content | copied.as_json(), escape(copied_text(copied, summary.seconds)))
    raise typer.Exit(summary.exit_code)


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


def drop(
    staging: StagingOrNewest = None,
    yes: Annotated[
        str | None,
        typer.Option("--yes", metavar="VERIFICATION", help="Do not ask: the verification on which the table goes."),
    ] = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Drop the table that was moved, after a copy of it is made.

    Refused unless its newest verification is green and both tables are still what they were then; that is looked at
    again, whole. Asks for the table's name. `polytrades migrate rollback` brings it back.
    """
    import sys

    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.engine.migration.drop import drop as run_drop
    from runner.engine.migration.drop import proof
    from runner.errors import UsageError
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run:
        migration, verdict = proof(warehouse, staging)
        content = {"staging": migration.staging.name, "rows": migration.staging.rows}
        content["verification_id"] = verdict.verification_id
        output.result(
            {"command": "migrate drop", "exit_code": 0, "dry_run": True} | content,
            escape(
                f"Would drop {migration.staging.name} ({migration.staging.rows:,} rows) on the verification "
                f"{verdict.verification_id} of {verdict.verified_at:%Y-%m-%d %H:%M} UTC, if both tables are still what "
                "they were then, once a copy of it is made."
            ),
        )
        return

    def confirmed(name: str, verification_id: str, rows: int) -> bool:
        if yes is not None:
            return yes == verification_id
        if not sys.stdin.isatty():
            raise UsageError(f"Nobody is there to ask. Say on what it goes: --yes {verification_id}")
        output.note(f"{name} has {rows:,} rows. They will be kept in a copy, and the table will be gone.")
        return str(typer.prompt("Its name", err=True)) == name

    summary, dropped = run_drop(settings, warehouse, staging, confirmed, output)
    content = {"command": "migrate drop", "exit_code": int(summary.exit_code), "run_id": summary.run_id}
    output.result(
        content | dropped.as_json(),
        escape(
            f"Dropped {dropped.staging} ({dropped.rows:,} rows). Its copy is {dropped.saved}; delete that when nobody "
            "wants the table back. `polytrades migrate rollback` brings it back."
        ),
    )


def rollback(
    staging: StagingOrNewest = None, dry_run: DryRun = False, target: Target = None, json: Json = False
) -> None:
    """Undo the last step of a migration: bring a dropped table back, or take what was copied out of production.

    What came since the copy stays; batches that were merged since are merged again by the next run. Stopped anywhere,
    the same command goes on; run again, it undoes the step before, and ends with 2 when there is none.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.migration_report import undone_text
    from runner.cli.output import Output
    from runner.engine.migration.rollback import plan_rollback
    from runner.engine.migration.rollback import rollback as run_rollback
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run:
        _, undone = plan_rollback(warehouse, staging)
    else:
        _, undone = run_rollback(settings, warehouse, staging, output)
    content = {"command": "migrate rollback", "exit_code": 0, "dry_run": dry_run} | undone.as_json()
    output.result(content, escape(undone_text(undone, dry_run)))


def status(target: Target = None, json: Json = False) -> None:
    """Show how far the newest migration is, its verdict, and what to do next."""
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli import background as behind
    from runner.cli.migration_report import status_text
    from runner.cli.output import Output
    from runner.engine.migration.status import look
    from runner.errors import HeldBack
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    log = behind.last_lines(settings, 5)
    try:
        found = look(connect(settings))
    except HeldBack as held:
        if not log:
            raise
        content = {"command": "migrate status", "exit_code": 0, "held": str(held), "log": log}
        output.result(content, escape("\n".join(["A copy is at work and has the DuckDB file:", *log])))
        return
    content = {"command": "migrate status", "exit_code": 0, "log": log} | found.as_json()
    output.result(content, escape(status_text(found, log)))
