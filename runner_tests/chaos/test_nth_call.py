"""Each call to BigQuery fails once, for every n; then the run is made again, and all is as if nothing had been.

`make chaos` runs this; it is not part of `make test`. Cases that passed are noted in .chaos/, so it can be stopped.
The runner's own calls fail in every way at every n: each in one way first, then each in the next. Of dbt's calls a
sample fails, chosen by CHAOS_SEED (default 1); CHAOS_DBT_CASES says how many (default 12).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import PolytradesError
from runner.settings import Settings, load
from runner.warehouse.connect import connect
from runner_tests.chaos.counters import Counter
from runner_tests.chaos.tally import Box, record, tally
from runner_tests.night import Night
from runner_tests.support import BIN, order

if TYPE_CHECKING:
    from runner_tests.bigquery.proxy import Proxy
    from runner_tests.bigquery.running import Emulator

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]
KINDS = ("503", "429", "500", "drop_before", "drop_after", "backendError", "job_error", "quotaExceeded", "slow")
JOBS_ONLY = ("backendError", "job_error", "slow")
"""Kinds of which the n-th is counted among the calls that create a job."""
OUTAGE = "outage"
"""Of the runner's calls every one from the n-th on fails too, for longer than it is patient."""
MARTS = ("trades", "trade_collisions", "traders")


@pytest.fixture
def settings(proxy: Proxy, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A prepared project behind the proxy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGQUERY_EMULATOR_URL", proxy.url)
    monkeypatch.setenv("POLYTRADES_BIGQUERY_PROJECT", emulator.new_project())
    made = load(target="emulator", bigquery_patience_seconds=20)
    connect(made).prepare()
    return made


def requests_of_a_night(proxy: Proxy, settings: Settings, spool: Path) -> tuple[int, int]:
    """How many requests an undisturbed night makes, and how many of them create a job."""
    requests, jobs = len(proxy.requests), len(proxy.jobs)
    Night(1).run(settings, spool, "undisturbed")
    assert Night(1).what_stands(connect(settings)) == Night(1).expected
    return len(proxy.requests) - requests, len(proxy.jobs) - jobs


def test_each_of_the_runners_calls_fails_once(proxy: Proxy, settings: Settings, tmp_path: Path) -> None:
    box, counter = Box(0.1), Counter("runner_calls")
    every, creating = requests_of_a_night(proxy, settings, tmp_path / "spool")
    ways = (*(kind for kind in KINDS if kind not in JOBS_ONLY), OUTAGE)
    # Each call in one way first, then each in the next: the ways take turns.
    cases = [(ways[(n + turn) % len(ways)], n) for turn in range(len(ways)) for n in range(1, every + 1)]
    cases += [(kind, n) for kind in JOBS_ONLY for n in range(1, creating + 1)]
    done = counter.done()
    said: dict[str, int] = {}
    for number, (kind, n) in enumerate(cases, start=2):
        case = f"{kind} at {n}"
        if case in done or box.is_over:
            continue
        night = Night(number)
        is_outage = kind == OUTAGE
        fault = proxy.fault("503" if is_outage else kind, nth=n, times=None if is_outage else 1, seconds=0.5)
        patience = settings.model_copy(update={"bigquery_patience_seconds": 2 if is_outage else 20})
        try:
            night.run(patience, tmp_path / "spool", f"first-{number}")
        except PolytradesError as error:
            # What does not pass by itself ends the run with a sentence; anything else fails this test.
            said[type(error).__name__] = said.get(type(error).__name__, 0) + 1
            assert str(error).endswith((".", "…")), (case, str(error))
        hits = fault.hits
        proxy.clear_faults()
        if is_outage:
            # It could not give its lease back. A next run sees that the process is dead; here it is this very one.
            connect(settings).free_lease(f"first-{number}")
        night.run(settings, tmp_path / "spool", f"second-{number}")
        assert night.what_stands(connect(settings)) == night.expected, (case, hits)
        counter.passed(case)
    passed = counter.done()
    struck = {n for kind, n in cases if kind in ways and f"{kind} at {n}" in passed}
    counted = {"calls_struck": len(struck), "calls": every, "cases_passed": len(passed), "cases": len(cases)}
    record("calls_to_bigquery", tally("calls_to_bigquery") | {"runner": counted})
    print(f"\n{counted}; ended early: {said}")


def records() -> list[dict[str, Any]]:
    """Fills with a repeat, a collision and a stand-in."""
    made = [order(tx_hash=f"0x{number:064x}") for number in range(5)]
    return [*made, made[0], order(shares=3_000_000, shares_normalized=3), order(tx_hash=f"0x{9:064x}", order_hash=None)]


def run_import(proxy: Proxy, project: str, folder: Path, file: Path) -> int:
    """The command as a user runs it; gives its exit code."""
    environment = os.environ | {
        "HOME": str(folder),
        "BIGQUERY_EMULATOR_URL": proxy.url,
        "POLYTRADES_BIGQUERY_PROJECT": project,
        "POLYTRADES_BIGQUERY_PATIENCE_SECONDS": "20",
        "POLYTRADES_RETRY_PAUSE_SECONDS": "0.1",
        "DBT_TARGET_PATH": str(folder / "target"),
    }
    command = [str(BIN / "polytrades"), "import", str(file), "--target", "emulator", "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def contents(proxy: Proxy, project: str) -> dict[str, list[dict[str, Any]]]:
    """The marts, row by row."""
    client = proxy.client(project)
    return {
        mart: sorted(
            (dict(row) for row in client.query(f"select * from polytrades.{mart}").result()),
            key=lambda row: json.dumps(row, default=str, sort_keys=True),
        )
        for mart in MARTS
    }


@pytest.fixture
def sample() -> Iterator[random.Random]:
    """Choices that CHAOS_SEED repeats."""
    yield random.Random(int(os.environ.get("CHAOS_SEED", "1")))


def test_some_of_dbts_calls_fail_once(proxy: Proxy, emulator: Emulator, tmp_path: Path, sample: random.Random) -> None:
    box, counter = Box(0.05), Counter(f"dbt_calls_{os.environ.get('CHAOS_SEED', '1')}")
    file = tmp_path / "records.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in records()))
    project = emulator.new_project()
    before = len(proxy.requests)
    assert run_import(proxy, project, tmp_path, file) in (0, 4)  # 4: a collision raises the alarm, as it should
    every = len(proxy.requests) - before
    reference = contents(proxy, project)
    assert reference["trades"]
    done = counter.done()
    for _ in range(int(os.environ.get("CHAOS_DBT_CASES", "12"))):
        kind, n = sample.choice(KINDS), sample.randint(1, every)
        case = f"{kind} at {n} of {every}"
        if case in done or box.is_over:
            continue
        project = emulator.new_project()
        proxy.fault(kind, nth=n, seconds=0.5)
        first = run_import(proxy, project, tmp_path, file)
        proxy.clear_faults()
        assert run_import(proxy, project, tmp_path, file) in (0, 4), (case, first)
        assert contents(proxy, project) == reference, (case, first)
        counter.passed(case)
