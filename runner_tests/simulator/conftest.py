"""A simulator that really runs: started as a process on a free port, asked over a socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner_tests.support import ROOT, UNTIL, Running, launch, stop


@pytest.fixture
def simulate() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "simulator", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The default world with a fixed end; tests only read from it. `ready` also names the files that it wrote."""
    folder = tmp_path_factory.mktemp("world")
    fills, wallets = folder / "fills.ndjson", folder / "wallets.csv"
    running = launch("--until", UNTIL, "--write-fills", fills, "--write-wallets", wallets)
    running.ready |= {"fills_file": fills, "wallets_file": wallets}
    yield running
    stop(running)


@pytest.fixture(scope="session")
def schema_of(data: Path) -> Callable[[str], dict[str, Any]]:
    """Return a function that gives the upstream's own schema of a path's 200 answer, as JSON Schema."""
    described = json.loads((data / "dome" / "openapi.json").read_bytes())

    def find(path: str) -> dict[str, Any]:
        answer = described["paths"][path]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
        made: dict[str, Any] = _json_schema(schema)
        return made

    return find


def _json_schema(node: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema: `nullable` becomes a type."""
    if isinstance(node, list):
        return [_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _json_schema(value) for name, value in node.items() if name not in ("nullable", "example")}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made
