"""`polytrades demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import Json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: polytrades demo --folder demo")(demo)


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where demo.duckdb goes; made if need be.")
    ] = Path("demo"),
    wallets: Annotated[int, typer.Option("--wallets", min=1, help="Wallets in the simulated world.")] = 12,
    fills: Annotated[int, typer.Option("--fills", min=1, help="Fills in the simulated world.")] = 5000,
    json: Json = False,
) -> None:
    """Show two nights on a simulated Polymarket: no account, no network, nothing of yours is touched.

    The second night brings new fills and sends old ones again; no fill is lost or doubled. Each demo starts afresh.
    """
    from datetime import timedelta

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import as_text
    from runner.engine.demo import simulator
    from runner.engine.plan import SyncOptions
    from runner.engine.run import sync
    from runner.errors import ExitCode, UsageError
    from runner.monitor import status
    from runner.warehouse.connect import connect
    from runner.windows import utc_now

    output = Output(json)
    duckdb_file = folder / "demo.duckdb"
    if runner_settings.load().duckdb_file == duckdb_file.absolute():
        raise UsageError(
            f"{duckdb_file} is your own DuckDB file (POLYTRADES_DUCKDB_PATH), and the demo starts afresh each time. "
            "Name another folder with --folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for old in (duckdb_file, duckdb_file.with_name(duckdb_file.name + ".wal")):
        old.unlink(missing_ok=True)
    summaries = []
    with simulator(folder, wallets, fills) as world:
        output.note(f"A simulated Polymarket answers at {world.url}: {wallets} wallets, {fills:,} fills.")
        settings = runner_settings.load(
            target="duckdb",
            duckdb_path=duckdb_file,
            dome_base_url=world.url,
            gamma_base_url=world.url,
            overlap_hours=72.0,
            requests_per_second=500.0,
        )
        warehouse = connect(settings)
        for night, until in (("First", utc_now() - timedelta(days=7)), ("Second", None)):
            output.note(f"\n{night} night" + (", a week ago" if until else ", now") + ": polytrades sync")
            summary = sync(settings, warehouse, SyncOptions(wallets_file=world.wallets_file, until=until), output)
            summaries.append(summary)
            output.end_progress()
            if not json:
                output.result({}, as_text(summary, settings))
    current = status.look(settings, warehouse)
    status.save(settings, current)
    worst = max((summary.exit_code for summary in summaries), default=ExitCode.DONE)
    content = {
        "command": "demo",
        "exit_code": int(worst),
        "nights": [summary.as_json() for summary in summaries],
        "status": current.as_json(),
    }
    output.result(content, _what_next(duckdb_file))
    if worst:
        raise typer.Exit(int(worst))


def _what_next(duckdb_file: Path) -> str:
    here = Path(sys.argv[0])
    # As it was called: `polytrades` from the PATH, or `.venv/bin/polytrades` in a clone.
    program, dbt = (str(here), str(here.with_name("dbt"))) if here.parent.name == "bin" else ("polytrades", "dbt")
    return f"""
[bold]What to try next[/] (the data is in {duckdb_file})
  export POLYTRADES_DUCKDB_PATH={duckdb_file}
  {program} status
      Is the data good, in one look.
  {program} report
      The same as a page with charts.
  cp profiles.example.yml profiles.yml && {dbt} build
      What an analyst runs, in the project's folder. It changes nothing here.
  {program} sync --help
      Fetch the fills of your own wallets.
"""
