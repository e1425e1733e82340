"""The main job runs on every target, and so does each test that uses a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner_tests.support import Home, home_on


@pytest.fixture
def home(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """An empty home on the target of the test."""
    return home_on(target, tmp_path, request)
