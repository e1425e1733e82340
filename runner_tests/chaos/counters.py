"""What a long test has done already: it goes on where it was stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runner_tests.support import ROOT

FOLDER = ROOT / ".chaos"


@dataclass
class Counter:
    """Names of cases that passed, in a file; `make chaos-again` begins from nothing."""

    name: str

    @property
    def _file(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def done(self) -> set[str]:
        """Cases that passed."""
        return set(json.loads(self._file.read_text())) if self._file.is_file() else set()

    def passed(self, case: str) -> None:
        """Notes a case: a temporary name, then a rename."""
        FOLDER.mkdir(exist_ok=True)
        unfinished = self._file.with_suffix(".tmp")
        unfinished.write_text(json.dumps(sorted(self.done() | {case})))
        unfinished.replace(self._file)
