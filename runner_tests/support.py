"""What tests start for real: the simulator, the command line, dbt, a warehouse. Nothing here imitates any of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import duckdb
import pytest

from runner import project, settings
from runner.landing.intake import Intake
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Warehouse
from runner_tests import dbt_server, parsed

if TYPE_CHECKING:  # Google's client takes seconds to import; only tests of BigQuery pay for it
    from google.cloud.bigquery import Client, Row

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
UNTIL = "2026-01-31T00:00:00Z"
BIN = Path(sys.executable).parent
ONLY_FILLS = ("-s", "pending_batches+", "--exclude", "test_type:unit", "int_markets_latest+", "int_events_latest+")
"""Arguments for one more build of all that fills go through; markets and events would take as long again. Names that
follow are excluded too."""


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


HttpAnswer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


@contextmanager
def server(
    answer: Callable[[str, dict[str, str]], HttpAnswer], *, whole: bool = False
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve `answer(path, query)`; gives the base URL and the queries (with the headers) that came.

    Of a parameter that is repeated `query` has the last; with `whole` the path comes with everything behind it.
    """
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            asked.append(query | {f"header {name.lower()}": value for name, value in self.headers.items()})
            status, headers, body = answer(self.path if whole else parts.path, query)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", asked
        finally:
            listening.shutdown()
            thread.join()


