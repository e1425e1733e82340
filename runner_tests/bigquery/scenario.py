"""The history of two warehouses in which the project sends every statement that it has, through a proxy that listens.

One begins empty: a build by hand, a night of `sync`, marts with nothing to merge, views in a schema of one's own, and
what commands and a killed run ask beside that. The other has a table `trades` that was there before. The statements
are repeated on the way.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from runner import settings
from runner.engine import duplicates
from runner.engine.adopt import adopt_existing
from runner.engine.fetch import Task
from runner.engine.migration.audit import audit
from runner.engine.migration.copy import copy
from runner.engine.migration.drop import drop
from runner.engine.migration.repair import repair
from runner.engine.migration.rollback import rollback
from runner.engine.migration.verify import verify
from runner.engine.plan import BackfillPlan
from runner.engine.public_logs import FromPublicLogs, price
from runner.engine.writer import writing
from runner.landing.intake import Intake
from runner.monitor import bill, report, status, telling
from runner.monitor.doctor_bigquery import examine_bigquery
from runner.monitor.gaps import find_gaps
from runner.settings import Settings
from runner.warehouse.bigquery import BigQueryWarehouse
from runner.warehouse.connect import connect
from runner.warehouse.protocol import CheckpointMove, Covered, FollowedWallet, KnownBlock, Reconciliation, Run
from runner.windows import Window, utc_now
from runner_tests.bigquery.proxy import Job, Proxy
from runner_tests.bigquery.public_table import of_fees, placed, public_table, publish, some_log
from runner_tests.bigquery.repeats import Repeats
from runner_tests.bigquery.running import Emulator
from runner_tests.night import Notes
from runner_tests.support import UNTIL, Home, launch, order, stop

WALLET = "0x" + "a" * 40
RUN = "by-hand"
AT = datetime(2026, 1, 28, 12, tzinfo=UTC)
LEGACY_TABLE = f"""
create table polytrades.trades (
    id string, condition_id string, wallet_address string, timestamp timestamp, side string, price float64,
    shares_normalized float64, token_label string, token_id string, tx_hash string, order_hash string, taker string,
    market_slug string, title string
) partition by timestamp_trunc(timestamp, day) cluster by wallet_address
as select '0x22', '0xcc', '{WALLET}', timestamp '2026-01-26 12:00:00+00', 'BUY', 0.5, 2.0, 'Yes', '1', '0x{"1" * 64}',
    '0x{"2" * 64}', cast(null as string), 'a-market', 'A market'
"""

STAGING_TABLE = "create table old.trades_staging as " + " union all ".join(
    f"select '{record_id}' as id, '0x{'c' * 64}' as condition_id, '{WALLET}' as wallet_address, "
    f"timestamp '2026-01-2{day} 12:00:00+00' as timestamp, '{side}' as side, cast(0.5 as float64) as price, "
    "cast(2 as float64) as shares_normalized, "  # the emulator makes a decimal of a bare 0.5
    f"'Yes' as token_label, '1' as token_id, '0x{transaction * 64}' as tx_hash"
    for record_id, day, side, transaction in (
        ("0x" + "7" * 64, 1, "BUY", "8"),
        ("0x" + "7" * 64, 2, "BUY", "8"),
        ("0x" + "8" * 64, 2, "BUY", "8"),
        ("0x" + "9" * 64, 3, "BUY", "9"),
        ("0x" + "7" * 64, 3, "HOLD", "7"),
    )
)
"""A fill in two versions and without its hash, one whose hash nobody knows, and a row that breaks a rule."""


@dataclass
class Twice:
    """One of the warehouse's operations, and what readers see after it was done once and twice."""

    name: str
    once: Any
    twice: Any


@dataclass
class History:
    """What was sent, and what became of it."""

    jobs: list[Job]
    dry_runs: list[Job]
    manifest: dict[str, Any]
    repeats: Repeats
    twice: list[Twice]
    failures: list[str]
    project_ids: list[str]

    @property
    def fills_view(self) -> str:
        """The statement that creates the view `fills`."""
        return next(
            job.statement for job in self.jobs if re.search(r"create or replace view \S+`fills`", job.statement)
        )


def live(emulator: Emulator, repeats: Repeats, folder: Path) -> History:
    """Lets it all happen."""
    with Proxy(emulator.url, prices=False) as proxy:
        proxy.after_job = repeats
        ours = _World(emulator, proxy, folder)
        ours.home.dbt("build", "--exclude-resource-type", "test")  # data tests are seen in the night
        twice = _work_without_dbt(ours)
        _sync(ours.home)
        _ask(ours)
        _migrate(ours)
        _build_nothing(ours)
        _take_public_logs(ours, emulator, folder)
        theirs = _World(emulator, proxy, folder)
        _adopt(theirs)
        manifest = json.loads((ours.home.target_path / "manifest.json").read_text())
        project_ids = [ours.home.project, theirs.home.project]
        return History(proxy.jobs, proxy.dry_runs, manifest, repeats, twice, proxy.failures, project_ids)


