"""Moving a table of trades into production: work tables, slices, and what is recorded of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from runner import failpoints, project
from runner.errors import HeldBack
from runner.warehouse.migrating import KeyDefects, Step, Verification
from runner.warehouse.statements import Statements

_FILLS_MARTS = ["trades", "trade_collisions", "traders", "awaiting_metadata"]
"""What a batch of fills feeds, as in the macro `fed_marts`."""


class Migration(Statements):
    """Everything about a migration that is the same on each warehouse."""

    def ask(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """See Migrating."""
        return self._query(name, sql, **parameters)

    def has_production(self) -> bool:
        """See Migrating."""
        return self._has_mart("trades")

    def has_seeds(self) -> bool:
        """See Migrating."""
        schema = self._schemas.reference
        return all(self._columns(schema, seed) is not None for seed in ("exchange_contracts", "source_ranks"))

    def mart_relation(self, table: str) -> str:
        """See Migrating."""
        return self._mart(table)

    def key_defects(self) -> KeyDefects:
        """See Migrating."""
        columns = self._columns(self._schemas.production, "trades") or {}
        keys = [name for name in ("wallet_address", "tx_hash", "order_hash") if name in columns]
        is_null = " or ".join(f"{name} is null" for name in (*keys, "timestamp"))
        is_other_case = " or ".join(f"{name} <> lower({name})" for name in keys)
        rows, null_keys, other_case_keys = self._one(
            "count_key_defects",
            f"select count(*), count(case when {is_null} then 1 end), count(case when {is_other_case} then 1 end) "
            f"from {self._mart('trades')}",
        )
        lowered = ", ".join(f"lower({name}) as {name}" for name in keys)
        (double_keys,) = self._one(
            "count_double_keys",
            f"select count(*) from (select {', '.join(keys)} from (select {lowered} from {self._mart('trades')} "
            f"where not ({is_null})) as lowered group by {', '.join(keys)} having count(*) > 1) as twice",
        )
        return KeyDefects(rows, null_keys, double_keys, other_case_keys)

    def make_trades(self, table: str) -> None:
        """See Migrating."""
        columns = ", ".join(
            f"{self._quoted(name)} {self._type(kind)}" for name, kind in project.mart_columns("trades").items()
        )
        self._execute("make_trades", f"create table if not exists {self._mart(table)} ({columns}){self._day_layout()}")

    def forget_adoption(self, run_id: str) -> None:
        """See Migrating."""
        adopted = f"select 1 from {self._state('coverage')} where status = 'inherited' and run_id = @run_id limit 1"
        if not self._query("find_adoption_of_run", adopted, run_id=run_id):
            return
        with self._step():
            self._execute(
                "forget_adoption",
                f"delete from {self._state('recorded_settings')} where name = @adopted",
                adopted="adopted_trades",
            )
            self._execute(
                "forget_checkpoints", f"delete from {self._state('checkpoints')} where run_id = @run_id", run_id=run_id
            )
            self._execute(
                "forget_coverage",
                f"delete from {self._state('coverage')} where status = 'inherited' and run_id = @run_id",
                run_id=run_id,
            )

    def swap(self, comes: str, goes_to: str) -> None:
        """See Migrating."""
        with self._step():
            if self._has_mart(comes):
                if self._has_mart("trades"):
                    self._execute(
                        "set_trades_aside", f"alter table {self._mart('trades')} rename to {self._quoted(goes_to)}"
                    )
                self._execute("rename_to_trades", f"alter table {self._mart(comes)} rename to {self._quoted('trades')}")
        failpoints.passing("trades.swapped")

    def _day_layout(self) -> str:
        """What a CREATE TABLE says of partitions, where there are such."""
        return ""

    def copy_month(self, into: str, sql: str, since: datetime, until: datetime, done: Step) -> int:
        """See Migrating. The lease is looked at by the query, as by every statement that must not be sent by two."""
        columns = ", ".join(self._quoted(name) for name in project.mart_columns("trades"))
        with self._step():
            written = self._execute(
                "migration_month",
                f"insert into {self._mart(into)} ({columns}) {sql}",
                since=since,
                until=until,
                lease=self._run_id,
                **self._month(done.slice),
            )
            failpoints.passing("month.copied")
            if not self._holds_lease():
                raise HeldBack(
                    "The lease of this run has passed to another one. What was copied before is kept; run the same "
                    "command again when the other run has ended. `polytrades lease` shows it."
                )
            written = self._copied_rows(written, into, since, until, done)
            self.record_step(replace(done, row_count=written))
        failpoints.passing("month.recorded")
        return written

    def _in_month(self, alias: str) -> str:
        """As the macro `in_month`."""
        return f"{alias}.month = @month"

    def _month(self, month: str) -> dict[str, Any]:
        """The parameters of `_in_month`."""
        return {"month": month}

    def _copied_rows(self, written: int, into: str, since: datetime, until: datetime, done: Step) -> int:
        """How many rows of a month stand there now, of which the statement that has just ended wrote `written`."""
        return written

    def _holds_lease(self) -> bool:
        ((holder,),) = self._query("lease_of_migration", f"select run_id from {self._state('lease')}")
        return bool(holder == self._run_id)

    def keep_rejected(self, sql: str, staging: str, run_id: str, at: datetime) -> int:
        """See Migrating."""
        columns = ", ".join(project.source_table("landing", "rejected_records").columns)
        return self._execute(
            "migration_rejected",
            f"insert into {self._landing('rejected_records')} ({columns}) {sql}",
            staging=staging,
            run_id=run_id,
            at=at,
        )

    def widen_traders(self, sql: str) -> None:
        """See Migrating. Times only widen, so that the second time nothing is written."""
        bounds = {
            "first_fill_at": ("seen.first_at", "<"),
            "last_fill_at": ("seen.last_at", ">"),
            "first_seen_at": ("seen.first_at", "<"),
            "last_seen_at": ("seen.last_at", ">"),
        }
        widens = {
            column: f"(known.{column} is null or {seen} {beyond} known.{column})"
            for column, (seen, beyond) in bounds.items()
        }
        changes = ", ".join(
            f"{column} = case when {widens[column]} then {seen} else known.{column} end"
            for column, (seen, _) in bounds.items()
        )
        self._execute(
            "migration_traders",
            f"merge into {self._mart('traders')} as known using ({sql}) as seen "
            "on known.wallet_address = seen.wallet_address "
            f"when matched and ({' or '.join(widens.values())}) then update set {changes} "
            f"when not matched then insert (wallet_address, is_followed, {', '.join(bounds)}) values "
            f"(seen.wallet_address, seen.is_followed, {', '.join(seen for seen, _ in bounds.values())})",
        )

    # What is recorded.

    def record_step(self, step: Step) -> None:
        """See Migrating."""
        self._insert("record_step", project.source_table("state", "migration_steps"), [step.__dict__])

    def migration_steps(self, migration_id: str | None = None) -> list[Step]:
        """See Migrating."""
        if not self._has_state("migration_steps"):
            return []
        only = "where migration_id = @migration " if migration_id else ""
        columns = ", ".join(project.source_table("state", "migration_steps").columns)
        rows = self._query(
            "migration_steps",
            f"select {columns} from {self._state('migration_steps')} {only}order by recorded_at, step, slice",
            **({"migration": migration_id} if migration_id else {}),
        )
        return [Step(*row) for row in rows]

    def record_verification(self, verification: Verification) -> None:
        """See Migrating."""
        self._insert("record_verification", project.source_table("state", "verifications"), [verification.__dict__])

    def verifications(self) -> list[Verification]:
        """See Migrating."""
        if not self._has_state("verifications"):
            return []
        columns = ", ".join(project.source_table("state", "verifications").columns)
        rows = self._query(
            "verifications", f"select {columns} from {self._state('verifications')} order by verified_at desc"
        )
        return [Verification(*row) for row in rows]

    # Back.

    def copied_months(self, place: str) -> list[str]:
        """See Migrating."""
        rows = self._query(
            "copied_months",
            f"select distinct copied.month from {self._work_table('rows', place)} as copied "
            "where copied.broken_rule is null order by copied.month",
        )
        return [month for (month,) in rows]

    def take_back_month(self, place: str, month: str, since: datetime, until: datetime) -> int:
        """See Migrating. A row that has another source by now is what came since, and stays."""
        gone = 0
        for mart in ("trades", "trade_collisions"):
            gone += self._execute(
                "take_back_month",
                f"delete from {self._mart(mart)} as stored where stored.timestamp >= @since "
                "and stored.timestamp < @until and stored.source = 'legacy' "
                f"and exists (select 1 from {self._work_table('rows', place)} as copied "
                f"where {self._in_month('copied')} "
                "and copied.wallet_address = stored.wallet_address and copied.tx_hash = stored.tx_hash "
                "and copied.order_hash = stored.order_hash) "
                f"and (select lease.run_id from {self._state('lease')} as lease) = @lease",
                since=since,
                until=until,
                lease=self._run_id,
                **self._month(month),
            )
        return gone

    def reopen_ledger(self, since: datetime) -> int:
        """See Migrating."""
        condition = (
            f"from {self._state('merged_batches')} where merged_at >= @since and mart in (select mart from "
            f"{self._each('marts', 'mart')}) and batch_id in (select batch_id from {self._landing('trades')})"
        )
        bound = {"since": since, "marts": _FILLS_MARTS}
        ((batches,),) = self._query("batches_to_reopen", f"select count(distinct batch_id) {condition}", **bound)
        self._execute("reopen_ledger", f"delete {condition}", **bound)
        failpoints.passing("ledger.reopened")
        return int(batches)

    def statement_bytes(self, statements: Mapping[str, str]) -> dict[str, int] | None:
        """See Migrating."""
        return None
