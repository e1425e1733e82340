"""The values of monitoring: rows of its models and of the state tables that only it reads. Instants are UTC."""

from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass(frozen=True)
class NodeResult:
    """What dbt said of a model or test. `failures`: rows that failed a test."""

    kind: str
    name: str
    status: str
    seconds: float
    failures: int | None = None
    message: str | None = None


@dataclass(frozen=True)
class CheckRow:
    """A row of mon_checks, or of another model of that form. `verdict`: OK, WARN or FAIL."""

    check_name: str
    subject: str | None
    measured: float | None
    affected: int | None
    detail: str | None
    run_at: datetime | None
    warn_above: float | None
    fail_above: float | None
    verdict: str


@dataclass(frozen=True)
class DayRow:
    """A row of mon_daily_fills."""

    day: date
    fills: int
    surplus_copies: int
    wallets: int
    taker_usdc_raw: int
    stand_ins: int
    repaired_keys: int


@dataclass(frozen=True)
class WalletRow:
    """A row of mon_wallets."""

    wallet_address: str
    fetched_until: datetime | None
    first_fill_at: datetime | None
    last_fill_at: datetime | None
    fills_48h: int


@dataclass(frozen=True)
class SourceRow:
    """A row of mon_sources."""

    source: str
    wallets: int | None
    asked_at: datetime | None
    fetched_until: datetime | None
    landed_at: datetime | None


@dataclass(frozen=True)
class RunRow:
    """A row of mon_runs."""

    run_id: str
    command: str
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    is_working: bool
    seconds: float | None
    fetch_seconds: float | None
    metadata_seconds: float | None
    build_seconds: float | None
    records_received: int
    records_rejected: int
    fills_new: int | None
    bytes_billed: int | None
    bytes_budget: int | None
    message: str | None


@dataclass(frozen=True)
class CostRow:
    """A row of mon_daily_costs."""

    day: date
    jobs: int
    bytes_billed: int
    bytes_billed_by_tests: int


@dataclass
class Monitored:
    """What `status` reads: checks, the newest days, all wallets, sources, the newest runs, the newest days of cost."""

    checks: list[CheckRow] = field(default_factory=list)
    days: list[DayRow] = field(default_factory=list)
    wallets: list[WalletRow] = field(default_factory=list)
    sources: list[SourceRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    costs: list[CostRow] = field(default_factory=list)


@dataclass(frozen=True)
class VolumeRow:
    """A row of mon_volume."""

    day: date
    fills: int
    median_fills: float
    spread: float
    is_judged: bool


@dataclass(frozen=True)
class HoleRow:
    """A row of mon_coverage_holes."""

    wallet_address: str
    hole_start: datetime
    hole_end: datetime
    is_history: bool


@dataclass(frozen=True)
class TestRow:
    """A row of mon_test_results."""

    run_id: str
    name: str
    status: str
    failures: int | None
    recorded_at: datetime


@dataclass(frozen=True)
class IncidentEvent:
    """A row of state.incidents. `times_told`: rows of its incident so far; only of rows that were read."""

    incident_id: str
    check_name: str
    subject: str
    event: str
    verdict: str
    reason: str
    opened_at: datetime
    happened_at: datetime
    told: str = ""
    times_told: int = 0


@dataclass
class History:
    """What `report` reads beside `Monitored`, oldest first.

    `slowest` are the models and tests of the newest run that took longest; `rejected` are day, reason, records;
    `duplicates` are at most 100 keys (wallet, transaction, order) with the number of their rows.
    """

    volume: list[VolumeRow] = field(default_factory=list)
    holes: list[HoleRow] = field(default_factory=list)
    tests: list[TestRow] = field(default_factory=list)
    slowest: list[NodeResult] = field(default_factory=list)
    rejected: list[tuple[date, str, int]] = field(default_factory=list)
    duplicates: list[tuple[str, str, str, int]] = field(default_factory=list)