class _World:
    """A project of the emulator behind the proxy, and how a test looks into it unheard."""

    def __init__(self, emulator: Emulator, proxy: Proxy, folder: Path) -> None:
        self.home = Home(folder, target="emulator", url=proxy.url, project=emulator.new_project())
        self.home.variables["TMPDIR"] = str(folder)
        self.client = emulator.client(self.home.project)
        self.proxy = proxy

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Asks or changes past the proxy. Datasets are named without their project."""
        found = [tuple(row.values()) for row in self.client.query_and_wait(sql)]
        self.proxy.forget()
        return sorted(found, key=repr)

    @contextmanager
    def warehouse(self) -> Iterator[tuple[BigQueryWarehouse, Settings]]:
        """The runner's own warehouse, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.home.place.items():
                patch.setenv(name, value)
            chosen = settings.load(target=self.home.target)
            yield cast(BigQueryWarehouse, connect(chosen)), chosen


def _work_without_dbt(world: _World) -> list[Twice]:
    """What a run does around dbt, each operation twice."""
    world.ask("alter table polytrades_state.runs drop column message")  # a column of today, a table of yesterday
    asked_at = utc_now()
    followed, gone = FollowedWallet(WALLET, "file"), FollowedWallet("0x" + "b" * 40, "file")
    with world.warehouse() as (warehouse, _):
        warehouse.names_jobs("test", RUN)
        twice = [_twice("prepare", warehouse.prepare, lambda: world.client.get_table("polytrades_state.runs").schema)]
        warehouse.acquire_lease(RUN, "a test", 10)  # what follows is guarded by it
        twice.append(_twice("renew_lease", lambda: warehouse.renew_lease(10), lambda: _holder(warehouse)))
        warehouse.change_followed_wallets([followed, gone], [], AT)
        twice += [
            _twice(
                "change_followed_wallets",
                lambda: warehouse.change_followed_wallets([followed], [gone.wallet_address], AT),
                lambda: world.ask("select * from polytrades_state.followed_wallets"),
            ),
            _twice(
                "record_run",
                lambda: warehouse.record_run(Run(RUN, "test", AT, AT, 0), AT),
                lambda: warehouse.totals().last_runs,
            ),
            _twice("land", lambda: _land(warehouse, world.home), lambda: _landed(warehouse, world)),
        ]
        world.ask("delete from polytrades_landing.batches where true")
        twice += [
            _twice("land after a kill", lambda: _land(warehouse, world.home), lambda: _landed(warehouse, world)),
            _twice(
                "collect_costs",
                warehouse.collect_costs,
                lambda: world.ask("select job_id from polytrades_state.job_costs group by job_id having count(*) > 1"),
            ),
            _twice(
                "note_asked",
                lambda: warehouse.note_asked("events", ["an-event"], asked_at),
                lambda: world.ask("select * from polytrades_state.metadata_asked"),
            ),
            _twice(
                "note_rpc_limits",
                lambda: warehouse.note_rpc_limits({("node.example.com", "wallets"): 10}, RUN, AT),
                warehouse.rpc_limits,
            ),
            _twice(
                "note_chain_blocks",
                lambda: warehouse.note_chain_blocks([KnownBlock(1, "0x" + "1" * 64, AT)], RUN, AT),
                lambda: set(warehouse.chain_blocks()),
            ),
            _twice(
                "note_reconciliation",
                lambda: warehouse.note_reconciliation(Reconciliation(RUN, "polygon", "trades", [WALLET], AT, AT), AT),
                lambda: world.ask("select distinct * from polytrades_state.reconciliations"),
            ),
            _twice(
                "mark_replayed",
                lambda: (
                    warehouse.mark_replayed([warehouse.rejected_records(None, 1)[0].record_hash], RUN, AT)
                    if warehouse.rejected_records(None, 1)
                    else None
                ),
                warehouse.rejected_by_reason,
            ),
            _twice(
                "set_checkpoints",
                lambda: warehouse.set_checkpoints([CheckpointMove("dome", WALLET, AT, RUN, AT)]),
                lambda: warehouse.checkpoints("dome"),
            ),
            _twice("release_lease", warehouse.release_lease, lambda: _holder(warehouse)),
        ]
    return twice


