"""What the monitoring models say, and the book of incidents. Reads small tables only, never a column of `trades`."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

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

_Row = TypeVar("_Row", CheckRow, CostRow, DayRow, HoleRow, RunRow, SourceRow, TestRow, VolumeRow, WalletRow)


class Monitoring(Reports):
    """Each method is one look; what a model lacks is an empty list."""

    def record_nodes(self, run_id: str, nodes: Sequence[NodeResult], at: datetime) -> None:
        """See Warehouse."""
        rows = [{**node.__dict__, "run_id": run_id, "recorded_at": at, "recorded_on": at.date()} for node in nodes]
        if rows:
            self._insert("record_nodes", project.source_table("state", "node_results"), rows)

    def monitored(self) -> Monitored | None:
        """See Warehouse."""
        with self.reading():
            if self._columns(self._schemas.monitoring, "mon_checks") is None:
                return None
            found = Monitored()
            found.checks = self._read("checks", CheckRow, "mon_checks")
            found.days = self._read("recent_days", DayRow, "mon_daily_fills", f"order by day desc limit {_DAYS}")
            found.wallets = self._read(
                "monitored_wallets", WalletRow, "mon_wallets", "order by fills_48h desc, wallet_address"
            )
            found.sources = self._read("sources", SourceRow, "mon_sources", "order by source")
            found.runs = self._read("recent_runs", RunRow, "mon_runs", f"order by started_at desc limit {_DAYS}")
            found.costs = self._read("recent_costs", CostRow, "mon_daily_costs", "order by day desc")
        return found

    def history(self, since: date) -> History:
        """See Warehouse."""
        begins = datetime(since.year, since.month, since.day, tzinfo=UTC)
        with self.reading():
            found = History()
            found.volume = self._read(
                "volume", VolumeRow, "mon_volume", "where day >= @since order by day", since=since
            )
            found.holes = self._read("holes", HoleRow, "mon_coverage_holes", "order by hole_start, wallet_address")
            found.tests = self._read(
                "test_results",
                TestRow,
                "mon_test_results",
                "where recorded_at >= @since order by recorded_at, name",
                since=begins,
            )
            found.slowest = [
                NodeResult(*row)
                for row in self._query(
                    "slowest_nodes",
                    "select kind, name, max(status) as worst, coalesce(sum(seconds), 0) as total_seconds "
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

    def _read(self, name: str, row: type[_Row], model: str, rest: str = "", **parameters: Any) -> list[_Row]:
        """The rows of a monitoring model, as the class whose fields are columns of it."""
        columns = ", ".join(field.name for field in fields(row))
        found = self._query(name, f"select {columns} from {self._model(model)} {rest}", **parameters)
        return [row(*values) for values in found]

    def _model(self, name: str) -> str:
        return self._quoted(self._schemas.monitoring, name)
