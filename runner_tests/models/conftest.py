"""The project compiled once a session for each target and policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from runner_tests.compiled import Compiled, compile_project
from runner_tests.support import home_on


@pytest.fixture(scope="session")
def compiled_for(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str, str], Compiled]:
    """Gives the project on a target, compiled with a policy for missing order hashes."""

    @cache
    def compiled(target: str, policy: str) -> Compiled:
        return compile_project(home_on(target, tmp_path_factory.mktemp(policy), request), policy)

    return compiled


@pytest.fixture
def under(target: str, compiled_for: Callable[[str, str], Compiled]) -> Callable[[str], Compiled]:
    """Gives an empty warehouse under a policy."""

    def empty(policy: str) -> Compiled:
        project = compiled_for(target, policy)
        project.empty()
        return project

    return empty


@pytest.fixture
def project(under: Callable[[str], Compiled]) -> Compiled:
    """An empty warehouse with the default policy."""
    return under("distinct")


@pytest.fixture(params=["distinct", "collapse"])
def either_policy(request: pytest.FixtureRequest, under: Callable[[str], Compiled]) -> Compiled:
    """An empty warehouse, under each policy in turn."""
    return under(request.param)
