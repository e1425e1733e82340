"""What the runner needs of a warehouse, and the values that pass between them. All instants are UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Batch:
    """A Parquet file for one landing table. The same records give the same `batch_id`."""

    batch_id: str
    landing_table: str
    source: str
    row_count: int
    file: Path
    landed_at: datetime


@dataclass(frozen=True)
class Checkpoint:
    """`wallet_address` has been fetched completely from `source` up to `fetched_until` (exclusive)."""

    source: str
    wallet_address: str
    fetched_until: datetime


@dataclass(frozen=True)
class Rejection:
    """A record that broke a rule. `origin` is the queried wallet, or file and position."""

    record_hash: str
    reason: str
    detail: str
    record: str
    origin: str
    source: str


@dataclass(frozen=True)
class FollowedWallet:
    """A wallet on the list; `origin` says which list (`seed` or `file`)."""

    wallet_address: str
    origin: str


@dataclass(frozen=True)
class Run:
    """A row of state.runs. `finished_at` None: it is running."""

    run_id: str
    command: str
    started_at: datetime
    finished_at: datetime | None = None
    exit_code: int | None = None
    wallets: int = 0
    wallets_failed: int = 0
    records_received: int = 0
    records_landed: int = 0
    records_rejected: int = 0
    fills_new: int | None = None
    message: str | None = None


@dataclass
class Totals:
    """What `status` shows. None: the table does not exist yet.

    `lost_marts` do not exist although the ledger says that something was merged into them; `last_runs` are the newest
    50, newest first.
    """

    fills: int | None = None
    latest_fill_at: datetime | None = None
    wallets_followed: int = 0
    wallets_with_fills: int | None = None
    markets: int | None = None
    events: int | None = None
    duplicate_keys: int | None = None
    collisions: int | None = None
    pending_batches: int = 0
    pending_rows: int = 0
    rejected_records: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    lost_marts: list[str] = field(default_factory=list)
    last_runs: list[Run] = field(default_factory=list)


class Warehouse(Protocol):
    """Every method opens what it needs and leaves nothing open, so that dbt and readers get their turn.

    Each may raise HeldBack (another process holds the warehouse) or Failed (it cannot be used; the message says why).
    """

    name: str

    def prepare(self) -> None:
        """Makes sure that the landing and state tables exist, with every column of today."""

    def followed_wallets(self) -> list[FollowedWallet]:
        """The wallets that are followed now."""

    def change_followed_wallets(self, add: Iterable[FollowedWallet], remove: Iterable[str], at: datetime) -> None:
        """Follows and unfollows, in one transaction."""

    def checkpoints(self, source: str) -> dict[str, datetime]:
        """Wallet address → end of its completely fetched window."""

    def land(
        self,
        batch: Batch | None,
        rejections: Sequence[Rejection],
        checkpoints: Sequence[Checkpoint],
        run_id: str,
        at: datetime,
    ) -> bool:
        """Rows, manifest, rejections and checkpoints, all or nothing. False if the batch had landed before."""

    def conditions_to_fetch(self, seen: Iterable[str]) -> list[str]:
        """Condition ids of landed fills whose market nobody has fetched, and those in `seen` that are not closed."""

    def events_to_fetch(self) -> list[str]:
        """Event slugs of known markets without a landed event or one in `events`."""

    def record_run(self, run: Run, at: datetime) -> None:
        """Appends a row to the run history."""

    def new_fills(self) -> int:
        """How many keys of the batch that was just merged `trades` did not have before."""

    def totals(self) -> Totals:
        """Reads what `status` shows."""
