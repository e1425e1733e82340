"""What the monitoring models say, and the book of incidents. Reads small tables only, never a column of `trades`."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from runner import project
from runner.warehouse.monitored import (
    CheckRow,
    CostRow,
    DayRow,
    History,
    HoleRow,
    IncidentEvent,
    Monitored,
    NodeResult,
    RunRow,
    SourceRow,
    TestRow,
    VolumeRow,
    WalletRow,
)
from runner.warehouse.reports import Reports
from runner.windows import utc_now

_DAYS = 60


def _columns_of(row: type[Any]) -> str:
    return ", ".join(field.name for field in fields(row))


class Monitoring(Reports):
    """Each method is one look; what a model lacks is an empty list."""

    def record_nodes(self, run_id: str, nodes: Sequence[NodeResult], at: datetime) -> None:
        """See Warehouse."""
        rows = [{**node.__dict__, "run_id": run_id, "recorded_at": at, "recorded_on": at.date()} for node in nodes]
        if rows:
            self._insert("record_nodes", project.source_table("state", "node_results"), rows)

    def monitored(self) -> Monitored | None:
        """See Warehouse."""
        with self._reading():
            if self._columns(self._schemas.monitoring, "mon_checks") is None:
                return None
            found = Monitored()
            rows = self._query("checks", f"select {_columns_of(CheckRow)} from {self._model('mon_checks')}")
            found.checks = [CheckRow(*row) for row in rows]
            found.days = [
                DayRow(*row)
                for row in self._query(
                    "recent_days",
                    f"select {_columns_of(DayRow)} from {self._model('mon_daily_fills')} "
                    f"order by day desc limit {_DAYS}",
                )
            ]
            found.wallets = [
                WalletRow(*row)
                for row in self._query(
                    "monitored_wallets",
                    f"select {_columns_of(WalletRow)} from {self._model('mon_wallets')} "
                    "order by fills_48h desc, wallet_address",
                )
            ]
            found.sources = [
                SourceRow(*row)
                for row in self._query(
                    "sources", f"select {_columns_of(SourceRow)} from {self._model('mon_sources')} order by source"
                )
            ]
            found.runs = [
                RunRow(*row)
                for row in self._query(
                    "recent_runs",
                    f"select {_columns_of(RunRow)} from {self._model('mon_runs')} "
                    f"order by started_at desc limit {_DAYS}",
                )
            ]
            found.costs = [
                CostRow(*row)
                for row in self._query(
                    "recent_costs",
                    f"select {_columns_of(CostRow)} from {self._model('mon_daily_costs')} order by day desc",
                )
            ]
        return found

    def history(self, since: date) -> History:
        """See Warehouse."""
        begins = datetime(since.year, since.month, since.day, tzinfo=UTC)
        with self._reading():
            found = History()
            found.volume = [
                VolumeRow(*row)
                for row in self._query(
                    "volume",
                    f"select {_columns_of(VolumeRow)} from {self._model('mon_volume')} "
                    "where day >= @since order by day",
                    since=since,
                )
            ]
            found.holes = [
                HoleRow(*row)
                for row in self._query(
                    "holes",
                    f"select {_columns_of(HoleRow)} from {self._model('mon_coverage_holes')} "
                    "order by hole_start, wallet_address",
                )
            ]
            found.tests = [
                TestRow(*row)
                for row in self._query(
                    "test_results",
                    f"select {_columns_of(TestRow)} from {self._model('mon_test_results')} "
                    "where recorded_at >= @since order by recorded_at, name",
                    since=begins,
                )
            ]
            found.slowest = [
                NodeResult(*row)
                for row in self._query(
                    "slowest_nodes",
                    "select kind, name, max(status) as worst, sum(seconds) as total_seconds "
                    f"from {self._state('node_results')} where recorded_on >= @since and run_id = ("
                    f"select max(run_id) from {self._state('node_results')} where recorded_on >= @since) "
                    "group by kind, name order by total_seconds desc, name limit 12",
                    since=since,
                )
            ]
            found.rejected = [
                (day, str(reason), int(count))
                for day, reason, count in self._query(
                    "rejected_by_day",
                    "select cast(landed_at as date) as day, reason, count(*) as records "
                    f"from {self._landing('rejected_records')} where landed_at >= @since "
                    "group by day, reason order by day, reason",
                    since=begins,
                )
            ]
            found.duplicates = [
                (str(wallet), str(transaction), str(order), int(copies))
                for wallet, transaction, order, copies in self._query(
                    "duplicate_keys",
                    "select wallet_address, tx_hash, order_hash, copies "
                    f"from {self._model('mon_duplicate_keys')} order by copies desc, wallet_address, tx_hash, "
                    "order_hash limit 100",
                )
            ]
        return found

    def incident_events(self) -> list[IncidentEvent] | None:
        """See Warehouse."""
        if not self._has_state("incidents"):
            return None
        names = ", ".join(name for name in (field.name for field in fields(IncidentEvent)) if name != "times_told")
        rows = self._query(
            "incident_events",
            f"select {names}, count(*) over (partition by incident_id) as times_told "
            f"from {self._state('incidents')} where opened_at >= @since "
            "qualify row_number() over (partition by incident_id order by happened_at desc, event) = 1 "
            "order by opened_at, incident_id",
            since=utc_now() - timedelta(days=365),
        )
        return [IncidentEvent(*row) for row in rows]

    def record_incidents(self, events: Sequence[IncidentEvent]) -> None:
        """See Warehouse."""
        rows: list[dict[str, Any]] = [
            {name: value for name, value in event.__dict__.items() if name != "times_told"} for event in events
        ]
        if rows:
            self._insert("record_incidents", project.source_table("state", "incidents"), rows)

    def _model(self, name: str) -> str:
        return self._quoted(self._schemas.monitoring, name)
