"""Promise: a process that dies or fails at any boundary between two durable effects is made good by the next run.

At each failpoint a command is killed, then, by the same command again, terminated, then made to fail; the fourth run is
let through. What stands then is what stands after an undisturbed one. `make test` does three failpoints on DuckDB,
`make chaos` all on both targets.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.failpoints import SITES
from runner_tests.chaos.counters import Counter
from runner_tests.chaos.tally import Box, record, tally
from runner_tests.chaos.world import Contents, Start, World, begin, contents, differences, let_through, world
from runner_tests.support import UNTIL, Home, home_on

KINDS = ("kill", "term", "raise")
ONLY_BACKFILL = {"slice.ended"}
ONLY_REPLAY = {"replay.recorded"}
ONLY_BY_HAND = {"checkpoints.set"}
ONLY_CHAIN = {"blocks.noted", "reorganisation.healed"}
ONLY_MIGRATION = {
    "work.kept",
    "work.recorded",
    "month.copied",
    "month.recorded",
    "verification.recorded",
    "trades.swapped",
    "staging.saved",
    "drop.recorded",
    "staging.dropped",
    "month.taken.back",
    "ledger.reopened",
}
OF_SYNC = [
    site for site in SITES if site not in ONLY_BACKFILL | ONLY_REPLAY | ONLY_BY_HAND | ONLY_CHAIN | ONLY_MIGRATION
]
OF_BACKFILL = [
    site
    for site in SITES
    if site not in ONLY_REPLAY | ONLY_BY_HAND | ONLY_CHAIN | ONLY_MIGRATION | {"wallets.changed", "checkpoints.moved"}
]
# These are passed many times: the first time is the beginning of everything, the second is in the middle.
PASSED_OFTEN = frozenset(
    {
        "page.received",
        "batch.written",
        "batch.loaded",
        "batch.listed",
        "rejections.kept",
        "coverage.recorded",
        "checkpoints.moved",
        "batch.landed",
    }
)
# Passed once in the life of a home: each kind of strike needs one of its own.
PASSED_ONCE = {"wallets.changed"}
# Raised inside of what must not hide an error: the run ends as if it had not been.
IS_FORGIVEN = {"costs.collected", "lease.released"}


def strike(home: Home, arguments: tuple[object, ...], site: str, kind: str, number: int = 1) -> None:
    """Runs a command that meets a failpoint, and shows that it did."""
    command = begin(home, *arguments, fault=f"{site}:{kind}:{number}")
    code, said = command.process.wait(), command.text
    command.may_have_orphans = kind == "kill"
    command.end()
    assert "Traceback" not in said, (site, kind, said)
    if kind == "kill":
        assert code == -9, (site, kind, said)
    elif kind == "term":
        assert code == 3 and "Interrupted" in said, (site, kind, code, said)
    elif site in IS_FORGIVEN:
        assert code == 0, (site, kind, code, said)
    else:
        assert code in (1, 3) and f"The failpoint {site}" in " ".join(said.split()), (site, kind, code, said)


def strike_in_every_way(
    home: Home,
    arguments: tuple[object, ...],
    site: str,
    kinds: tuple[str, ...] = KINDS,
    passed_often: frozenset[str] = PASSED_OFTEN,
) -> None:
    """Killed, terminated, failed, let through."""
    for kind in kinds:
        # A run that is made to fail lands what it has: so that one comes last.
        strike(home, arguments, site, kind, 2 if site in passed_often and kind == "kill" else 1)
    let_through(home, arguments)


@pytest.fixture
def here(start: Start, tmp_path: Path) -> World:
    """A world in which every batch has something to reject."""
    return world(start, tmp_path, 21, fills=240, malformed=0.3)


def first_night(here: World) -> tuple[object, ...]:
    """Everything of every wallet."""
    return ("sync", "--wallets", here.wallets, "--until", UNTIL)


def reference(here: World, home: Home, *commands: tuple[object, ...]) -> Contents:
    """What stands after undisturbed commands."""
    home.folder.mkdir(exist_ok=True)
    here.settings(home)
    for arguments in commands:
        let_through(home, arguments)
    return contents(home)


def test_a_sync_struck_at_three_failpoints_ends_as_if_nothing_had_been(home: Home, here: World, tmp_path: Path) -> None:
    expected = reference(here, Home(tmp_path / "reference"), first_night(here))
    here.settings(home)
    strike(home, first_night(here), "batch.loaded", "kill", 3)
    strike(home, first_night(here), "checkpoints.moved", "raise")
    strike(home, first_night(here), "metadata.landed", "term")
    let_through(home, first_night(here))
    assert not differences(contents(home), expected)


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_sync_struck_at_any_failpoint_ends_as_if_nothing_had_been(
    target: str, here: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    box, counter = Box(0.1), Counter(f"failpoints_sync_{target}")
    left = [site for site in OF_SYNC if site not in counter.done()]
    if left:
        expected = reference(here, home_on(target, tmp_path / "reference", request), first_night(here))
    for site in left:
        if box.is_over:
            break
        for kinds in [(kind,) for kind in KINDS] if site in PASSED_ONCE else [KINDS]:
            (tmp_path / site).mkdir()
            home = home_on(target, tmp_path / site, request)
            here.settings(home)
            strike_in_every_way(home, first_night(here), site, kinds)
            assert not differences(contents(home), expected), site
            shutil.rmtree(home.folder)
        counter.passed(site)
        add_up("sync", target, len(counter.done()), len(OF_SYNC))


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_backfill_struck_at_any_failpoint_ends_as_if_nothing_had_been(
    target: str, start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One home on its way into the past: each failpoint has a window of its own, with a slice for each strike."""
    box, counter = Box(0.07), Counter(f"failpoints_backfill_{target}")
    left = [site for site in OF_BACKFILL if site not in counter.done()]
    here = world(start, tmp_path, 22, days=400, fills=900, malformed=0.3)
    home = home_on(target, tmp_path, request)
    here.settings(home)
    newest = datetime(2026, 1, 10, tzinfo=UTC)
    commands = [("sync", "--wallets", here.wallets, "--since", newest.isoformat(), "--until", UNTIL)]
    let_through(home, commands[0])
    for number, site in enumerate(left):
        if box.is_over:
            break
        ends = newest - number * timedelta(days=20)
        window = ("--from", (ends - timedelta(days=20)).isoformat(), "--to", ends.isoformat(), "--slice-days", 7)
        strike_in_every_way(home, ("backfill", *window), site)
        assert keys(home) == keys_since(here, ends - timedelta(days=20)), site
        commands.append(("backfill", *window))
        counter.passed(site)
        add_up("backfill", target, len(counter.done()), len(OF_BACKFILL))
    expected = reference(here, home_on(target, tmp_path / "reference", request), *commands)
    assert not differences(contents(home), expected)


