"""A command that goes on behind the terminal, and the log that it leaves."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.settings import Settings


def log_file(settings: Settings) -> Path:
    """Where a command of the background writes: beside the DuckDB file, for every target."""
    return settings.duckdb_file.with_name(f"polytrades-migrate-{settings.target}.log")


def start(settings: Settings, arguments: Sequence[str]) -> tuple[Path, int]:
    """Starts `polytrades` with these arguments in a session of its own; gives its log and its process."""
    log = log_file(settings)
    with log.open("w") as writing:
        process = subprocess.Popen(
            [sys.executable, "-c", "from runner.cli.app import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return log, process.pid


def last_lines(settings: Settings, count: int) -> list[str]:
    """The end of the log; empty if there is none."""
    try:
        return log_file(settings).read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
