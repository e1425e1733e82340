"""`polytrades reconcile`: what a source tells of a window beside the fills of `trades`, or beside another source.

What the sources tell lands beside the fills, is never merged and covers nothing; the comparison is SQL
(`mon_source_differences`).
"""

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from runner import dbt
from runner.engine.build import RECONCILIATION, Display
from runner.engine.chain import Chain
from runner.engine.fetch import Fetched, Task
from runner.engine.order_api import OrderApi
from runner.engine.plan import BackfillOptions, chosen_followed, past_window
from runner.engine.run import check_source, spool_dir
from runner.engine.writer import new_run_id, writing
from runner.errors import HeldBack, UpstreamError, UsageError
from runner.landing.covered import source_of
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources import orders
from runner.warehouse.protocol import Reconciliation, SourceDifference, Warehouse
from runner.windows import Window, utc_now

_TABLE = "reconciled_fills"


@dataclass(frozen=True)
class ReconcileOptions:
    """What is compared: whose fills (none named: of all followed wallets), of which window, with `table` or `api`.

    `sample`: only so many of the wallets, the same ones each time.
    """

    start: datetime | None = None
    end: datetime | None = None
    only: Sequence[str] = ()
    sample: int | None = None
    against: str = "table"
    max_requests: int | None = None


@dataclass(frozen=True)
class Extrapolated:
    """Fills that all followed wallets lack, from those of a sample: the estimate, and where it is with 95 %."""

    wallets: int
    missing: int
    low: int
    high: int


@dataclass
class Reconciled:
    """What came out. `source_fills`: how many the source has; `their_fills`: how many the API gave, if it was asked."""

    run_id: str
    source: str
    compared: str
    wallets: list[str]
    window: Window
    followed: int
    is_sample: bool = False
    source_fills: int = 0
    their_fills: int | None = None
    differences: list[SourceDifference] = field(default_factory=list)

    @property
    def missing(self) -> dict[str, int]:
        """Keys that only the source has, of each wallet that lacks some."""
        found: Counter[str] = Counter()
        for one in self.differences:
            if one.difference == "missing":
                found[one.wallet_address] += one.keys
        return dict(found)

    @property
    def extrapolated(self) -> Extrapolated | None:
        """What the sample says of all followed wallets; None if there is none, of all of them or of a single one."""
        count = len(self.wallets)
        if not self.is_sample or count < 2 or count == self.followed:
            return None
        each = [self.missing.get(wallet, 0) for wallet in self.wallets]
        total = statistics.fmean(each) * self.followed
        # Of a sample without replacement, so it is exact once it holds everybody.
        spread = self.followed * statistics.stdev(each) / math.sqrt(count) * math.sqrt(1 - count / self.followed)
        low = max(float(sum(each)), total - 1.96 * spread)
        return Extrapolated(self.followed, round(total), round(low), round(total + 1.96 * spread))

    def backfill(self) -> BackfillOptions | None:
        """The backfill that fetches what is missing or different; None if nothing is, or no backfill would help."""
        lacking = [one for one in self.differences if one.difference != "extra"]
        if not lacking or self.compared != "trades":
            return None
        first, last = min(one.filled_on for one in lacking), max(one.filled_on for one in lacking)
        return BackfillOptions(
            start=datetime.combine(first, time(), UTC),
            end=datetime.combine(last + timedelta(days=1), time(), UTC),
            only=sorted({one.wallet_address for one in lacking}),
            again=True,
        )


def plan_reconcile(settings: Settings, warehouse: Warehouse, options: ReconcileOptions) -> list[Task]:
    """A task for each wallet.

    Raises:
        UsageError: the window is empty, a wallet is not followed, or a source is compared with itself.
    """
    if options.against == "api" and settings.source == "api":
        raise UsageError("--against api compares the order API with the chain: add --source polygon.")
    if settings.source == "polygon" and options.start is None:
        raise UsageError(
            "The chain is read from a time on: say --from (its first fills are of 2020, millions of blocks)."
        )
    window = past_window(settings, options.start, options.end)
    wallets = chosen_followed(warehouse, options.only)
    if options.sample is not None:
        # By a hash of the address: as good as chance, and the same wallets tomorrow.
        wallets = sorted(sorted(wallets, key=lambda each: hashlib.sha256(each.encode()).digest())[: options.sample])
    return [Task(wallet, window, moves_checkpoint=False) for wallet in wallets]


