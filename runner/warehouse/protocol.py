"""What the runner needs of a warehouse, and the values that pass between them. All instants are UTC."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

from runner.warehouse.adoption import Adoption
from runner.warehouse.migrating import Migrating
from runner.warehouse.monitored import History, IncidentEvent, Monitored, NodeResult
from runner.warehouse.public_logs import PublicLogs
from runner.windows import Window


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
class Covered:
    """One attempt at a wallet's window, for the coverage ledger.

    `status`: `complete` (answered to its end), `failed` (not), or `skipped` (nobody wants it). `window_start` None:
    since ever. `declared`: records that the upstream said there are, if it did; `received` came. With
    `moves_checkpoint` the wallet's checkpoint becomes `window_end`, or `checkpoint` where what follows the window is
    covered already. Of the chain also: which blocks were read, and of
    which contracts (addresses, sorted, with commas).
    """

    source: str
    wallet_address: str
    window_start: datetime | None
    window_end: datetime
    status: str
    received: int
    declared: int | None = None
    moves_checkpoint: bool = False
    contracts: str | None = None
    first_block: int | None = None
    last_block: int | None = None
    checkpoint: datetime | None = None


@dataclass(frozen=True)
class CheckpointMove:
    """A row of state.checkpoints."""

    source: str
    wallet_address: str
    fetched_until: datetime
    run_id: str
    recorded_at: datetime


Variant = tuple[str, str, str, str, str, int, int, int]
"""What tells a fill of the chain from every other one: key, token, side, shares_raw, usdc_raw, log_index."""


@dataclass(frozen=True)
class KnownBlock:
    """A block as it was when the logs up to it were read."""

    block_number: int
    block_hash: str
    block_time: datetime


@dataclass(frozen=True)
class ChainFill:
    """A fill as its log told it. The fields are those of landing.trades."""

    wallet_address: str
    tx_hash: str
    order_hash: str
    traded_at: datetime
    side: str
    token_id: str
    price: float
    shares_normalized: float
    shares_raw: int
    usdc_raw: int
    taker: str | None
    log_index: int
    block_number: int
    contract_address: str | None
    upstream_version: int

    @property
    def variant(self) -> Variant:
        """What tells it from every other fill."""
        return (
            self.wallet_address,
            self.tx_hash,
            self.order_hash,
            self.token_id,
            self.side,
            self.shares_raw,
            self.usdc_raw,
            self.log_index,
        )


@dataclass(frozen=True)
class Reconciliation:
    """What was compared with what `source` tells: `trades` or an order API's source; of whom, and when."""

    run_id: str
    source: str
    compared: str
    wallets: list[str]
    window_start: datetime
    window_end: datetime


@dataclass(frozen=True)
class SourceDifference:
    """Keys of a wallet's day that a source tells otherwise: `missing`, `extra`, `different`. `example`: one of them."""

    wallet_address: str
    filled_on: date
    difference: str
    keys: int
    example: str


@dataclass(frozen=True)
class Difference:
    """A window whose newest complete answer held another number of records than the upstream said."""

    source: str
    wallet_address: str
    window_start: datetime | None
    window_end: datetime
    declared: int
    received: int

    @property
    def is_short(self) -> bool:
        """True if fewer came."""
        return self.received < self.declared


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
class RejectedRecord(Rejection):
    """A record in quarantine that has not been replayed."""

    run_id: str
    landed_at: datetime


@dataclass(frozen=True)
class Wanted:
    """A market (by condition id, or by a token of it) or an event (by slug) to ask for. `asked_at` None: never yet."""

    name: str
    is_new: bool
    asked_at: datetime | None


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
    fetch_seconds: float | None = None
    metadata_seconds: float | None = None
    build_seconds: float | None = None
    bytes_billed: int | None = None
    bytes_budget: int | None = None
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


@dataclass(frozen=True)
class Holder:
    """Who has the lease. `run_id` None: nobody. `host` and `pid` are None for a build by hand."""

    token: int
    run_id: str | None
    holder: str | None
    host: str | None
    pid: int | None
    pid_started: int | None
    acquired_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class JobCost:
    """Bytes of a group of jobs: on a UTC day, of a command, sent by a model, a test or a statement of the runner."""

    day: date
    command: str
    kind: str
    name: str
    jobs: int
    bytes_billed: int


