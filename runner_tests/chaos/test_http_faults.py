"""Promise: whatever an upstream answers, what is said to be covered has landed, or it is told that it has not.

Each kind of fault that the simulator knows strikes every first, middle or last page of a walk, then only the first such
page; the run after it meets a healthy upstream. `make test` does a few, `make chaos` all.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from runner.windows import Window
from runner_tests.chaos.counters import Counter
from runner_tests.chaos.tally import Box, record
from runner_tests.chaos.upstream import Lander, Outcome, Records, read_records
from runner_tests.support import ROOT, UNTIL, Home, Running, launch, stop

PLACES = ("first", "middle", "last")
END = datetime.fromisoformat(UNTIL)
WORLD = ("--seed", 5, "--wallets", 3, "--fills", 120, "--malformed", 0.05, "--until", UNTIL)
# Tests of the pace show that no wait is longer than a minute; here nobody waits for it.
TOO_LONG = ("retry-after:429:31536000", "retry-date:503:31536000")
BEYOND_THE_LIMIT = ("big-body:80", "gzip-bomb:80")
A_FEW = (
    ("status:503", "middle"),
    ("tcp-reset", "last"),
    ("truncated", "middle"),
    ("early-end", "middle"),
    ("lost-record", "last"),
    ("unsorted", "first"),
    ("drift:retype:timestamp", "middle"),
    ("shift:skip", "middle"),
)


@dataclass(frozen=True)
class Healthy:
    """An upstream without faults, and all that it has."""

    running: Running
    records: Records
    wallets: Path


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    folder = tmp_path_factory.mktemp("world")
    sound, damaged, wallets = (folder / name for name in ("fills.ndjson", "damaged.ndjson", "wallets.csv"))
    files = ("--write-fills", sound, "--write-malformed", damaged, "--write-wallets", wallets)
    running = launch(*WORLD, *files)
    records = read_records(sound, damaged)
    sizes = [sum(record["user"] == wallet for record in records.sound) for wallet in wallets.read_text().split()[1:]]
    assert min(sizes) > 20, "a walk needs a first, a middle and a last page"
    yield Healthy(running, records, wallets)
    stop(running)


def strike(home: Home, healthy: Healthy, kind: str, place: str, number: str = "") -> Outcome:
    """One run behind the fault, then one behind a healthy upstream; gives how the first one ended."""
    # Only one of the dialects is walked by offset.
    order_api, path = ("predexon-v1", "trades") if kind.startswith("shift") else ("dome", "orders")
    lander = Lander(home, healthy.wallets)
    broken = launch(*WORLD, "--fault", f"{kind}@{path}%{place}{number}")
    try:
        outcome = lander.run(broken.ready["url"], END, order_api=order_api)
    finally:
        stop(broken)
    missing = lander.missing(healthy.records, order_api)
    spoiled = set(lander.rejected()) - {raw.decode() for raw in healthy.records.damaged}
    is_told = outcome.fetched.differing > 0 or len(spoiled) >= len(missing)
    assert not missing or is_told, f"{len(missing)} fills are said to be covered, have not landed, and nobody is told"

    # What was left out may also be a damaged record, which nobody misses.
    again = bool(missing) or outcome.fetched.differing > 0
    after = lander.run(healthy.running.ready["url"], END, again=again, order_api=order_api)
    assert not after.error and not after.fetched.failures
    if again:  # asking again moves no checkpoint; wallets that failed get theirs from the next night
        lander.run(healthy.running.ready["url"], END, order_api=order_api)
    assert lander.landed() == healthy.records.keys()
    # A page whose records drift has damaged ones in another form, and Predexon has its own; each is kept all the same.
    assert len(lander.rejected()) >= len(healthy.records.damaged)
    wallets = healthy.wallets.read_text().split()[1:]
    assert lander.claimed(order_api) == {wallet: [Window(None, END)] for wallet in wallets}
    assert lander.checkpoints(order_api) == dict.fromkeys(wallets, END)
    return outcome


@pytest.mark.parametrize(("kind", "place"), A_FEW)
def test_what_is_covered_has_landed_or_it_is_told(alone: Home, healthy: Healthy, kind: str, place: str) -> None:
    strike(alone, healthy, kind, place)


def kinds() -> list[str]:
    """An example of everything that the simulator can do wrong."""
    command = [sys.executable, "-m", "simulator", "--list-faults", "--json"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert len({kind["kind"] for kind in listed}) >= 25
    return [example for kind in listed for example in kind["examples"] if example not in TOO_LONG]


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_every_kind_of_fault_at_the_first_a_middle_and_the_last_page(
    alone: Home, healthy: Healthy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, counter = Box(0.15), Counter("http_faults")
    cases = [
        (kind, place, number) for number in ("", "#1") for kind in (*kinds(), *BEYOND_THE_LIMIT) for place in PLACES
    ]
    random.Random(1).shuffle(cases)  # so that an invocation that is cut off has done something of everything
    done = counter.done()
    failures: dict[str, str] = {}
    for kind, place, number in cases:
        case = f"{kind}%{place}{number}"
        if case in done or box.is_over:
            continue
        folder = tmp_path / str(cases.index((kind, place, number)))
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            strike(Home(folder), healthy, kind, place, number)
        except AssertionError as error:
            failures[case] = str(error)
            continue
        counter.passed(case)
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder)
        record("http_faults", summary(counter.done(), len(cases)))
    print(f"\nHTTP faults: {len(counter.done())} of {len(cases)} cases")
    assert not failures


def summary(done: set[str], every: int) -> dict[str, object]:
    """What has passed so far, kinds counted without their arguments."""
    names: Callable[[str], str] = lambda case: case.partition("%")[0].partition(":")[0]  # noqa: E731
    return {
        "cases_passed": len(done),
        "cases": every,
        "kinds": len({names(case) for case in done}),
        "by_page": {place: len({names(case) for case in done if f"%{place}" in case}) for place in PLACES},
    }