@dataclass
class Result:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What it printed on stdout, as JSON."""
        return json.loads(self.stdout)


@dataclass
class Home:
    """A folder and a warehouse of its own, and an environment in which nothing of the user's counts.

    The warehouse is a DuckDB file in the folder (`target` duckdb), or a project of the BigQuery emulator at `url`
    (`target` emulator). Tests speak to both in the same words.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    target: str = "duckdb"
    url: str = ""
    project: str = ""

    @property
    def duckdb_file(self) -> Path:
        """The warehouse, where it is a file."""
        return self.folder / "polytrades.duckdb"

    @property
    def target_path(self) -> Path:
        """Dbt's artifacts."""
        return self.folder / "target"

    @property
    def production(self) -> str:
        """The production schema, as messages name it."""
        return project.schemas("duckdb" if self.target == "duckdb" else "bigquery").production

    @property
    def place(self) -> dict[str, str]:
        """The variables that say where the warehouse is."""
        if self.target == "duckdb":
            return {"POLYTRADES_DUCKDB_PATH": str(self.duckdb_file)}
        return {
            "POLYTRADES_TARGET": self.target,
            "BIGQUERY_EMULATOR_URL": self.url,
            "POLYTRADES_BIGQUERY_PROJECT": self.project,
        }

    @property
    def environment(self) -> dict[str, str]:
        """What commands see: PATH, our settings, and `variables`."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {
            **inherited,
            "HOME": str(self.folder),
            **self.place,
            "POLYTRADES_REQUESTS_PER_SECOND": "1000",
            "DBT_TARGET_PATH": str(self.target_path),
            **self.variables,
        }

    @property
    def sped_environment(self) -> dict[str, str]:
        """The same where dbt need not be imported, nor the project be parsed again.

        Such a dbt may outlive a killed runner by a moment; who asserts that it does not uses `environment`.
        """
        return self.environment | dbt_server.environment() | parsed.environment()

    def uses(self, running: Running) -> None:
        """Points the settings at a simulator."""
        self.variables |= {
            "POLYTRADES_DOME_BASE_URL": running.ready["url"],
            "POLYTRADES_GAMMA_BASE_URL": running.ready["url"],
        }

    def polytrades(self, *arguments: object, check: bool = True) -> Result:
        """Runs the command line as a user does. With `check`, an exit code other than 0 fails the test."""
        # The many lines of dbt's own log take a tenth of its time.
        environment = {"DBT_LOG_LEVEL_FILE": "error"} | self.sped_environment
        return self._run([str(BIN / "polytrades"), *map(str, arguments)], environment, check)

    def dbt(self, *arguments: object, schema: str | None = None, project: Path = ROOT, check: bool = True) -> Result:
        """Runs dbt as an analyst does, with the example profile; `schema` other than production is one of their own."""
        profile = (ROOT / "profiles.example.yml").read_text()
        if schema is not None:
            profile = profile.replace("schema: main ", f"schema: {schema} ")
            profile = profile.replace("dataset: polytrades ", f"dataset: {schema} ")
        (self.folder / "profiles.yml").write_text(profile)
        places = ["--project-dir", str(project), "--profiles-dir", str(self.folder), "--target", self.target]
        places += ["--log-path", str(self.folder / "logs")]
        dbt = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors"]
        return self._run([*dbt, *map(str, arguments), *places], self.sped_environment, check)

    def _run(self, command: list[str], environment: dict[str, str], check: bool) -> Result:
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        if check and done.returncode != 0:
            said = f"{done.stdout}\n{done.stderr}"
            pytest.fail(f"{' '.join(command[:6])} ended with {done.returncode}:\n{said}")
        return Result(done.returncode, done.stdout, done.stderr)

    def land(self, *records: dict[str, Any]) -> None:
        """Lands order records as one batch through the runner's own door, without dbt."""
        with opened(self) as (warehouse, _):
            warehouse.prepare()
            intake = Intake(warehouse, "dome", self.folder / "spool", "test", batch_rows=1_000_000)
            intake.add([json.dumps(record).encode() for record in records], None, "test")
            intake.flush()

    def query(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Asks the warehouse, or changes it. One statement in DuckDB's words, with DuckDB's names of our schemas."""
        if self.target == "duckdb":
            with duckdb.connect(str(self.duckdb_file)) as connection:
                connection.execute("set TimeZone = 'UTC'")
                return connection.execute(sql, parameters or []).fetchall()
        return [tuple(row.values()) for row in self.bigquery_rows(sql, parameters or [])]

    def query_once_free(self, sql: str) -> list[tuple[Any, ...]]:
        """The same of a DuckDB file that a process which has just been killed may still hold."""
        while True:
            try:
                return self.query(sql)
            except duckdb.IOException:
                time.sleep(0.05)

    def bigquery_rows(self, sql: str, parameters: list[Any]) -> Iterable[Row]:
        """The same where the warehouse is a project."""
        from runner_tests import dialect

        config = dialect.parameters_for_bigquery(parameters)
        return self.bigquery.query_and_wait(dialect.for_bigquery(sql), job_config=config)

    @cached_property
    def bigquery(self) -> Client:
        """Google's client for the project."""
        from runner_tests.bigquery.running import client

        return client(self.url, self.project)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table, in one order."""
        return sorted(self.query(f"select * from {table}"), key=repr)

    def tables(self, schema: str) -> dict[str, str]:
        """Name → VIEW or TABLE of what is in a schema; `main` stands for production."""
        if self.target == "duckdb":
            found = self.query(
                "select table_name, table_type from information_schema.tables where table_schema = ?", [schema]
            )
            return {name: kind.removeprefix("BASE ") for name, kind in found}
        dataset = self.production if schema == "main" else schema
        return {table.table_id: table.table_type for table in self.bigquery.list_tables(f"{self.project}.{dataset}")}

    @property
    def is_untouched(self) -> bool:
        """True if nothing has been made in the warehouse."""
        if self.target == "duckdb":
            return not self.duckdb_file.exists()
        return not list(self.bigquery.list_datasets())

    def records(self, name: str, records: list[dict[str, Any]]) -> Path:
        """Writes an NDJSON file of order records."""
        file = self.folder / name
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        return file


@contextmanager
def opened(home: Home) -> Iterator[tuple[Warehouse, settings.Settings]]:
    """The runner's own warehouse of a home, in this process, and the settings that it is opened with."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.place.items():  # the profile reads them
            patch.setenv(name, value)
        chosen = settings.load(target=home.target, duckdb_path=home.duckdb_file)
        yield connect(chosen), chosen


TARGETS = ("duckdb", "emulator")


def home_on(target: str, folder: Path, request: pytest.FixtureRequest) -> Home:
    """An empty home on a target. Without an emulator the test is skipped, and says so."""
    if target == "duckdb":
        return Home(folder)
    emulator = request.getfixturevalue("emulator")
    return Home(folder, target=target, url=emulator.url, project=emulator.new_project())


def order(**changes: Any) -> dict[str, Any]:
    """An order record with the 12 fields of the oldest real ones; `changes` adds or replaces, None removes."""
    record = {
        "user": "0x" + "a" * 40,
        "tx_hash": "0x" + "1" * 64,
        "order_hash": "0x" + "2" * 64,
        "timestamp": 1769466633,
        "side": "BUY",
        "token_id": "54935772541522735132105781585381160875003154702594917521534482572795044510540",
        "price": 0.5,
        "shares": 2_000_000,
        "shares_normalized": 2,
        "condition_id": "0x" + "c" * 64,
        "market_slug": "a-market",
        "title": "A market",
    } | changes
    return {name: value for name, value in record.items() if value is not None}
