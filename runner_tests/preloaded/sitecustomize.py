"""Python runs this first where PYTHONPATH names this folder: `python -m dbt.cli.main` becomes a fork of dbt_server.py.

Every other command goes on as if this were not here, and so does dbt where the server cannot be reached.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

_DBT = ["-m", "dbt.cli.main"]
_SERVER = "POLYTRADES_TESTS_DBT_SERVER"


def _become_a_fork(arguments: list[str]) -> None:
    """Hands over files, folder and environment, and ends as the fork does. It dies with us; SIGTERM is passed on."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[_SERVER])
        wanted = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        message = json.dumps(wanted).encode()
        signal.signal(signal.SIGTERM, lambda *_: server.send(b"T"))
        socket.send_fds(server, [len(message).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(message)
        os._exit(int(server.recv(8) or b"137"))


if _SERVER in os.environ and _DBT[1] in sys.orig_argv[:5]:
    at = sys.orig_argv.index(_DBT[1])
    if sys.orig_argv[at - 1] == _DBT[0]:
        _become_a_fork(sys.orig_argv[at + 1 :])
