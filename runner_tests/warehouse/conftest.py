"""The runner's own side of a warehouse, on each target, without dbt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.settings import Settings, load
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Warehouse
from runner_tests.night import Notes

if TYPE_CHECKING:
    from runner_tests.bigquery.proxy import Proxy

TARGETS = ("duckdb", "emulator")


@dataclass
class Place:
    """A prepared warehouse of one's own and how to get at it again. `proxy` stands before the emulator."""

    settings: Settings
    proxy: Proxy | None
    spool: Path
    notes: Notes = field(default_factory=Notes)

    def open(self, **changes: Any) -> Warehouse:
        """A further process, as it were: nothing is shared with another one but the warehouse."""
        return connect(self.settings.model_copy(update=changes))

    def rows(self, warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
        """Asks; {landing}, {state} and {production} stand for the schemas."""
        schemas = warehouse._schemas  # type: ignore[attr-defined]
        found: list[tuple[Any, ...]] = warehouse._query("test", sql.format(**schemas.__dict__))  # type: ignore[attr-defined]
        return found


def place(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, **settings: Any
) -> Place:
    """An empty warehouse on a target."""
    monkeypatch.chdir(tmp_path)
    proxy = None
    if target == "emulator":
        proxy = request.getfixturevalue("proxy")
        monkeypatch.setenv("BIGQUERY_EMULATOR_URL", proxy.url)
        monkeypatch.setenv("POLYTRADES_BIGQUERY_PROJECT", request.getfixturevalue("emulator").new_project())
    made = load(target=target, duckdb_path=tmp_path / "w.duckdb", bigquery_patience_seconds=20, **settings)
    return Place(made, proxy, tmp_path / "spool")


@pytest.fixture(params=TARGETS)
def on(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A prepared warehouse, on each target in turn."""
    made = place(request.param, tmp_path, monkeypatch, request)
    made.open().prepare()
    yield made


@pytest.fixture
def duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    """A prepared warehouse on DuckDB."""
    made = place("duckdb", tmp_path, monkeypatch, request)
    made.open().prepare()
    return made


@pytest.fixture
def bigquery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    """A prepared warehouse on BigQuery."""
    made = place("emulator", tmp_path, monkeypatch, request)
    made.open().prepare()
    return made
