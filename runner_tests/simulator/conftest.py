"""A simulator that really runs: started as a process on a free port, asked over a socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
UNTIL = "2026-01-31T00:00:00Z"


@dataclass
class Answer:
    """One HTTP answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, integers and floats as Python reads them."""
        return json.loads(self.body)


@dataclass
class Running:
    """A started simulator."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    def get(self, path: str, params: Any = (), **headers: str) -> Answer:
        """Ask once, on a fresh connection. `params` may repeat names (a list of pairs)."""
        query = urlencode(params, doseq=True)
        connection = HTTPConnection("127.0.0.1", self.ready["port"], timeout=30)
        try:
            connection.request("GET", f"{path}?{query}" if query else path, headers=headers)
            response = connection.getresponse()
            lowered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lowered, response.read())
        finally:
            connection.close()

    def walk(self, **params: Any) -> list[dict[str, Any]]:
        """Follow `pagination_key` to the end and return the pages."""
        pages: list[dict[str, Any]] = []
        while True:
            answer = self.get("/polymarket/orders", params)
            assert answer.status == 200, answer.body
            pages.append(answer.json)
            if not pages[-1]["pagination"]["has_more"]:
                assert "pagination_key" not in pages[-1]["pagination"]
                return pages
            params["pagination_key"] = pages[-1]["pagination"]["pagination_key"]


def launch(*arguments: object) -> Running:
    """Start a simulator and wait for its ready line; an early end fails with what it said."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--json", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"the simulator ended early: {process.stderr.read()}")
    return Running(process, json.loads(line))


def stop(running: Running) -> None:
    """End a simulator for good."""
    running.process.terminate()
    running.process.communicate(timeout=30)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Return a function that starts a simulator with the given arguments; all are ended after the test."""
    started: list[Running] = []

    def run(*arguments: object) -> Running:
        started.append(launch(*arguments))
        return started[-1]

    yield run
    for running in started:
        stop(running)


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
def data() -> Path:
    """The folder of recorded upstream answers beside the project; tests that need it are skipped without it."""
    if not (DATA / "dome" / "orders.ndjson").is_file():
        pytest.skip(f"no recorded upstream answers in {DATA}")
    return DATA


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
