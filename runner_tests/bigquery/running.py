"""A running emulator. It makes any project it is asked about, so a test has a project of its own and no cleaning up."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv" / "emulator"
LAUNCH = Path(__file__).resolve().parent / "emulator" / "launch.py"
STARTS_WITHIN = 120
"""Seconds; it takes about five, more while everything else runs too."""


def why_missing() -> str | None:
    """What a person must do before an emulator can be started; None when it can."""
    if (ROOT / ".venv" / ".emulator").is_file():
        return None
    return "NO BIGQUERY EMULATOR: nothing of BigQuery is tested. It needs a Python 3.13; then: make .venv/.emulator"


def client(url: str, project: str) -> bigquery.Client:
    """Google's own client, pointed at an emulator or a proxy."""
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=url),
        location="US",
    )


@dataclass
class Emulator:
    """A started emulator, shared by the tests of one worker."""

    url: str
    process: subprocess.Popen[bytes]

    def new_project(self) -> str:
        """An id nobody has used; the project comes into being when it is first named."""
        return f"t-{secrets.token_hex(6)}"

    def client(self, project: str) -> bigquery.Client:
        """Google's client for a project."""
        return client(self.url, project)


@contextmanager
def run_emulator(folder: Path) -> Iterator[Emulator]:
    """Starts an emulator with its data in `folder`, waits until it answers, and ends it by its process id."""
    log = folder / "emulator.log"
    started = None
    for _ in range(3):  # a port that was free a moment ago may be taken by now
        started = _start(folder, log)
        if _is_ready(started):
            break
        _end(started.process)
        started = None
    if started is None:
        raise RuntimeError(f"the BigQuery emulator did not start:\n{log.read_text(errors='replace')[-4000:]}")
    try:
        yield started
    finally:
        _end(started.process)


def _start(folder: Path, log: Path) -> Emulator:
    port, grpc_port = _free_ports()
    command = [str(ENVIRONMENT / "bin" / "python"), str(LAUNCH), "--until-stdin-closes", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--grpc-port", str(grpc_port), "--data-dir", str(folder / "data")]
    # The extensions were installed below this HOME, see the Makefile.
    environment = os.environ | {"HOME": str(ENVIRONMENT / "home")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
    return Emulator(f"http://127.0.0.1:{port}", process)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _is_ready(started: Emulator) -> bool:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and started.process.poll() is None:
        try:
            with urlopen(f"{started.url}/discovery/v1/apis/bigquery/v2/rest", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (URLError, OSError):
            time.sleep(0.1)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()
