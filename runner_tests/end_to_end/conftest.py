"""The main job runs on every target: whoever uses `target` or a home is a test for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner_tests.support import TARGETS, Home, home_on


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each target; for DuckDB alone where a marker says why."""
    if "target" in metafunc.fixturenames:
        is_only_duckdb = metafunc.definition.get_closest_marker("duckdb_only") is not None
        metafunc.parametrize("target", TARGETS[:1] if is_only_duckdb else TARGETS, indirect=True, scope="session")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> str:
    """The target that this test is for."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def home(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """An empty home on the target."""
    return home_on(target, tmp_path, request)