def _holder(warehouse: BigQueryWarehouse) -> tuple[int, str | None]:
    holder = warehouse.lease()
    assert holder is not None
    return holder.token, holder.run_id


def _land(warehouse: BigQueryWarehouse, home: Home) -> None:
    """One batch: a fill and another under its key, one without a hash, a record that breaks a rule."""
    records = [
        order(),
        order(shares=3_000_000, shares_normalized=3),
        order(order_hash=None, tx_hash="0x" + "3" * 64),
        order(side="HOLD"),
    ]
    intake = Intake(warehouse, "dome", home.folder / "spool", RUN, batch_rows=100)
    intake.add([json.dumps(record).encode() for record in records], WALLET, "test")
    intake.covered(Covered("dome", WALLET, None, AT, "complete", len(records), moves_checkpoint=True))
    intake.flush()


def _landed(warehouse: BigQueryWarehouse, world: _World) -> Any:
    """What readers see of the landing: coverage is the union of its rows, of checkpoints the newest counts."""
    return [
        world.ask("select tx_hash, shares_raw, batch_id, landed_on from polytrades_landing.trades"),
        world.ask("select batch_id, landing_table, row_count, landed_on from polytrades_landing.batches"),
        world.ask("select record_hash, reason from polytrades_landing.rejected_records"),
        world.ask("select distinct wallet_address, window_start, window_end, status from polytrades_state.coverage"),
        warehouse.checkpoints("dome"),
    ]


def _sync(home: Home) -> None:
    """A night: wallets, fills, markets and events are fetched, and what is pending is merged."""
    wallets = home.folder / "wallets.csv"
    world = ("--until", UNTIL, "--wallets", 2, "--fills", 40, "--days", 4, "--malformed", 0.05)
    running = launch(*world, "--write-wallets", wallets)
    try:
        home.uses(running)
        done = home.polytrades("sync", "--wallets", wallets, "--allow-shrink", "--json", check=False)
    finally:
        stop(running)
    # 4: a check failed, the one that finds the fill beside its key.
    assert done.code == 4, done.stdout + done.stderr
    assert (done.json["pending_batches"], list(done.json["tests_failed"])) == (0, ["no_fill_shares_its_key"])


def _take_public_logs(world: _World, emulator: Emulator, folder: Path) -> None:
    """A log of the public table that is a fill, and one that breaks a rule."""
    chance, begins = random.Random(1), int(AT.timestamp())
    publish(emulator, [*placed([some_log(chance) for _ in range(40)], begins, 1000), *of_fees(begins, 1000)], folder)
    with world.warehouse() as (warehouse, chosen):
        logs = world.client.query_and_wait(f"select topics from `{public_table()}` where array_length(topics) = 4")
        wallets = sorted({"0x" + row["topics"][2][26:] for row in logs})
        tasks = [Task(wallet, Window(AT, AT + timedelta(minutes=10)), moves_checkpoint=False) for wallet in wallets]
        plan = BackfillPlan(tasks[0].window, wallets, [(tasks[0].window, tasks)], 1, 0)
        assert price(chosen, warehouse, plan).slices
        intake = Intake(warehouse, "polygon", folder / "spool", RUN, batch_rows=100)
        with writing(chosen, warehouse, "backfill", RUN, Notes()), FromPublicLogs(chosen, warehouse, RUN) as source:
            found = source.fetch(intake, tasks, "Logs", Progress())
        assert (found.failures, found.done) == ({}, len(tasks))
        assert intake.counts.landed and intake.counts.rejected


def _ask(world: _World) -> None:
    """What is asked beside a run and changes nothing; landing emptied; a lease taken away."""
    world.home.dbt("source", "freshness")
    world.home.dbt("build", "-s", "tag:reconciliation")
    with world.warehouse() as (warehouse, chosen):
        assert all(check.passed for check in examine_bigquery(warehouse))
        bill.draw_up(chosen, warehouse, utc_now().date())
        find_gaps(chosen, warehouse, quiet_days=30)
        found = status.look(chosen, warehouse)
        assert {finding.check for finding in found.findings} >= {"key_collisions"}
        assert telling.send(chosen, warehouse, found, print) == []  # the night has told it
        report.as_json(found, warehouse.history(AT.date()), warehouse.incident_events() or [], 60)
        _double_a_fill(world)
        confirmed = duplicates.look(chosen, warehouse, None, Progress())
        assert duplicates.repair(chosen, warehouse, None, confirmed, Progress()) == (1, 1)
        find_gaps(chosen.model_copy(update={"source": "polygon"}), warehouse, quiet_days=30)
        assert warehouse.chain_fills(1, 10**9, AT, AT) == []
        assert warehouse.source_differences() == []
        warehouse.checkpoint_moves(WALLET)
        assert warehouse.last_heard("dome", "another run") is not None
        warehouse.rejected_records("bad_side", 10)
        emptied = warehouse.empty_merged_days((utc_now() + timedelta(days=1)).date())
        assert set(emptied) == {"trades", "markets", "events"}
        warehouse.acquire_lease("a-dead-run", "a test", 10)
        warehouse.free_lease("a-dead-run")


