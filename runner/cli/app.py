"""The command line: one module a command, imported only when it runs anything heavy."""

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from runner import __version__, failpoints
from runner.cli import (
    adopt,
    alerts,
    backfill,
    checkpoints,
    cost,
    demo,
    doctor,
    duplicates,
    gaps,
    import_files,
    lease,
    migrate,
    reconcile,
    rejected,
    repair,
    report,
    simulate,
    status,
    sync,
)
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


_COMMANDS = (
    sync,
    backfill,
    import_files,
    status,
    report,
    alerts,
    duplicates,
    gaps,
    checkpoints,
    rejected,
    reconcile,
    cost,
    adopt,
    repair,
    migrate,
    lease,
    doctor,
    demo,
    simulate,
)
for module in _COMMANDS:
    module.register(app)


_TYPER_INTERRUPTED = 130
"""What Typer makes of Ctrl-C."""


def main() -> None:
    """Runs a command and exits with its code; an error of ours becomes one paragraph and its exit code."""
    # systemd and `timeout` end a run with SIGTERM: it is to end as cleanly as with Ctrl-C, dbt included.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failpoints.arm()
        # Without its standalone mode Typer gives the code of a typer.Exit back instead of exiting.
        code = app(standalone_mode=False) or ExitCode.DONE
    except PolytradesError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        _fail_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _TYPER_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone (`| head`); nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.DONE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}. Mend that, then run the same command again.", ExitCode.FAILED)
    if code == _TYPER_INTERRUPTED:
        _fail("Interrupted. What had landed is kept; run the same command again to go on.", ExitCode.PARTLY_DONE)
    sys.exit(code)


def _fail_usage(error: TyperException) -> NoReturn:
    """A command line that Typer cannot read. Bare `polytrades` counts as one too; its help is printed already."""
    message = error.format_message().strip()
    if not message:
        sys.exit(ExitCode.USAGE)
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "polytrades"
    _fail(f"{message.rstrip('.')}. `{command} --help` lists what there is.", ExitCode.USAGE)


def _fail(message: str, exit_code: ExitCode) -> NoReturn:
    from runner.cli.output import Output

    Output("--json" in sys.argv).error(message, exit_code)
    sys.exit(exit_code)
