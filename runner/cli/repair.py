"""`polytrades repair`."""

import typer

from runner.cli.options import DryRun, Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades repair --dry-run · polytrades repair")(repair)


def repair(dry_run: DryRun = False, target: Target = None, json: Json = False) -> None:
    """Put the keys of a production table right: missing ones are completed, of double ones the newest row stays.

    The table is written anew beside the old one and verified against it; then the two change names, and the old one is
    kept. `polytrades migrate rollback` changes them back. Stopped anywhere, the same command goes on; a table without
    defects is left alone.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.migration_report import defects_text, repaired_text
    from runner.cli.output import Output
    from runner.engine.migration.repair import Repaired, find_defects
    from runner.engine.migration.repair import repair as run_repair
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run:
        repaired = Repaired(find_defects(warehouse))
        content = {"command": "repair", "exit_code": 0, "dry_run": True} | repaired.as_json()
        output.result(content, escape(defects_text(repaired.defects)))
        return
    summary, repaired = run_repair(settings, warehouse, output)
    code = int(summary.exit_code) if summary else 0
    content = {"command": "repair", "exit_code": code, "run_id": summary.run_id if summary else None}
    output.result(content | repaired.as_json(), escape(repaired_text(repaired)))
    raise typer.Exit(code)
