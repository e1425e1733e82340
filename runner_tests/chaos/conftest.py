"""What the tests here share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.settings import Settings
from runner_tests.chaos.world import end_all
from runner_tests.support import Home


@pytest.fixture(autouse=True)
def _leaves_no_process_behind() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home on DuckDB for this very process: its folder is the current one, no setting comes from elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POLYTRADES_{name.upper()}", raising=False)
    return Home(tmp_path)
