"""What is told of runs: their history, the totals of `status`, the book of costs."""

from datetime import date, datetime, timedelta

from runner import project
from runner.warehouse.protocol import JobCost, Run, Totals
from runner.warehouse.rejected import Rejected
from runner.windows import utc_now

_RUN_COLUMNS = (
    "run_id, command, started_at, finished_at, exit_code, wallets, wallets_failed, records_received, records_landed, "
    "records_rejected, fills_new, message"
)


class Reports(Rejected):
    """Reads counts and small tables, never the columns of `trades`."""

    def record_run(self, run: Run, at: datetime) -> None:
        """See Warehouse."""
        row = {**run.__dict__, "status": "finished" if run.finished_at else "running", "recorded_at": at}
        with self._step():
            self._insert("record_run", project.source_table("state", "runs"), [row])

    def new_fills(self) -> int:
        """See Warehouse."""
        table = self._quoted(self._schemas.intermediate, "int_trades_deduplicated")
        return int(self._one("new_fills", f"select count(*) from {table} where is_new and key_quality <> 'retired'")[0])

    def newest_fills(self) -> dict[str, datetime]:
        """See Warehouse. `traders` knows it: a row a wallet."""
        if not self._has_mart("traders"):
            return {}
        rows = self._query(
            "newest_fills",
            f"select wallet_address, last_fill_at from {self._mart('traders')} where last_fill_at is not null",
        )
        return dict(rows)

    def totals(self) -> Totals:
        """See Warehouse. Reads counts and small tables, never the columns of `trades`."""
        with self.reading():
            if not self._has_state("runs"):
                return Totals()
            totals = Totals()
            if self._has_mart("trades"):
                (totals.fills,) = self._one("count_fills", f"select count(*) from {self._mart('trades')}")
            if self._has_mart("traders"):
                totals.latest_fill_at, totals.wallets_with_fills = self._one(
                    "latest_fill",
                    f"select max(last_fill_at), count(last_fill_at) from {self._mart('traders')}",
                )
            for mart in ("markets", "events"):
                if self._has_mart(mart):
                    setattr(totals, mart, self._one("count_rows", f"select count(*) from {self._mart(mart)}")[0])
            collisions = self._columns(self._schemas.production, "trade_collisions")
            if collisions is not None:
                standing = " and not coalesce(is_removed, false)" if "is_removed" in collisions else ""
                (totals.collisions,) = self._one(
                    "count_collisions",
                    f"select count(*) from {self._mart('trade_collisions')} where key_quality <> 'collapsed'{standing}",
                )
            if self._columns(self._schemas.monitoring, "mon_duplicate_keys") is not None:
                (totals.duplicate_keys,) = self._one(
                    "count_duplicates",
                    f"select count(*) from {self._quoted(self._schemas.monitoring, 'mon_duplicate_keys')}",
                )
            (totals.wallets_followed,) = self._one(
                "count_followed", f"select count(*) from {self._state('followed_wallets')} where followed_until is null"
            )
            totals.pending_batches, totals.pending_rows = self._one(
                "count_pending",
                f"select count(*), cast(coalesce(sum(row_count), 0) as {self._type('bigint')}) "
                f"from {self._landing('batches')} where landing_table = 'trades' and batch_id not in "
                f"(select batch_id from {self._state('merged_batches')} where mart = 'trades')",
            )
            totals.rejected_by_reason = {reason: count for reason, count, _ in self.rejected_by_reason()}
            totals.rejected_records = sum(totals.rejected_by_reason.values())
            totals.lost_marts = [
                mart
                for (mart,) in self._query(
                    "merged_marts", f"select distinct mart from {self._state('merged_batches')} order by mart"
                )
                if not self._has_mart(mart)
            ]
            totals.last_runs = [
                Run(**dict(zip(_RUN_COLUMNS.split(", "), row, strict=True)))
                for row in self._query(
                    "last_runs",
                    f"select {_RUN_COLUMNS} from {self._state('runs')} where true "
                    "qualify row_number() over (partition by run_id order by recorded_at desc, finished_at is null) "
                    "= 1 order by started_at desc limit 50",
                )
            ]
        return totals

    # Cost. A warehouse without a bill has nothing to say here.

    def collect_costs(self) -> None:
        """See Warehouse."""

    def reconciled_bytes(self, since: date) -> dict[date, int] | None:
        """See Warehouse."""
        return None

    def bytes_billed_on(self, day: date) -> int:
        """See Warehouse."""
        if not self._has_state("job_costs"):
            return 0
        return int(
            self._one(
                "bytes_billed_on",
                f"select coalesce(sum(bytes_billed), 0) from {self._state('job_costs')} where billed_on = @day",
                day=day,
            )[0]
        )

    def bytes_billed_by(self, run_id: str) -> int:
        """See Warehouse."""
        return int(
            self._one(
                "bytes_billed_by",
                f"select coalesce(sum(bytes_billed), 0) from {self._state('job_costs')} "
                "where billed_on >= @since and run_id = @run_id",
                since=(utc_now() - timedelta(days=2)).date(),
                run_id=run_id.lower(),
            )[0]
        )

    def costs(self, since: date) -> list[JobCost]:
        """See Warehouse."""
        if not self._has_state("job_costs"):
            return []
        rows = self._query(
            "costs",
            "select billed_on, command, kind, name, count(*) as jobs, sum(bytes_billed) as bytes "
            f"from {self._state('job_costs')} where billed_on >= @since "
            "group by billed_on, command, kind, name order by billed_on desc, bytes desc, name",
            since=since,
        )
        return [
            JobCost(day, command, kind, name, int(jobs), int(total or 0))
            for day, command, kind, name, jobs, total in rows
        ]
