"""Promise: nights with a bad upstream, through the whole command, end as good nights once it is well again."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner_tests.chaos.world import Contents, Start, World, begin, contents, differences, let_through, nights, world
from runner_tests.support import home_on

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

BAD = (
    ("status:503@orders%middle", "reset@orders%last#1-3", "status:429@markets#1", "empty@events"),
    ("truncated@orders%first#2-5", "retry-after:503:1@orders%last#1", "html@markets"),
    ("drop@orders#3-9", "more-for-ever@orders%last#2-4", "gzip-lie@orders%middle#2", "status:500@markets#1-3"),
    ("no-has-more@orders%first#1-2", "repeat-page@orders%middle", "length-short@markets", "unsorted@orders%last"),
)
"""For each night, what its first run meets. None of these tells a lie that only another walk could find out."""


@pytest.fixture
def here(start: Start, tmp_path: Path) -> World:
    return world(start, tmp_path, 31)


def test_bad_nights_end_as_good_ones(
    target: str, here: World, start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home, reference = home_on(target, tmp_path, request), home_on(target, tmp_path / "reference", request)
    reference.folder.mkdir()
    here.settings(reference)
    here.settings(home)
    home.variables |= {"POLYTRADES_REQUEST_ATTEMPTS": "2", "POLYTRADES_REQUEST_TIMEOUT_SECONDS": "5"}
    was_hit = 0
    for arguments, faults in zip(nights(here.wallets), BAD, strict=True):
        bad = world(start, tmp_path, 31, *(part for fault in faults for part in ("--fault", fault)))
        home.uses(bad.running)
        command = begin(home, *arguments)
        assert command.process.wait() in (0, 1, 3, 4), command.text
        assert "Traceback" not in command.text
        was_hit += command.process.returncode != 0
        home.uses(here.running)
        let_through(home, arguments)
        let_through(reference, arguments)
        assert not differences(whoever_answered(contents(home)), whoever_answered(contents(reference))), arguments
    assert was_hit >= 3, "the upstream was not bad enough"


def whoever_answered(found: Contents) -> Contents:
    """The same without what another source says in other words: where Gamma fails, the order API is asked."""
    return found | {name: sorted({row[:2] for row in found[name]}) for name in ("markets", "events")}
