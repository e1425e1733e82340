"""Promise: a migration that dies or fails anywhere goes on, and ends as one that nobody disturbed.

`make test` does three failpoints of the copy (end_to_end/test_migration.py), this all of them, and random instants.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from bench.legacy import Shape
from runner_tests.chaos.tally import record, tally
from runner_tests.chaos.test_failpoints import KINDS, strike
from runner_tests.chaos.world import begin
from runner_tests.legacy_table import STAGING, LegacyTable, stored
from runner_tests.support import Home, home_on

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]
COPY = ("migrate", "copy", "--staging", STAGING)
KILLS = 30


@pytest.fixture
def migrating(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[LegacyTable, Home]:
    """A home with a staging table of 18 months, so that there is something to strike at."""
    table = LegacyTable(tmp_path, Shape(6_000, 2_000, 1_500, days=540))
    home = home_on(target, tmp_path, request)
    table.put_into(home)
    return table, home


def verdict_of(home: Home) -> dict[str, object]:
    """Verifies."""
    return dict(json.loads(home.polytrades("migrate", "verify", "--json").stdout))


def test_a_migration_struck_at_every_failpoint_ends_as_if_nothing_had_been(
    target: str,
    migrating: tuple[LegacyTable, Home],
) -> None:
    table, home = migrating
    before = sorted(stored(home), key=repr)
    for site in ("work.kept", "work.recorded", "month.copied", "month.recorded"):
        for kind in KINDS:
            strike(home, COPY, site, kind)
    home.polytrades(*COPY)
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)
    for kind in KINDS:
        strike(home, ("migrate", "verify"), "verification.recorded", kind)
    verdict = verdict_of(home)
    assert verdict["is_green"]
    drop = ("migrate", "drop", "--yes", verdict["verification_id"])
    for kind in KINDS:
        strike(home, drop, "staging.saved", kind)
    if target != "duckdb":
        strike(home, drop, "drop.recorded", "kill")
        home.polytrades("migrate", "rollback")
    strike(home, drop, "staging.dropped", "kill")
    home.polytrades("migrate", "rollback")
    assert verdict_of(home)["is_green"]
    for site in ("month.taken.back", "ledger.reopened"):
        for kind in KINDS:
            strike(home, ("migrate", "rollback"), site, kind)
    home.polytrades("migrate", "rollback")
    assert sorted(stored(home), key=repr) == before
    add_up(target, "every failpoint", True)


def test_a_copy_killed_at_random_instants_ends_as_if_nothing_had_been(
    target: str,
    migrating: tuple[LegacyTable, Home],
) -> None:
    table, home = migrating
    chance = random.Random(6)
    kills = 0
    while kills < KILLS:
        command = begin(home, *COPY)
        time.sleep(chance.uniform(1, 12))
        if command.process.poll() is None:
            command.process.kill()
            kills += 1
        command.process.wait()
        command.may_have_orphans = True
        command.end()
        if command.process.returncode == 0:  # it was done: once more from the beginning
            home.polytrades("migrate", "rollback")
    home.polytrades(*COPY)
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)
    assert verdict_of(home)["is_green"]
    add_up(target, "kills", tally("migration").get(target, {}).get("kills", 0) + kills)


def add_up(target: str, name: str, shown: object) -> None:
    """Notes what has passed."""
    before = tally("migration")
    record("migration", before | {target: before.get(target, {}) | {name: shown}})