def reconcile(settings: Settings, warehouse: Warehouse, options: ReconcileOptions, display: Display) -> Reconciled:
    """Reads the source (and the API beside the chain), lands what they tell beside the fills, and compares.

    Raises:
        PolytradesError: not everything could be read, so nothing was compared.
    """
    tasks = plan_reconcile(settings, warehouse, options)
    check_source(settings)
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    source = source_of(settings)
    compared = "trades" if options.against == "table" else orders.dialect_of(settings).source
    wallets = [task.wallet for task in tasks]
    window = tasks[0].window
    with writing(settings, warehouse, "reconcile", run_id, display):
        followed = len(chosen_followed(warehouse, ()))
        found = Reconciled(run_id, source, compared, wallets, window, followed, options.sample is not None)
        if settings.source == "polygon":
            fetched = _ask_chain(settings, warehouse, found, tasks, options, display)
            found.window = Window(window.start, min(window.end, fetched.reached or window.end))
        else:
            found.source_fills = _ask_api(settings, warehouse, run_id, tasks, options, display)
        if compared != "trades":
            found.their_fills = _ask_api(settings, warehouse, run_id, tasks, options, display)
        noted = Reconciliation(run_id, source, compared, wallets, window.begins, window.end)
        warehouse.note_reconciliation(noted, utc_now())
        job = dbt.Job("reconcile", run_id, ("-s", RECONCILIATION))
        built = dbt.build(settings, lambda done, total, node: display.progress("dbt", done, total, node), job)
        if built.failed_nodes:
            name, message = next(iter(built.failed_nodes.items()))
            raise HeldBack(f"The comparison could not be made: {name} failed ({message}). Run the same command again.")
        found.differences = warehouse.source_differences()
    return found


def _ask_chain(
    settings: Settings,
    warehouse: Warehouse,
    found: Reconciled,
    tasks: list[Task],
    options: ReconcileOptions,
    display: Display,
) -> Fetched:
    with Intake(
        warehouse,
        found.source,
        spool_dir(settings),
        found.run_id,
        settings.batch_rows,
        landing_table=_TABLE,
        again=True,
    ) as intake:
        with Chain(settings, warehouse, found.run_id, options.max_requests) as chain:
            fetched = chain.fetch(intake, tasks, "The chain", display)
        _check_whole(fetched, "The chain")
        found.source_fills = intake.counts.received
    return fetched


def _ask_api(
    settings: Settings,
    warehouse: Warehouse,
    run_id: str,
    tasks: list[Task],
    options: ReconcileOptions,
    display: Display,
) -> int:
    dialect = orders.dialect_of(settings)
    with ExitStack() as stack:
        intake = stack.enter_context(
            Intake(
                warehouse,
                dialect.source,
                spool_dir(settings),
                run_id,
                settings.batch_rows,
                dialect.extra_fields,
                landing_table=_TABLE,
                again=True,
            )
        )
        api = stack.enter_context(OrderApi(settings, options.max_requests))
        _check_whole(api.fetch(intake, tasks, "The order API", display), "The order API")
        return intake.counts.received


def _check_whole(fetched: Fetched, what: str) -> None:
    if fetched.failures:
        wallet, message = next(iter(fetched.failures.items()))
        raise UpstreamError(
            f"{what} could not be read for {len(fetched.failures)} wallets, so nothing was compared; the first is "
            f"{wallet}: {message}"
        )
    if fetched.unfinished:
        raise UpstreamError(
            f"{what} was not read to the end, because the run may send no more requests; nothing was compared."
        )
