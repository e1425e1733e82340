"""What the tests here share."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.settings import Settings
from runner_tests.support import Home


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home on DuckDB for this very process: its folder is the current one, no setting comes from elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POLYTRADES_{name.upper()}", raising=False)
    return Home(tmp_path)
