"""A small Polymarket whose every fill is known, the nights spent on it, and what must stand in the warehouse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.windows import Window, union
from runner_tests.support import BIN, UNTIL, Home, Running

Contents = dict[str, list[Any]]
Start = Callable[..., Running]

_FOUND = {
    "trades": "select * from main.trades",
    "trade_collisions": "select * from main.trade_collisions",
    "traders": "select * from main.traders",
    # `as_of` and `row_version` say when an answer came; the rest of an answer is in the hash.
    "markets": "select condition_id, status, winning_id, source, content_hash from main.markets",
    "events": "select event_slug, status, source, content_hash from main.events",
    "rejected": "select record_hash, reason, detail, record, source from landing.rejected_records",
    "unmerged": (
        "select batch_id from landing.batches where batch_id not in (select batch_id from state.merged_batches)"
    ),
    "lease": "select run_id, holder from state.lease",
}
_CHECKPOINTS = """select wallet_address, fetched_until from state.checkpoints
    qualify row_number() over (partition by wallet_address order by recorded_at desc, fetched_until desc) = 1"""
_COVERAGE = "select wallet_address, status, window_start, window_end from state.coverage where status <> 'failed'"


@dataclass(frozen=True)
class World:
    """A simulator of one seed, its wallets, and every record that counts."""

    running: Running
    wallets: Path
    records: list[dict[str, Any]]

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """The key of every fill, sorted."""
        return sorted((record["user"], record["tx_hash"], record["order_hash"]) for record in self.records)

    def requests(self) -> int:
        """Requests for fills so far."""
        asked = self.running.get("/stats").json["requests"]
        return sum(sum(counts.values()) for path, counts in asked.items() if "orders" in path)

    def settings(self, home: Home) -> None:
        """Points a home here: pages and batches so small that landing has many of each, and takes a while."""
        home.uses(self.running)
        home.variables |= {
            "POLYTRADES_PAGE_SIZE": "5",
            "POLYTRADES_BATCH_ROWS": "20",
            "POLYTRADES_REQUESTS_IN_FLIGHT": "2",
            "POLYTRADES_MAX_REJECTED_SHARE": "1",
            "POLYTRADES_BIGQUERY_PATIENCE_SECONDS": "20",
            "POLYTRADES_RETRY_PAUSE_SECONDS": "0.1",
            # Of six wallets there may be nights without a fill.
            "POLYTRADES_SILENT_WALLET_DAYS": "0",
        }


def world(
    start: Start, folder: Path, seed: int, *options: object, days: int = 90, fills: int = 400, malformed: float = 0.03
) -> World:
    """Starts a simulator. Equal seeds give equal worlds, whenever they are asked."""
    fills_file, wallets = folder / f"fills-{seed}.ndjson", folder / f"wallets-{seed}.csv"
    files = ("--write-fills", fills_file, "--write-wallets", wallets)
    size = ("--seed", seed, "--wallets", 6, "--fills", fills, "--days", days, "--until", UNTIL)
    running = start(*size, "--malformed", malformed, *files, *options)
    return World(running, wallets, [json.loads(line) for line in fills_file.open()])


def nights(wallets: Path) -> list[tuple[object, ...]]:
    """Commands that together fetch a world of 90 days: two nights, the past, and one night more."""
    return [
        ("sync", "--wallets", wallets, "--since", "2026-01-01", "--until", "2026-01-15"),
        ("sync", "--until", "2026-01-24"),
        ("backfill", "--from", "2025-10-01", "--to", "2026-01-01", "--slice-days", "31"),
        ("sync", "--until", UNTIL),
    ]


def contents(home: Home) -> Contents:
    """What readers see, and what the next run goes by; everything in it is the same whenever it was fetched."""
    found: Contents = {name: sorted(home.query(sql), key=repr) for name, sql in _FOUND.items()}
    found["checkpoints"] = sorted(home.query(_CHECKPOINTS))
    covered: dict[tuple[str, bool], list[Window]] = {}
    for wallet, status, begins, ends in home.query(_COVERAGE):
        covered.setdefault((wallet, status == "skipped"), []).append(Window(begins, ends))
    found["coverage"] = sorted(
        (wallet, is_skipped, [(part.start, part.end) for part in union(windows)])
        for (wallet, is_skipped), windows in covered.items()
    )
    return found


def differences(found: Contents, expected: Contents) -> dict[str, tuple[list[Any], list[Any]]]:
    """By table: rows too many and rows missing (at most five of each); empty if both are the same."""
    differing = {}
    for name, rows in expected.items():
        if found[name] != rows:
            more, fewer = list(found[name]), list(rows)
            for row in rows:
                if row in more:
                    more.remove(row)
                    fewer.remove(row)
            differing[name] = (more[:5], fewer[:5])
    return differing


@dataclass
class Command:
    """A started command, in a process group of its own, and what it says."""

    process: subprocess.Popen[bytes]
    said: Path
    began: float = field(default_factory=time.monotonic)
    may_have_orphans: bool = False

    @property
    def text(self) -> str:
        """Everything said so far."""
        return self.said.read_text(errors="replace")

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.began

    def kill(self, only_the_runner: bool = False) -> None:
        """SIGKILL to the runner, and to all that it has started unless a lone death is wanted."""
        with suppress(ProcessLookupError):
            if only_the_runner:
                self.may_have_orphans = True
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Leaves nothing of it behind: neither itself nor what a lone death has left."""
        if self.may_have_orphans or self.process.poll() is None:
            self.kill()
            self.may_have_orphans = False


_begun: list[Command] = []
"""Commands of the test that runs now."""


def end_all() -> None:
    """After a test, however it ended."""
    while _begun:
        _begun.pop().end()


def begin(home: Home, *arguments: object, fault: str = "") -> Command:
    """Starts a command, with a failpoint armed if one is named."""
    said = home.folder / "said.txt"
    variables = home.sped_environment | ({"POLYTRADES_FAULT": fault} if fault else {})
    with said.open("wb") as output:
        process = subprocess.Popen(
            [str(BIN / "polytrades"), *map(str, arguments)],
            cwd=home.folder,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _begun.append(Command(process, said))
    return _begun[-1]


def let_through(home: Home, arguments: Sequence[object]) -> Command:
    """Runs a command until it is done. It may be held back by what a death has left, and by nothing else."""
    for _ in range(20):
        command = begin(home, *arguments)
        code = command.process.wait()
        if code == 0:
            return command
        assert code == 3, f"{' '.join(map(str, arguments))} ended with {code}:\n{command.text}"
    raise AssertionError(f"it is held back for ever:\n{command.text}")


def instant(text: str) -> datetime:
    """An ISO instant."""
    return datetime.fromisoformat(text)
