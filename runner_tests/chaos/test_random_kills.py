"""Promise: kill -9 at any instant, again and again; in the end all is as if nothing had been.

A chain is a world's nights in one home, each killed several times before it is let through, and compared with the
same night of an undisturbed home. Half of the kills fall anywhere in a run, half into its first part, before dbt. One
in five hits the runner alone, so that its dbt lives on. `make chaos` runs as many chains as its time allows.
"""

from __future__ import annotations

import random
import re
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
    let_through,
    nights,
    world,
)
from runner_tests.support import Home, home_on

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]
SHARE = {"duckdb": 0.6, "emulator": 1.0}
"""Of the time that is left when this begins; the emulator comes second."""
PHASES = ("start", "landing", "markets and events", "dbt", "end")
# On BigQuery the check of all keys is a part of its own, and the last one.
_DBT_HAS_ENDED = {
    "duckdb": re.compile(r"dbt build: (\d+)/\1 "),
    "emulator": re.compile(r"Whole-table check: (\d+)/\1 "),
}


def phase(target: str, said: str, has_begun: bool) -> str:
    """Where a run was when it died, by what it had said and whether it stands in state.runs."""
    if _DBT_HAS_ENDED[target].search(said):
        return "end"
    if "Markets and events: " in said:
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


@dataclass
class Chain:
    """One home on its way through the nights."""

    home: Home
    chance: random.Random
    whole: float
    """Seconds that an undisturbed night takes."""
    before_dbt: float
    kills: Counter[str] = field(default_factory=Counter)
    lone: int = 0
    started: list[Command] = field(default_factory=list)

    def night(self, arguments: tuple[object, ...], kills: int, box: Box) -> None:
        """Kills a night so many times, while there is time; then lets it through."""
        for _ in range(kills):
            if box.is_over:
                break
            known = runs(self.home)
            command = begin(self.home, *arguments)
            self.started.append(command)
            is_early, is_lone = self.chance.random() < 0.5, self.chance.random() < 0.2
            dies_at = self.chance.uniform(0, self.before_dbt if is_early else self.whole)
            while command.process.poll() is None and command.seconds < dies_at:
                time.sleep(0.005)
            if command.process.poll() is not None:
                assert command.process.returncode in (0, 3), command.text
                continue
            command.kill(is_lone)
            said = command.text
            self.kills[phase(self.home.target, said, known >= 0 and runs(self.home) > known)] += 1
            self.lone += is_lone
            assert "Traceback" not in said, said
        self.started.append(let_through(self.home, arguments))

    def end(self) -> None:
        """Leaves no process behind."""
        for command in self.started:
            command.kill_orphans()


def undisturbed(home: Home, here: World) -> tuple[list[Contents], float, float]:
    """What stands after each night; the longest time of one, and of what is before dbt."""
    here.settings(home)
    stands, whole, before_dbt = [], 0.0, 0.0
    for arguments in nights(here.wallets):
        command = begin(home, *arguments)
        reached = 0.0
        while command.process.poll() is None:
            if not reached and "Markets and events: " in command.text:
                reached = command.seconds
            time.sleep(0.01)
        assert command.process.returncode == 0, command.text
        stands.append(contents(home))
        whole, before_dbt = max(whole, command.seconds), max(before_dbt, reached)
    assert [row[2:] for row in stands[-1]["lease"]] == [()]
    keys = home.query("select wallet_address, tx_hash, order_hash from main.trades")
    assert sorted((*key,) for key in keys) == here.keys, "the reference itself is not whole"
    return stands, whole, before_dbt


def test_chains_of_kills_end_as_if_nothing_had_been(
    target: str, tmp_path: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    box, first = Box(SHARE[target], of_the_rest=True), seed()
    here = world(start, tmp_path, first, "--latency-ms", 40)
    (tmp_path / "reference").mkdir()
    stands, whole, before_dbt = undisturbed(home_on(target, tmp_path / "reference", request), here)
    print(f"{target}: an undisturbed night takes up to {whole:.1f} s, {before_dbt:.1f} s of it before dbt")
    number = 0
    while number == 0 or not box.is_over:
        chance = random.Random(f"{first}:{number}")
        folder = tmp_path / f"chain-{number}"
        folder.mkdir()
        chain = Chain(home_on(target, folder, request), chance, whole, before_dbt)
        here.settings(chain.home)
        try:
            for arguments, expected in zip(nights(here.wallets), stands, strict=True):
                chain.night(arguments, chance.randint(4, 20), box)
                assert not differences(contents(chain.home), expected), f"CHAOS_SEED={first}, chain {number}"
        finally:
            chain.end()
        add_up(target, first, chain)
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
