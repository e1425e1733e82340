"""How long a chaos run may take, and what all of them together have shown.

Counts are kept in .chaos/tally.json and add up over invocations; each change is also written to
bench/results/chaos.json, from where the documentation has its figures. `make chaos-again` begins from nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import Any

from bench.results import write
from runner_tests.chaos.counters import FOLDER

_FILE = FOLDER / "tally.json"


_BEGAN = time.monotonic()


class Box:
    """A share of the time that CHAOS_MINUTES gives to one invocation (default 50), or of what is left of it.

    It ends loops and fails nothing: what is left over is for the next invocation.
    """

    def __init__(self, share: float, of_the_rest: bool = False) -> None:
        now, whole = time.monotonic(), 60 * float(os.environ.get("CHAOS_MINUTES", "50"))
        self._ends = now + share * (max(0.0, _BEGAN + whole - now) if of_the_rest else whole)

    @property
    def is_over(self) -> bool:
        """True once the time is used up."""
        return time.monotonic() >= self._ends


def seed() -> int:
    """CHAOS_SEED, or a new one; printed, so that a failure can be had again."""
    chosen = int(os.environ.get("CHAOS_SEED", secrets.randbelow(1_000_000)))
    print(f"\nCHAOS_SEED={chosen}")
    return chosen


def tally(section: str) -> dict[str, Any]:
    """What has been counted so far."""
    found: dict[str, Any] = _all().get(section, {})
    return found


def record(section: str, counted: dict[str, Any]) -> None:
    """Replaces a section and writes the results."""
    everything = {**_all(), section: counted}
    FOLDER.mkdir(exist_ok=True)
    unfinished = _FILE.with_suffix(".tmp")
    unfinished.write_text(json.dumps(everything, indent=2))
    unfinished.replace(_FILE)
    write("chaos", everything)


def _all() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.is_file() else {}
    return found
