"""Promise: fills that show up late are found, and a wrong clock on either side claims nothing that was not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

from runner.windows import Window
from runner_tests.chaos.upstream import Lander, read_records
from runner_tests.support import UNTIL, Home, Running

END = datetime.fromisoformat(UNTIL)
LAG = timedelta(minutes=5)
Start = Callable[..., Running]


def reveal(running: Running) -> None:
    """Shows the late fills."""
    connection = HTTPConnection("127.0.0.1", running.ready["port"], timeout=30)
    connection.request("POST", "/reveal")
    assert b"revealed" in connection.getresponse().read()
    connection.close()


def files(folder: Path) -> tuple[object, ...]:
    """What the simulator writes."""
    names = {"--write-fills": "fills", "--write-malformed": "damaged", "--write-wallets": "wallets"}
    return tuple(part for option, name in names.items() for part in (option, folder / name))


def test_late_fills_are_found_by_the_overlap_and_older_ones_by_asking_again(
    alone: Home, start: Start, tmp_path: Path
) -> None:
    running = start("--wallets", 4, "--fills", 300, "--late", 0.3, "--until", UNTIL, *files(tmp_path))
    records, url = read_records(tmp_path / "fills", tmp_path / "damaged"), running.ready["url"]
    lander = Lander(alone, tmp_path / "wallets")
    first, overlap = END - timedelta(days=8), timedelta(hours=72)
    lander.run(url, first, overlap_hours=72)
    hidden = lander.missing(records)
    assert hidden, "no fill was late"
    reveal(running)
    lander.run(url, END, overlap_hours=72)
    left = hidden - records.keys(first - overlap)
    assert 0 < len(left) < len(hidden)
    assert lander.landed() == records.keys() - left
    lander.run(url, END, again=True)
    assert lander.landed() == records.keys()


@pytest.mark.parametrize("hours", [-30, -2, 2, 30])
def test_with_a_wrong_clock_nothing_is_covered_that_the_upstream_could_not_know(
    alone: Home, start: Start, tmp_path: Path, hours: int
) -> None:
    """`hours` is how far the upstream is ahead of this machine; half of its fills show up only after the first run."""
    skew = timedelta(hours=hours)
    size = ("--wallets", 3, "--fills", 300, "--days", 4, "--late", 0.5, "--clock-skew", skew.total_seconds())
    running = start(*size, *files(tmp_path))
    records, url = read_records(tmp_path / "fills", tmp_path / "damaged"), running.ready["url"]
    lander = Lander(alone, tmp_path / "wallets")
    lander.run(url, overlap_hours=0)
    theirs = datetime.now(UTC) + skew
    checkpoints = lander.checkpoints()
    assert len(checkpoints) == 3
    latest = min(theirs, datetime.now(UTC)) - LAG
    assert all(checkpoint <= latest + timedelta(seconds=2) for checkpoint in checkpoints.values())
    reveal(running)
    # Without an overlap the next run begins where the claim of this one ended: nothing behind that may be missing.
    lander.run(url, overlap_hours=0)
    after = {key for wallet, end in checkpoints.items() for key in records.keys(end, latest) if key[0] == wallet}
    assert after <= lander.landed()
    lander.run(url, again=True)
    assert lander.missing(records) == set()
    assert {window.start for windows in lander.claimed().values() for window in windows} == {None}
    assert Window(None, max(checkpoints.values())).length > timedelta()
