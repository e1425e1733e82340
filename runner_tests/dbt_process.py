"""A dbt that is a process of its own and need not be imported first.

Importing dbt and its adapters takes five to ten seconds. A server imports them once for each test worker; every call
is a fork of it, with an environment, a folder and an end of its own, and nothing that an earlier call left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["dbt.cli.main", "dbt.adapters.duckdb", "dbt.adapters.bigquery"])


def run_dbt(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Runs `dbt` with these arguments; gives its exit code and what it wrote to stdout and stderr."""
    said = folder / f"dbt-{len(list(folder.glob('dbt-*.stdout')))}"
    stdout, stderr = said.with_suffix(".stdout"), said.with_suffix(".stderr")
    code = _in_fork(_dbt, arguments, str(folder), environment, str(stdout), str(stderr))
    return code, stdout.read_text(), stderr.read_text()


def with_dbt(environment: dict[str, str], call: Callable[[], object]) -> None:
    """Calls a function in a process that has dbt loaded; it fails there if it must, and says so."""
    if _in_fork(_call, environment, call):
        raise RuntimeError(f"{call} failed where dbt is loaded; see stderr")


def _in_fork(target: Callable[..., None], *arguments: object) -> int:
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode or 0


def _call(environment: dict[str, str], call: Callable[[], object]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    call()


def _dbt(arguments: list[str], folder: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """The command `dbt`, in the forked process."""
    for name, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), name)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dbt", *arguments]
    from dbt.cli.main import cli

    cli()