class Warehouse(Migrating, Protocol):
    """Every method opens what it needs and leaves nothing open, so that dbt and readers get their turn.

    Each may raise HeldBack (another process holds the warehouse, a limit is reached) or Failed (it cannot be used; the
    message says why).
    """

    name: str
    place: str
    """File or project, for messages."""

    @property
    def public_logs(self) -> PublicLogs | None:
        """The chain's logs in a public table; None where the warehouse cannot read one."""

    def prepare(self) -> None:
        """Makes sure that the landing and state tables exist, with every column of today."""

    def followed_wallets(self) -> list[FollowedWallet]:
        """The wallets that are followed now."""

    def change_followed_wallets(self, add: Iterable[FollowedWallet], remove: Iterable[str], at: datetime) -> None:
        """Follows and unfollows, in one transaction."""

    def checkpoints(self, source: str) -> dict[str, datetime]:
        """Wallet address → end of its completely fetched window."""

    def completed_since(self, source: str, contracts: str | None = None) -> dict[str, list[Window]]:
        """Wallet address → windows that were completed after its checkpoint was set and end behind it.

        What a walk that was cut off has done, newest first; windows that do not touch, oldest first. With `contracts`
        (sorted, with commas) only what was read of just these.
        """

    def land(
        self,
        batch: Batch | None,
        rejections: Sequence[Rejection],
        covered: Sequence[Covered],
        run_id: str,
        at: datetime,
    ) -> bool:
        """Rows, manifest, rejections, coverage, checkpoints, all or nothing. False if the batch had landed before."""

    def coverage(
        self, sources: Sequence[str], with_skipped: bool = True, contracts: Mapping[str, int] | None = None
    ) -> dict[str, list[Window]]:
        """Wallet address → what is covered by any of the sources: windows that do not touch, oldest first.

        Windows before a `--since` count as covered with `with_skipped`; failed attempts never do. With `contracts`
        (address → its first block) only what was read of all of them; an API's windows are, on its word.
        """

    def rpc_limits(self) -> dict[tuple[str, str], int]:
        """What runs have learned of nodes: (host, kind of filter) → blocks that it gives logs of at a time."""

    def note_rpc_limits(self, limits: Mapping[tuple[str, str], int], run_id: str, at: datetime) -> None:
        """Remembers it."""

    def chain_blocks(self) -> list[KnownBlock]:
        """Blocks as the last run that read up to them saw them, the lowest first."""

    def note_chain_blocks(self, blocks: Sequence[KnownBlock], run_id: str, at: datetime) -> None:
        """Remembers them in place of those before."""

    def chain_fills(self, first_block: int, last_block: int, since: datetime, until: datetime) -> list[ChainFill]:
        """Fills that the chain itself has told of, of these blocks and not removed since, landed or merged.

        `since` and `until` bound the times of the blocks.
        """

    def note_reconciliation(self, reconciliation: Reconciliation, at: datetime) -> None:
        """Records what was compared with a source; the newest is what `mon_source_differences` shows."""

    def source_differences(self) -> list[SourceDifference]:
        """What `mon_source_differences` shows, by wallet, day and kind of difference."""

    def differences(self, sources: Sequence[str]) -> list[Difference]:
        """Windows in which another number of records came than was declared, the newest first, at most 1,000."""

    def checkpoint_moves(self, wallet: str | None) -> list[CheckpointMove]:
        """All moves of one wallet's checkpoints, newest first; None: the newest of each, the oldest instant first."""

    def set_checkpoints(self, moves: Sequence[CheckpointMove]) -> None:
        """Moves checkpoints by hand, back too."""

    def rejected_by_reason(self) -> list[tuple[str, int, datetime]]:
        """Reason, number of records and time of the newest, of records not replayed; the most first."""

    def rejected_records(self, reason: str | None, limit: int, after: str = "") -> list[RejectedRecord]:
        """At most `limit` records that have not been replayed, by hash, those after the hash `after`."""

    def mark_replayed(self, record_hashes: Sequence[str], run_id: str, at: datetime) -> None:
        """Records that these have been let in; called after they have landed."""

    def conditions_to_fetch(self, closed_since: datetime) -> list[Wanted]:
        """Markets to ask for: of landed fills and not in `markets`; open there; closed since then, without a winner."""

    def tokens_to_fetch(self) -> list[Wanted]:
        """Tokens of fills whose market nobody has named, and that are of no market in `markets`."""

    def events_to_fetch(self, slugs: Iterable[str]) -> list[Wanted]:
        """Events to ask for: among `slugs` or of a market and not in `events`, or open there."""

    def note_asked(self, kind: str, names: Sequence[str], at: datetime) -> None:
        """Remembers that names of a kind (`markets`, `tokens`, `events`) were asked for; forgets what is too old."""

    def record_run(self, run: Run, at: datetime) -> None:
        """Appends a row to the run history."""

    def record_nodes(self, run_id: str, nodes: Sequence[NodeResult], at: datetime) -> None:
        """Appends what dbt said of each model and test of a build."""

    def monitored(self) -> Monitored | None:
        """What the monitoring models say, for `status`; None until they have been built."""

    def history(self, since: date) -> History:
        """What the monitoring models and state tables tell of the time since a UTC day, for `report`."""

    def incident_events(self) -> list[IncidentEvent] | None:
        """The newest event of each incident of the last year, oldest first; None before the first run."""

    def record_incidents(self, events: Sequence[IncidentEvent]) -> None:
        """Appends events."""

    def duplicate_rows(self, of_window: bool) -> list[dict[str, Any]]:
        """Rows of mon_duplicate_rows, key by key in the order of `place`; at most 10,000."""

    def keep_one_row(self, of_window: bool, run_id: str, at: datetime) -> tuple[int, int]:
        """Removes from `trades` all but the kept row of each key in mon_duplicate_rows whose rows are one fill.

        What goes is copied to state.removed_rows in the same transaction. Gives the numbers of keys and of rows that
        went.

        Raises:
            HeldBack: the lease is not ours any more.
        """

    def new_fills(self) -> int:
        """How many keys of the batch that was just merged `trades` did not have before."""

    def last_heard(self, source: str, run_id: str) -> Window | None:
        """The last window of this source in which a record came, of whatever wallet; without a start if it had none.

        `run_id`: a run that does not count.
        """

    def newest_fills(self) -> dict[str, datetime]:
        """Wallet address → time of its newest fill in `trades`."""

    def reading(self) -> AbstractContextManager[None]:
        """For several reads that belong together: one connection that keeps no other reader out."""

    def totals(self) -> Totals:
        """Reads what `status` shows."""

    def acquire_lease(self, run_id: str, holder: str, minutes: float) -> str | None:
        """Takes the lease for a run; gives the run id of a dead holder that it was taken from, None if nobody had it.

        From here on `land` refuses once somebody else has the lease.

        Raises:
            HeldBack: somebody else has it. The message says who, since when and until when.
        """

    def keeping_lease(self, minutes: float) -> AbstractContextManager[None]:
        """Context in which our lease does not expire."""

    def renew_lease(self, minutes: float) -> bool:
        """Lengthens our lease; False if it has passed to somebody else."""

    def release_lease(self) -> None:
        """Gives our lease back; nothing if we have none any more."""

    def lease(self) -> Holder | None:
        """Who has the lease; None before the first run."""

    def free_lease(self, run_id: str) -> None:
        """Takes the lease away from `run_id`, if it still has it."""

    def end_orphans(self, run_id: str, wait_seconds: float) -> list[str]:
        """Jobs of a dead run that still work in the warehouse: waits for them, then cancels. Gives what it did."""

    def empty_merged_days(self, before: date) -> dict[str, int]:
        """Deletes landed days before `before` of which everything is merged; landing table → number of days."""

    def find_adoption(self, count: bool = True) -> Adoption | None:
        """Looks at a table `trades` that polytrades has not made or adopted; None where there is none.

        With `count` it reads the keys and times of all rows, else only the table's description.
        """

    def adopt(self, adoption: Adoption, run_id: str, at: datetime) -> None:
        """Records the table as ours: columns appended, history inherited by coverage and checkpoints."""

    def names_jobs(self, command: str, run_id: str) -> None:
        """What the warehouse's jobs are called from now on, for its bill."""

    def bytes_billed_by(self, run_id: str) -> int:
        """Bytes in job_costs of a run."""

    def collect_costs(self) -> None:
        """Copies the bytes of our finished jobs, dbt's included, from the warehouse's own books into job_costs."""

    def bytes_billed_on(self, day: date) -> int:
        """Bytes in job_costs on a UTC day."""

    def costs(self, since: date) -> list[JobCost]:
        """What job_costs has since a UTC day, the newest day first, then the most bytes."""

    def reconciled_bytes(self, since: date) -> dict[date, int] | None:
        """Day → bytes billed to our labels by the warehouse's own account of all jobs; None if we may not read it."""
