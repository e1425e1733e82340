"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from runner_tests import parsed
from runner_tests.support import DATA, TARGETS, Home, Running, launch, stop

if TYPE_CHECKING:  # Google's client takes seconds to import; only tests of BigQuery pay for it
    from runner_tests.bigquery.proxy import Proxy
    from runner_tests.bigquery.running import Emulator


# No test asserts how long something takes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_MEMORY = Path("/dev/shm")  # noqa: S108 - a place, not a name in it
_ROOM = 6 * 1024**3
"""Bytes; a run leaves behind about a tenth of that until it ends."""


def pytest_configure() -> None:
    """Temporary folders in memory, where there is room: a commit waits 3 ms for a disk, and tests make many."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    parsed.begin_session()


def pytest_unconfigure() -> None:
    """Remove what the workers shared."""
    parsed.end_session()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses `target` is one for each of them, unless a marker says why it is for DuckDB alone or first."""
    if "target" in metafunc.fixturenames:
        markers = {marker.name for marker in metafunc.definition.iter_markers()}
        duckdb, emulator = TARGETS
        targets = [pytest.param(duckdb, id=duckdb)]
        if "duckdb_only" not in markers:
            marks = [pytest.mark.at_length] if "duckdb_first" in markers else []
            targets.append(pytest.param(emulator, id=emulator, marks=marks))
        metafunc.parametrize("target", targets, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test begins first: begun last, it would keep one process waiting for the other."""
    items.sort(key=lambda item: "test_statements.py" not in item.nodeid)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> str:
    """The target that this test is for."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home on DuckDB."""
    return Home(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Return a function that starts a simulator with the given arguments; all are ended after the test."""
    yield from _starter()


@pytest.fixture(scope="module")
def start_module() -> Iterator[Callable[..., Running]]:
    """The same for fixtures that live as long as their module."""
    yield from _starter()


def _starter() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(*arguments: object) -> Running:
        started.append(launch(*arguments))
        return started[-1]

    yield run
    for running in started:
        stop(running)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of recorded upstream answers beside the project; tests that need it are skipped without it."""
    if not (DATA / "dome" / "orders.ndjson").is_file():
        pytest.skip(f"no recorded upstream answers in {DATA}")
    return DATA


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One BigQuery emulator for each worker; isolate a test with `emulator.new_project()`."""
    from runner_tests.bigquery.running import run_emulator, why_missing

    if missing := why_missing():
        if os.environ.get("POLYTRADES_REQUIRE_EMULATOR"):
            pytest.fail(missing)
        pytest.skip(missing)
    with run_emulator(tmp_path_factory.mktemp("emulator")) as started:
        yield started


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """A proxy in front of the emulator that knows nothing yet: bytes, their limit, faults, a record of jobs."""
    from runner_tests.bigquery.proxy import Proxy

    with Proxy(emulator.url) as started:
        yield started
    assert started.failures == []
