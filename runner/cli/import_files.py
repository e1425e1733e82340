"""`polytrades import`."""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import", epilog="Example: polytrades import orders.ndjson archive/*.parquet")(import_files)


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Order records: NDJSON, JSON (a list, a page with orders, a list of pages) or Parquet.",
        ),
    ],
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Land order records from files and merge them with dbt. Asks nobody; needs no network.

    They come in through the same door as fetched ones: bad records are rejected with a reason, a file that was imported
    before changes nothing, and a record that an API gave too keeps the API's version.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import finish, show_file_check
    from runner.engine.run import import_files as run_import
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run:
        show_file_check(files, output)
        return
    finish(settings, warehouse, lambda: run_import(settings, warehouse, files, output), output)
