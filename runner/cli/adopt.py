"""`polytrades adopt`."""

from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades adopt --dry-run --target bigquery · polytrades adopt --target bigquery")(
        adopt
    )


def adopt(
    accept_known_defects: Annotated[
        bool,
        typer.Option(
            "--accept-known-defects", help="Take the table on although keys are missing or double; this is recorded."
        ),
    ] = False,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Take on a table `trades` that was there before: columns are appended, its history counts as inherited.

    Nothing is dropped or rewritten. A table whose columns, types or partitions do not fit, or whose keys are missing or
    double, is refused with a plan. The first `sync` or `import` does the same by itself.
    """
    from dataclasses import asdict

    from rich.markup import escape

    from runner import dbt
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.engine.adopt import adopt_existing
    from runner.engine.writer import new_run_id, writing
    from runner.errors import UsageError
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if dry_run:
        adoption = warehouse.find_adoption()
        if adoption is not None and (refusal := adoption.refusal(accept_known_defects)):
            raise UsageError(refusal)
        text = f"Would adopt {adoption.described()}" if adoption else _NOTHING
    else:
        dbt.prepare(settings)  # a table that no build could merge into is not taken on
        warehouse.prepare()
        run_id = new_run_id()
        with writing(settings, warehouse, "adopt", run_id, output):
            adoption = adopt_existing(warehouse, run_id, output, accept_known_defects)
        text = "Adopted. `polytrades sync` goes on from here." if adoption else _NOTHING
    found = None
    if adoption:
        found = asdict(adoption)
        for name in ("first_fill_at", "last_fill_at"):
            found[name] = found[name].isoformat() if found[name] else None
    output.result({"command": "adopt", "exit_code": 0, "dry_run": dry_run, "adopted": found}, escape(text))


_NOTHING = "There is nothing to adopt: no table `trades`, or it is ours already."
