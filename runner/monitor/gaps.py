"""What we do not have and know of: holes in the coverage ledger, and signs that something is missing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from runner.landing.covered import covered_windows, source_of
from runner.settings import Settings
from runner.sources.orders import API_SOURCES
from runner.warehouse.protocol import Difference, Warehouse
from runner.windows import Window, holes


@dataclass(frozen=True)
class Hole:
    """A window of a followed wallet that nobody has fetched. `is_history`: all before what has been fetched."""

    wallet: str
    window: Window
    is_history: bool


@dataclass
class Gaps:
    """What `polytrades gaps` tells.

    `never_fetched`: followed wallets of which nothing is covered. `without_checkpoint`: those whose first fetch has not
    come to its end. `quiet`: wallet → (checkpoint, newest fill), where they are far apart.
    """

    wallets: int = 0
    holes: list[Hole] = field(default_factory=list)
    never_fetched: list[str] = field(default_factory=list)
    without_checkpoint: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    quiet: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """True if the windows of every followed wallet tile without holes."""
        return not self.holes and not self.never_fetched

    def as_json(self) -> dict[str, Any]:
        """For `--json`, without command and exit code."""
        return {
            "wallets": self.wallets,
            "holes": [
                {
                    "wallet": hole.wallet,
                    "start": hole.window.start.isoformat() if hole.window.start else None,
                    "end": hole.window.end.isoformat(),
                    "is_history": hole.is_history,
                }
                for hole in self.holes
            ],
            "never_fetched": self.never_fetched,
            "without_checkpoint": self.without_checkpoint,
            "differences": [
                {
                    "source": row.source,
                    "wallet": row.wallet_address,
                    "start": row.window_start.isoformat() if row.window_start else None,
                    "end": row.window_end.isoformat(),
                    "declared": row.declared,
                    "received": row.received,
                }
                for row in self.differences
            ],
            "quiet": {
                wallet: {"checkpoint": checkpoint.isoformat(), "newest_fill": newest.isoformat() if newest else None}
                for wallet, (checkpoint, newest) in self.quiet.items()
            },
        }


def find_gaps(settings: Settings, warehouse: Warehouse, quiet_days: float) -> Gaps:
    """Compares what is followed with what is covered. Reads state tables and `traders`, nothing of `trades`."""
    followed = sorted(wallet.wallet_address for wallet in warehouse.followed_wallets())
    coverage = covered_windows(settings, warehouse)
    checkpoints = warehouse.checkpoints(source_of(settings))
    newest = warehouse.newest_fills()
    found = Gaps(wallets=len(followed), differences=warehouse.differences(API_SOURCES))
    for wallet in followed:
        covered = coverage.get(wallet, [])
        if not covered:
            found.never_fetched.append(wallet)
            continue
        reached = max(covered[-1].end, checkpoints.get(wallet, covered[-1].end))
        found.holes += [
            Hole(wallet, hole, is_history=hole.end <= covered[0].begins)
            for hole in holes(Window(None, reached), covered)
        ]
        checkpoint = checkpoints.get(wallet)
        if checkpoint is None:
            found.without_checkpoint.append(wallet)
        elif (last := newest.get(wallet)) is None or checkpoint - last > timedelta(days=quiet_days):
            found.quiet[wallet] = (checkpoint, last)
    return found
