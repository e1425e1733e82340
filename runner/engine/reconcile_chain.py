"""`reconcile --source polygon`: the chain's fills of a window beside those of `trades` or of the order API.

What the chain and the API tell lands beside the fills, is never merged and covers nothing; the comparison is SQL
(`mon_chain_differences`).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from runner import dbt
from runner.engine.build import RECONCILIATION, Display
from runner.engine.chain import Chain
from runner.engine.fetch import Fetched, Task
from runner.engine.order_api import OrderApi
from runner.engine.plan import chosen_followed
from runner.engine.run import spool_dir
from runner.engine.writer import new_run_id, writing
from runner.errors import HeldBack, UpstreamError, UsageError
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources import orders, polygon
from runner.warehouse.protocol import ChainDifference, Reconciliation, Warehouse
from runner.windows import Window, utc_now

_TABLE = "reconciled_fills"


@dataclass(frozen=True)
class ReconcileOptions:
    """What is compared: whose fills (none: of all followed wallets), of which window, with `table` or `api`."""

    start: datetime
    end: datetime
    only: Sequence[str] = ()
    against: str = "table"
    max_requests: int | None = None


@dataclass
class Reconciled:
    """What came out. `chain_fills`: how many the chain has; `their_fills`: how many the API gave, if it was asked."""

    run_id: str
    compared: str
    wallets: int
    window: Window
    chain_fills: int = 0
    their_fills: int | None = None
    differences: list[ChainDifference] = field(default_factory=list)


def plan_reconcile(warehouse: Warehouse, options: ReconcileOptions) -> list[Task]:
    """A task for each wallet.

    Raises:
        UsageError: the window is empty, or a wallet is not followed.
    """
    if options.start >= options.end:
        raise UsageError(f"--from {options.start.isoformat()} is not before --to {options.end.isoformat()}.")
    window = Window(options.start, options.end)
    return [Task(wallet, window, moves_checkpoint=False) for wallet in chosen_followed(warehouse, options.only)]


def reconcile(settings: Settings, warehouse: Warehouse, options: ReconcileOptions, display: Display) -> Reconciled:
    """Reads the chain (and the API), lands both beside the fills, and compares.

    Raises:
        PolytradesError: not everything could be read, so nothing was compared.
    """
    tasks = plan_reconcile(warehouse, options)
    polygon.addresses(settings)  # that there is none is said before anything is written
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    compared = "trades" if options.against == "table" else orders.dialect_of(settings).source
    with writing(settings, warehouse, "reconcile", run_id, display):
        with Intake(
            warehouse, polygon.SOURCE, spool_dir(settings), run_id, settings.batch_rows, landing_table=_TABLE
        ) as intake:
            with Chain(settings, warehouse, run_id, options.max_requests) as chain:
                fetched = chain.fetch(intake, tasks, "The chain", display)
            _check_whole(fetched, "The chain")
            end = min(options.end, fetched.reached or options.end)
            found = Reconciled(run_id, compared, len(tasks), Window(options.start, end))
            found.chain_fills = intake.counts.received
        if compared != "trades":
            found.their_fills = _ask_api(settings, warehouse, run_id, tasks, options, display)
        wallets = [task.wallet for task in tasks]
        warehouse.note_reconciliation(Reconciliation(run_id, compared, wallets, options.start, end), utc_now())
        job = dbt.Job("reconcile", run_id, ("-s", RECONCILIATION))
        built = dbt.build(settings, lambda done, total, node: display.progress("dbt", done, total, node), job)
        if built.failed_nodes:
            name, message = next(iter(built.failed_nodes.items()))
            raise HeldBack(f"The comparison could not be made: {name} failed ({message}). Run the same command again.")
        found.differences = warehouse.chain_differences()
    return found


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
