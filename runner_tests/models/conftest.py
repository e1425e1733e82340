"""The project compiled once a session for each policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner_tests.compiled import Compiled, compile_project
from runner_tests.support import Home


@pytest.fixture(scope="session")
def built_distinct(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compiled with missing_order_hash: distinct."""
    return compile_project(Home(tmp_path_factory.mktemp("distinct")), "distinct")


@pytest.fixture(scope="session")
def built_collapse(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compiled with missing_order_hash: collapse."""
    return compile_project(Home(tmp_path_factory.mktemp("collapse")), "collapse")


@pytest.fixture
def project(built_distinct: Compiled) -> Iterator[Compiled]:
    """An empty warehouse with the default policy."""
    built_distinct.empty()
    yield built_distinct


@pytest.fixture(params=["distinct", "collapse"])
def either_policy(request: pytest.FixtureRequest) -> Compiled:
    """An empty warehouse, under each policy in turn."""
    compiled: Compiled = request.getfixturevalue(f"built_{request.param}")
    compiled.empty()
    return compiled
