"""The demo's simulated upstreams: a process of their own on a free port."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Failed


@dataclass(frozen=True)
class World:
    """Where the simulated upstreams answer, and the wallets that trade there."""

    url: str
    wallets_file: Path


@contextmanager
def simulator(folder: Path, wallets: int, fills: int) -> Iterator[World]:
    """Runs the simulator until the block ends. One record in a hundred and fifty is malformed, as life has it.

    Raises:
        Failed: it did not start.
    """
    wallets_file = folder / "demo-wallets.csv"
    command = [sys.executable, "-m", "simulator", "--port", "0", "--json", "--malformed", "0.0066"]
    command += ["--wallets", str(wallets), "--fills", str(fills), "--write-wallets", str(wallets_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            if not ready:
                raise Failed("The simulator did not start; what it said stands above.")
            yield World(json.loads(ready)["url"], wallets_file)
        finally:
            process.terminate()
