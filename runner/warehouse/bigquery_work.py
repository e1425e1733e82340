"""BigQuery's side of a migration: work tables in a dataset of their own, a snapshot before a table is dropped."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runner import failpoints
from runner.errors import Failed, UsageError
from runner.warehouse.jobs import Jobs
from runner.warehouse.migrating import Staging, State, Step
from runner.warehouse.migration import Migration

_TABLE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
_FILES = (".parquet", ".csv", ".csv.gz")


class BigQueryWork(Migration):
    """Work tables and snapshots by SQL; nothing is pulled through Python."""

    jobs: Jobs

    @abstractmethod
    def _query(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    def work_place(self, migration_id: str) -> str:
        """See Migrating."""
        name = re.sub(r"\W", "_", migration_id)
        return f"{self.jobs.data_project}.{self._schemas.migration}.m{name}_"

    def _work_table(self, name: str, place: str) -> str:
        return f"`{place}{'winners' if name == 'rows' else name}`"

    def find_staging(self, name: str) -> Staging:
        """See Migrating."""
        if name.endswith(_FILES):
            raise UsageError(
                f"{name} are files, and BigQuery copies from a table. Load them first, each column as it is: "
                f"bq load --source_format=PARQUET DATASET.trades_staging {name}"
            )
        if not _TABLE.fullmatch(name):
            raise UsageError(
                f"{name!r} is no table. Name it as `dataset.table`, in the project {self.jobs.data_project}."
            )
        dataset, _, table = name.partition(".")
        described = self.jobs.table(dataset, table)
        if described is None:
            raise UsageError(f"There is no table {name} in {self.place}. Name the staging table.")
        relation = self._quoted(dataset, table)
        ((rows,),) = self._query("count_staging", f"select count(*) from {relation}")
        columns = tuple(field.name for field in described.schema)
        identity = f"{rows} rows, modified {described.modified}"
        return Staging(name, relation, columns, rows, identity, is_table=described.table_type == "TABLE")

    def keep(self, statement: str, place: str, sql: str, **parameters: Any) -> int:
        """See Migrating. Taken as a whole or not at all, as every CREATE TABLE AS."""
        name = statement.partition("_")[2]
        self._create_schema(self._schemas.migration)
        table = self._work_table(name, place)
        layout = " partition by timestamp_trunc(month_begins, month)" if name == "winners" else ""
        self._execute(statement, f"create or replace table {table}{layout} as {sql}", **parameters)
        ((rows,),) = self._query("count_work", f"select count(*) from {table}")
        failpoints.passing("work.kept")
        return int(rows)

    def has_work(self, name: str, place: str) -> bool:
        """See Migrating."""
        _, dataset, table = self._work_table(name, place).strip("`").split(".")
        return self.jobs.table(dataset, table) is not None

    def forget_work(self, place: str) -> None:
        """See Migrating."""
        _, dataset, prefix = place.split(".")
        for table in self.jobs.tables(dataset):
            if table.startswith(prefix):
                self._execute("forget_work", f"drop table if exists {self._quoted(dataset, table)}")

    def _copied_rows(self, written: int, into: str, since: datetime, until: datetime, done: Step) -> int:
        """Counted: a run that died after its insert, which here is a job of its own, has not recorded the month."""
        rows = self._work_table("rows", self.work_place(done.migration_id))
        ((count,),) = self._query(
            "count_month",
            f"select count(*) from {self._mart(into)} as stored where stored.timestamp >= @since "
            f"and stored.timestamp < @until and exists (select 1 from {rows} as copied "
            f"where {self._in_month('copied')} and copied.broken_rule is null "
            "and copied.wallet_address = stored.wallet_address and copied.tx_hash = stored.tx_hash "
            "and copied.order_hash = stored.order_hash)",
            since=since,
            until=until,
            **self._month(done.slice),
        )
        return int(count)

    def _in_month(self, alias: str) -> str:
        return f"{super()._in_month(alias)} and {alias}.month_begins = @month_begins"

    def _month(self, month: str) -> dict[str, Any]:
        return {**super()._month(month), "month_begins": datetime.fromisoformat(f"{month}-01T00:00:00+00:00")}

    def _day_layout(self) -> str:
        return " partition by timestamp_trunc(timestamp, day) cluster by wallet_address, condition_id"

    def save_staging(self, staging: Staging, migration_id: str) -> str:
        """See Migrating. A snapshot: it costs nothing until the table is gone, and cannot be changed."""
        self._create_schema(self._schemas.migration)
        name = re.sub(r"\W", "_", f"{staging.name}_{migration_id}")
        saved = f"{self._schemas.migration}.{name}"
        address = self._quoted(*saved.split("."))
        if self.jobs.table(*saved.split(".")) is not None:
            self._execute("drop_snapshot", f"drop snapshot table {address}")
        self._execute("save_staging", f"create snapshot table {address} clone {staging.relation}")
        failpoints.passing("staging.saved")
        return saved

    def drop_staging(self, staging: Staging, checks: Sequence[tuple[str, State]], done: Step) -> bool:
        """See Migrating. One script: the table is looked at and dropped in the same job.

        Recorded before, so that a run that dies in between leaves the name of the copy, from which `rollback` restores.
        """
        self.record_step(done)
        failpoints.passing("drop.recorded")
        conditions = " and ".join(
            f"(select format('%d %s %s', row_count, sum_1, sum_2) from ({sql}) as state_now) = "
            f"'{wanted.rows} {wanted.sum_1} {wanted.sum_2}'"
            for sql, wanted in checks
        )
        self._execute("drop_staging", f"if {conditions} then drop table {staging.relation}; end if")
        if self.jobs.table(*staging.name.split(".")) is not None:
            self.record_step(replace(done, step="restored", recorded_at=datetime.now(UTC)))
            return False
        failpoints.passing("staging.dropped")
        return True

    def restore_staging(self, name: str, saved: str) -> int:
        """See Migrating."""
        if self.jobs.table(*saved.split(".")) is None:
            raise Failed(f"The copy {saved} of {name} is not there any more, so {name} cannot be restored from it.")
        address = self._quoted(*name.split("."))
        if self.jobs.table(*name.split(".")) is None:
            self._execute("restore_staging", f"create table {address} clone {self._quoted(*saved.split('.'))}")
        ((rows,),) = self._query("count_restored", f"select count(*) from {address}")
        return int(rows)

    def statement_bytes(self, statements: Mapping[str, str]) -> dict[str, int] | None:
        """See Migrating. A copy reads the staging table once, and production once to know what stands there."""
        return {
            "staging": self.jobs.dry_run("price_staging", statements["staging_state"], {}),
            **({"production": self._price_of_production(statements)} if self.has_production() else {}),
        }

    def _price_of_production(self, statements: Mapping[str, str]) -> int:
        return self.jobs.dry_run("price_production", statements["migration_before"], {})