def _double_a_fill(world: _World) -> None:
    """One more row like one that is there."""
    world.ask("insert into polytrades.trades select * from polytrades.trades where key_quality = 'exact' limit 1")


class Progress(Notes):
    """What a build says."""

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """Keeps the end of it."""
        if done == total:
            self.note(f"{phase}: {detail}")


def _migrate(world: _World) -> None:
    """An old table is moved, dropped, brought back, and the copy undone."""
    world.client.create_dataset("old")
    world.ask(STAGING_TABLE)
    staging, show = "old.trades_staging", Notes()
    with world.warehouse() as (warehouse, chosen):
        found = audit(chosen, warehouse, staging, show)
        assert (found.rows, found.rules) == (5, {"bad_side": 1})
        _, copied = copy(chosen, warehouse, staging, show)
        assert (copied.copied, copied.claimed, copied.rejected) == (2, 1, 1)
        _, verdict = verify(chosen, warehouse, None, show)
        assert verdict.is_green
        world.ask(f"update polytrades.trades set price = 0.25 where tx_hash = '0x{'8' * 64}'")
        _, refuted = verify(chosen, warehouse, None, show)
        assert [(each.kind, each.keys) for each in refuted.differences] == [("changed", 1)]
        world.ask(f"update polytrades.trades set price = 0.5 where tx_hash = '0x{'8' * 64}'")
        for _ in range(2):  # dropped, brought back, dropped again over the first snapshot, brought back
            verify(chosen, warehouse, None, show)
            _, dropped = drop(chosen, warehouse, None, lambda name, verification, rows: True, show)
            assert dropped.rows == 5 and staging not in map(str, world.client.list_tables("old"))
            assert rollback(chosen, warehouse, None, show)[1].what == "drop"
        assert rollback(chosen, warehouse, None, show)[1].rows == 2


def _build_nothing(world: _World) -> None:
    """Marts without what is before them, so that nothing is merged, and views in a schema of one's own."""
    world.ask("alter table polytrades_state.runs drop column message")
    for table in ("int_trades_batched", "int_trades_stored"):  # a batch without days
        world.ask(f"delete from polytrades_intermediate.{table} where true")
    marts = ("trades", "trade_collisions", "markets", "events", "traders", "awaiting_metadata")
    world.home.dbt("run", "--empty", "-s", *marts)
    world.home.dbt("run", "-s", *marts, "fills", schema="anna")


def _adopt(world: _World) -> None:
    """A table that was there before is repaired, put back, taken on; then what a run asks where marts are missing."""
    world.client.create_dataset("polytrades")
    world.ask(LEGACY_TABLE)
    with world.warehouse() as (warehouse, chosen):
        examine_bigquery(warehouse)
        world.ask("insert into polytrades.trades select * from polytrades.trades limit 1")
        _, repaired = repair(chosen, warehouse, Notes())
        assert (repaired.defects.double_keys, repaired.kept_as is not None) == (1, True)
        assert warehouse.key_defects().are_none and warehouse.find_adoption() is None
        assert rollback(chosen, warehouse, None, Notes())[1].what == "repair"
        repair(chosen, warehouse, Notes())
        rollback(chosen, warehouse, None, Notes())
        world.ask(f"create or replace table polytrades.trades {LEGACY_TABLE.partition('trades ')[2]}")
        with writing(chosen, warehouse, "adopt", "adopting", Notes()):
            assert adopt_existing(warehouse, "adopting", Notes()) is not None
        assert (warehouse.find_adoption(), list(warehouse.checkpoints("dome"))) == (None, [WALLET])
        _land(warehouse, world.home)
        assert [market.name for market in warehouse.conditions_to_fetch(AT)] == ["0x" + "c" * 64]
        assert warehouse.events_to_fetch([]) == []


def _twice(name: str, operation: Callable[[], object], read: Callable[[], Any]) -> Twice:
    """Does it twice, and looks after each."""
    operation()
    once = read()
    operation()
    return Twice(name, once, read())
