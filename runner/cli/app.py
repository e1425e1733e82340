"""The command line: one module a command, imported only when it runs anything heavy."""

import os
import sys
from typing import Annotated

import typer

from runner import __version__
from runner.cli import demo, doctor, import_files, simulate, status, sync
from runner.errors import ExitCode, PolytradesError

app = typer.Typer(
    name="polytrades",
    help="Keeps every trade of the followed Polymarket wallets, exactly once.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly done (run it again), 4 a check failed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polytrades {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps every trade of the followed Polymarket wallets, exactly once."""


for module in (sync, import_files, status, doctor, demo, simulate):
    module.register(app)


def main() -> None:
    """Runs a command; an error of ours becomes one paragraph and its exit code."""
    try:
        app(standalone_mode=False)
    except PolytradesError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("Interrupted. What had landed is kept; run the same command again to go on.", ExitCode.PARTLY_DONE)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`); nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.DONE)


def _fail(message: str, exit_code: ExitCode) -> None:
    from runner.cli.output import Output

    Output("--json" in sys.argv).error(message, exit_code)
    sys.exit(exit_code)
