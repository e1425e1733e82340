"""Landing and what decides what is fetched: tables, followed wallets, batches."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from runner import failpoints, project
from runner.errors import HeldBack
from runner.warehouse.coverage import Coverage
from runner.warehouse.protocol import Batch, Covered, FollowedWallet, Rejection
from runner.warehouse.rejected import Rejected


class Landing(Coverage, Rejected):
    """Everything that a run writes before dbt."""

    def prepare(self) -> None:
        """See Warehouse."""
        with self._step():
            schemas = set()
            for table in project.source_tables():
                schema = self._schema_of(table)
                known = self._columns(schema, table.name)
                if known is None:
                    if schema not in schemas:
                        self._create_schema(schema)
                        schemas.add(schema)
                    self._create(table)
                    continue
                for name, kind in table.columns.items():
                    if name not in known:
                        self._execute(
                            "add_column",
                            f"alter table {self._quoted(schema, table.name)} "
                            f"add column if not exists {self._quoted(name)} {self._type(kind)}",
                        )
        failpoints.passing("tables.made")

    def _definition(self, table: project.SourceTable) -> str:
        """Columns for a CREATE TABLE, or the query that makes the only row."""
        if table.only_row is None:
            columns = ", ".join(f"{self._quoted(name)} {self._type(kind)}" for name, kind in table.columns.items())
            return f"({columns})"
        values = ", ".join(
            f"cast({table.only_row.get(name, 'null')} as {self._type(kind)}) as {self._quoted(name)}"
            for name, kind in table.columns.items()
        )
        return f"as select {values}"

    # Wallets.

    def followed_wallets(self) -> list[FollowedWallet]:
        """See Warehouse."""
        if not self._has_state("followed_wallets"):
            return []
        rows = self._query(
            "followed_wallets",
            f"select wallet_address, origin from {self._state('followed_wallets')} "
            "where followed_until is null order by wallet_address",
        )
        return [FollowedWallet(*row) for row in rows]

    def change_followed_wallets(self, add: Iterable[FollowedWallet], remove: Iterable[str], at: datetime) -> None:
        """See Warehouse."""
        table = self._state("followed_wallets")
        added = list(add)
        with self._step():
            if removed := list(remove):
                self._execute(
                    "unfollow_wallets",
                    f"update {table} set followed_until = @at where followed_until is null "
                    f"and wallet_address in (select wallet from {self._each('wallets', 'wallet')})",
                    at=at,
                    wallets=removed,
                )
            if added:
                self._execute(
                    "forget_unfollowed_wallets",
                    f"delete from {table} where wallet_address in (select wallet from "
                    f"{self._each('wallets', 'wallet')})",
                    wallets=[wallet.wallet_address for wallet in added],
                )
                self._insert(
                    "follow_wallets",
                    project.source_table("state", "followed_wallets"),
                    [
                        {"wallet_address": wallet.wallet_address, "followed_from": at, "origin": wallet.origin}
                        for wallet in added
                    ],
                )
        failpoints.passing("wallets.changed")

    # Landing.

    def land(
        self,
        batch: Batch | None,
        rejections: Sequence[Rejection],
        covered: Sequence[Covered],
        run_id: str,
        at: datetime,
    ) -> bool:
        """See Warehouse. In this order: rows, manifest, rejections, coverage, checkpoints."""
        with self._step():
            is_new = batch is not None and not self._has_landed(batch.batch_id)
            if batch is not None and is_new:
                landed_at = self._load(batch)
                failpoints.passing("batch.loaded")
                self._list_in_manifest(batch, landed_at, run_id)
                failpoints.passing("batch.listed")
            self._reject(rejections, run_id, at)
            self._record_coverage(covered, run_id, at)
        return is_new

    def _has_landed(self, batch_id: str) -> bool:
        return bool(
            self._query(
                "find_batch",
                f"select 1 as found from {self._landing('batches')} where batch_id = @batch",
                batch=batch_id,
            )
        )

    def _list_in_manifest(self, batch: Batch, landed_at: datetime, run_id: str) -> None:
        """The entry that makes the rows count; only while the lease is ours, and only once."""
        fence = ""
        if self._run_id is not None:
            fence = f" and (select lease.run_id from {self._state('lease')} as lease) = @lease"
        written = self._execute(
            "list_batch",
            f"insert into {self._landing('batches')} "
            "(batch_id, landing_table, source, row_count, run_id, landed_at, landed_on) "
            "select @batch, @landing_table, @source, @row_count, @run_id, @landed_at, @landed_on "
            f"from {self._state('lease')} "
            f"where not exists (select 1 from {self._landing('batches')} as known "
            f"where known.batch_id = @batch){fence}",
            batch=batch.batch_id,
            landing_table=batch.landing_table,
            source=batch.source,
            row_count=batch.row_count,
            run_id=run_id,
            landed_at=landed_at,
            landed_on=landed_at.date(),
            **({"lease": self._run_id} if fence else {}),
        )
        if not written and not self._has_landed(batch.batch_id):
            raise HeldBack(
                f"The lease of this run has passed to another one, so batch {batch.batch_id} does not count as landed. "
                "Nothing is lost: run the same command again when the other run has ended; `polytrades lease` shows it."
            )

    def empty_merged_days(self, before: date) -> dict[str, int]:
        """See Warehouse."""
        emptied: dict[str, int] = {}
        for table, marts in (("trades", 4), ("markets", 1), ("events", 1), ("reconciled_fills", 0)):  # fed_marts
            days = [
                row[0]
                for row in self._query(
                    "landed_days",
                    f"select distinct landed_on from {self._landing(table)} where landed_on < @before",
                    before=before,
                )
            ]
            if not days:
                continue
            unmerged = {
                row[0]
                for row in self._query(
                    "unmerged_days",
                    f"select distinct batches.landed_on from {self._landing('batches')} as batches "
                    f"left join (select batch_id, count(distinct mart) as marts from {self._state('merged_batches')} "
                    "group by batch_id) as merged on batches.batch_id = merged.batch_id "
                    "where batches.landing_table = @landing_table and batches.landed_on < @before "
                    "and coalesce(merged.marts, 0) < @marts",
                    landing_table=table,
                    before=before,
                    marts=marts,
                )
            }
            # Literal days and nothing else: so BigQuery drops whole partitions and reads none.
            for day in sorted(set(days) - unmerged):
                with self._step():
                    self._execute("empty_day", f"delete from {self._landing(table)} where landed_on = @day", day=day)
                emptied[table] = emptied.get(table, 0) + 1
        return emptied