def keys(home: Home) -> list[tuple[str, str, str]]:
    """What stands in `trades`."""
    return sorted((*row,) for row in home.query("select wallet_address, tx_hash, order_hash from main.trades"))


def keys_since(here: World, instant: datetime) -> list[tuple[str, str, str]]:
    """What should."""
    found = [record for record in here.records if record["timestamp"] >= instant.timestamp()]
    return sorted((record["user"], record["tx_hash"], record["order_hash"]) for record in found)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_replay_and_a_move_by_hand_struck_at_their_failpoints_are_made_good(
    target: str, here: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home = home_on(target, tmp_path, request)
    here.settings(home)
    let_through(home, first_night(here))
    sound: dict[str, Any] = {**here.records[0], "tx_hash": "0x" + "9" * 64}
    home.query(
        "insert into landing.rejected_records (record_hash, reason, detail, record, origin, source, run_id, landed_at) "
        "values (?, 'bad_timestamp', 'ahead of a wrong clock', ?, ?, 'dome', 'r', ?)",
        ["f" * 64, json.dumps(sound), sound["user"], datetime(2026, 2, 1, tzinfo=UTC)],
    )
    expected = sorted([*here.keys, (sound["user"], sound["tx_hash"], sound["order_hash"])])
    for site in ("batch.loaded", "batch.landed", "replay.recorded", "build.ended"):
        for kind in KINDS if site == "replay.recorded" else ("kill",):
            if not is_replayed(home) or site == "build.ended":
                strike(home, ("rejected", "replay"), site, kind)
    let_through(home, ("rejected", "replay"))
    assert is_replayed(home)
    assert keys(home) == expected

    for day, kind in zip((20, 19, 18), KINDS, strict=True):  # each one further back, for nothing is moved twice
        strike(home, ("checkpoints", "--move-back", f"2026-01-{day}"), "checkpoints.set", kind)
    let_through(home, ("sync", "--until", UNTIL))
    found = contents(home)
    assert {until for _, until in found["checkpoints"]} == {datetime.fromisoformat(UNTIL)}
    assert keys(home) == expected
    add_up("by hand", target, 2, 2)


def is_replayed(home: Home) -> bool:
    """True once the record is marked."""
    return bool(home.query("select 1 from state.replayed_records"))


def add_up(command: str, target: str, passed: int, every: int) -> None:
    """Notes how many failpoints have passed."""
    record("failpoints", tally("failpoints") | {f"{command} on {target}": {"passed": passed, "of": every}})
