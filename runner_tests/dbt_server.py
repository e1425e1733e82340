"""A dbt that is a process of its own and need not be imported first.

Importing dbt and its adapters takes three to five seconds of a processor, and a run on BigQuery starts dbt twice. A
server imports them once for each test worker. Where `environment()` is set, `python -m dbt.cli.main` - the runner's or
a test's - is a fork of it (see preloaded/sitecustomize.py), with an environment, a folder, files and an end of its own,
and nothing that an earlier call left behind.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

from runner_tests import parsed, templates

_ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def environment() -> dict[str, str]:
    """The variables that make dbt a fork of this worker's server, which the first call starts."""
    address = Path(tempfile.mkdtemp(prefix="dbt-")) / "server"
    process = subprocess.Popen(
        [sys.executable, "-m", "runner_tests.dbt_server", str(address)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,  # closed when we end, however that is: then the server ends too
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("the server of dbt did not start")
    assert process.stdin is not None
    atexit.register(process.stdin.close)
    return {"PYTHONPATH": str(_ROOT / "runner_tests" / "preloaded"), "POLYTRADES_TESTS_DBT_SERVER": str(address)}


def _serve(address: str) -> None:
    """Accepts and forks until stdin ends."""
    # Nothing is called here: what dbt and its libraries start in use (threads, locks) does not live on in a fork.
    import dbt.adapters.bigquery
    import dbt.adapters.duckdb
    import dbt.cli.main  # noqa: F401

    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guardians
    # A fork of a process with threads may hang, so a process of its own watches for the end of the tests.
    if server := os.fork():
        sys.stdin.read()
        os.kill(server, signal.SIGKILL)
        return
    print("ready", flush=True)
    while True:
        asked, _ = listening.accept()
        if not os.fork():
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _guard(asked)
        asked.close()


def _guard(asked: socket.socket) -> None:
    """Forks once more, into dbt; says how that ended, and kills it if who asked for it is gone."""
    size, files, _, _ = socket.recv_fds(asked, 4, 3)
    told = asked.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    if not told:  # who asked has been killed since
        os._exit(0)
    wanted = json.loads(told)
    child = os.fork()
    if not child:
        for number, file in enumerate(files):
            os.dup2(file, number)
        asked.close()
        _be_dbt(**wanted)

    def watch() -> None:
        while asked.recv(1):
            os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGKILL)

    for number in (0, 1, 2, *files):
        os.close(number)
    threading.Thread(target=watch, daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    asked.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _be_dbt(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """The command `dbt`, in the forked process, which ends here."""
    from dbt.cli.main import cli

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    warnings.simplefilter("ignore")
    sys.argv = ["dbt", *arguments]
    taken = parsed.plant(arguments, _ROOT)
    if folder := parsed.shared_folder():
        templates.share(folder / "templates")
    code: object = 1
    try:
        cli()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        if taken:
            taken.keep()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)  # what the server has loaded cannot be taken down in a fork


if __name__ == "__main__":
    _serve(sys.argv[1])
