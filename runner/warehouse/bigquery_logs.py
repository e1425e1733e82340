"""BigQuery's side of the public logs: all of it happens in BigQuery, no log passes through Python."""

from abc import abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Any

from runner import failpoints, project
from runner.warehouse.jobs import Jobs
from runner.warehouse.protocol import Batch
from runner.warehouse.public_logs import Blocks, PublicLogs, Question, Taken
from runner.warehouse.statements import Statements

_SOURCE = "polygon"


class BigQueryLogs(Statements):
    """The public table, priced and taken."""

    jobs: Jobs

    @abstractmethod
    def keep(self, statement: str, place: str, sql: str, **parameters: Any) -> int:
        """See Migrating."""

    @abstractmethod
    def forget_work(self, place: str) -> None:
        """See Migrating."""

    @abstractmethod
    def _list_in_manifest(self, batch: Batch, landed_at: datetime, run_id: str) -> None:
        """The entry that makes the rows count; only while the lease is ours, and only once."""

    @property
    def public_logs(self) -> PublicLogs | None:
        """See Warehouse."""
        return self

    def bytes_of_logs(self, question: Question) -> list[int]:
        """See PublicLogs."""
        return [
            self.jobs.dry_run("public_logs", question.statements["public_logs"], question.bounds),
            self.jobs.dry_run("public_blocks", question.statements["public_blocks"], question.bounds_of_blocks),
        ]

    def take_logs(self, question: Question, batch_id: str, run_id: str, at: datetime) -> Taken:
        """See PublicLogs. Logs into a work table, then rows, manifest, quarantine; each safe to do twice."""
        self.keep("public_logs", question.place, question.statements["public_logs"], **question.bounds)
        ((blocks, lowest, highest, first, last),) = self._query(
            "public_blocks", question.statements["public_blocks"], **question.bounds_of_blocks
        )
        day = at.date()
        self._execute(
            "public_fills",
            f"insert into {self._landing('trades')} ({_columns_of('trades')}) {question.statements['public_fills']}",
            batch=batch_id,
            landed_at=at,
            landed_on=day,
        )
        failpoints.passing("batch.loaded")
        landed = dict(
            self._query(
                "count_public_fills",
                f"select wallet_address, count(*) from {self._landing('trades')} "
                "where landed_on = @day and batch_id = @batch group by wallet_address",
                day=day,
                batch=batch_id,
            )
        )
        if landed:
            self._list_in_manifest(Batch(batch_id, "trades", _SOURCE, sum(landed.values()), Path(), at), at, run_id)
            failpoints.passing("batch.listed")
        rejected = self._execute(
            "public_rejected",
            f"insert into {self._landing('rejected_records')} ({_columns_of('rejected_records')}) "
            f"{question.statements['public_rejected']}",
            origin=f"{question.window.begins:%Y-%m-%d} to {question.window.end:%Y-%m-%d}",
            run_id=run_id,
            landed_at=at,
        )
        self.forget_work(question.place)
        is_around = bool(blocks) and first is not None and last is not None and lowest < first and highest > last
        found = Blocks(first, last, highest - lowest + 1 - blocks if blocks else 0, is_around)
        return Taken(landed, rejected, found)


def _columns_of(table: str) -> str:
    """The columns of a landing table, in its order."""
    return ", ".join(project.source_table("landing", table).columns)
