"""Promise: kill -9 at any instant, again and again; in the end all is as if nothing had been.

A chain is a world's nights in one home, each killed many times before it is let through, and compared with the same
night of an undisturbed home. The first kills of a night come soon after its first request, each within an eighth of
what its landing takes, so that landing is got through in small pieces; the others fall anywhere in a run, which is
mostly dbt, as all has landed by then. One in five hits the runner alone, and dbt dies with it where the system can see
to that. `make chaos` runs as many chains as its time allows.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner_tests.chaos.tally import Box, record, seed, tally
from runner_tests.chaos.world import (
    Command,
    Contents,
    Start,
    World,
    begin,
    contents,
    differences,
    end_all,
    let_through,
    nights,
    world,
)
from runner_tests.support import Home, home_on

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]
SHARE = {"duckdb": 0.6, "emulator": 1.0}
"""Of the time that is left when this begins; the emulator comes second."""
EARLY, LATE = (8, 24), (3, 9)
"""Kills of one night: fewest and most."""
PHASES = ("start", "landing", "markets and events", "dbt", "end")
_DBT_STARTS = "Markets and events: "
"""What a run says when it has all of them."""
# On BigQuery the check of all keys is a part of its own, and the last one.
_DBT_HAS_ENDED = {
    "duckdb": re.compile(r"dbt build: (\d+)/\1 "),
    "emulator": re.compile(r"Whole-table check: (\d+)/\1 "),
}


def phase(target: str, said: str, has_begun: bool) -> str:
    """Where a run was when it died, by what it had said and whether it stands in state.runs."""
    if _DBT_HAS_ENDED[target].search(said):
        return "end"
    if _DBT_STARTS in said:
        return "dbt"
    if "Markets and events" in said:
        return "markets and events"
    return "landing" if has_begun else "start"


def runs(home: Home) -> int:
    """Runs that have begun, as far as the warehouse knows; -1 while an orphan holds it."""
    try:
        return int(home.query("select count(distinct run_id) from state.runs")[0][0])
    except Exception:
        return -1


@dataclass(frozen=True)
class Spans:
    """Seconds that an undisturbed night takes: all of it, and from its first request to the start of dbt."""

    whole: float
    landing: float


@dataclass
class Chain:
    """One home on its way through the nights."""

    home: Home
    here: World
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    lone: int = 0
    said: list[str] = field(default_factory=list)

    def night(self, arguments: tuple[object, ...], spans: Spans, box: Box) -> None:
        """Kills a night many times, while there is time; then lets it through."""
        early, late = self.chance.randint(*EARLY), self.chance.randint(*LATE)
        for number in range(early + late):
            if box.is_over:
                break
            known = runs(self.home)
            command = self.started_until_its_end_comes(arguments, spans, is_early=number < early)
            if command.process.poll() is not None:
                assert command.process.returncode in (0, 3), command.text
                continue
            is_lone = self.chance.random() < 0.2
            command.kill(is_lone)
            said = command.text
            self.kills[phase(self.home.target, said, known >= 0 and runs(self.home) > known)] += 1
            self.lone += is_lone
            self.said.append(said)
            assert "Traceback" not in said, said
        self.said.append(let_through(self.home, arguments).text)

    def started_until_its_end_comes(self, arguments: tuple[object, ...], spans: Spans, is_early: bool) -> Command:
        """Starts a command and waits for the instant at which it is to die; it may have ended by then."""
        left = self.chance.uniform(0, spans.landing / 8 if is_early else spans.whole)
        requests = self.here.requests()
        command = begin(self.home, *arguments)
        while is_early and command.process.poll() is None:
            # A night of which everything is covered asks nobody: then it dies when dbt starts.
            if self.here.requests() > requests or _DBT_STARTS in command.text:
                break
            time.sleep(0.01)
        dies_at = time.monotonic() + left
        while command.process.poll() is None and time.monotonic() < dies_at:
            time.sleep(0.005)
        return command


def undisturbed(home: Home, here: World) -> list[tuple[Contents, Spans]]:
    """What stands after each night, and how long it takes."""
    here.settings(home)
    found = []
    for arguments in nights(here.wallets):
        requests, asked, has_landed = here.requests(), 0.0, 0.0
        command = begin(home, *arguments)
        while command.process.poll() is None:
            if not asked and here.requests() > requests:
                asked = command.seconds
            if not has_landed and _DBT_STARTS in command.text:
                has_landed = command.seconds
            time.sleep(0.01)
        assert command.process.returncode == 0, command.text
        spans = Spans(command.seconds, has_landed - asked)
        found.append((contents(home), spans))
        print(f"{home.target}: a night of {spans.whole:.1f} s, its landing of {spans.landing:.1f} s", flush=True)
    keys = home.query("select wallet_address, tx_hash, order_hash from main.trades")
    assert sorted((*key,) for key in keys) == here.keys, "the reference itself is not whole"
    return found


def test_chains_of_kills_end_as_if_nothing_had_been(
    target: str, tmp_path: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    box, first = Box(SHARE[target], of_the_rest=True), seed()
    here = world(start, tmp_path, first, "--latency-ms", 60)
    (tmp_path / "reference").mkdir()
    reference = undisturbed(home_on(target, tmp_path / "reference", request), here)
    number = 0
    while number == 0 or not box.is_over:
        chance = random.Random(f"{first}:{number}")
        folder = tmp_path / f"chain-{number}"
        folder.mkdir()
        chain = Chain(home_on(target, folder, request), here, chance)
        here.settings(chain.home)
        for arguments, (expected, spans) in zip(nights(here.wallets), reference, strict=True):
            chain.night(arguments, spans, box)
            differing = differences(contents(chain.home), expected)
            assert not differing, f"CHAOS_SEED={first}, chain {number}: {differing}\n{'-'.join(chain.said)}"
            chain.said.clear()
            end_all()
        add_up(target, first, chain)
        shutil.rmtree(folder)
        number += 1


def add_up(target: str, first: int, chain: Chain) -> None:
    """Adds a chain that passed to what all invocations have shown."""
    counted = tally("kills")
    before = counted.get(target, {})
    counted[target] = {
        "kills": before.get("kills", 0) + chain.kills.total(),
        "of_the_runner_alone": before.get("of_the_runner_alone", 0) + chain.lone,
        "chains": before.get("chains", 0) + 1,
        "by_phase": {name: before.get("by_phase", {}).get(name, 0) + chain.kills[name] for name in PHASES},
        "seeds": sorted({*before.get("seeds", []), first}),
    }
    record("kills", counted)
    every = counted[target]
    shares = ", ".join(f"{name} {count / every['kills']:.0%}" for name, count in every["by_phase"].items())
    print(f"{target}: {chain.kills.total()} kills, {every['kills']:,} in all ({shares})", flush=True)
