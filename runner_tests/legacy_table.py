"""A home with an old staging table and a production that has a part of it, and what must come of a migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from bench.legacy import Shape, known_answer, overlap, production, staging, truth
from runner_tests.support import Home

STAGING = "old.trades_staging"
VALUES = (
    "wallet_address, tx_hash, timestamp, side, price, shares_normalized, shares_raw, usdc_raw, token_label, token_id, "
    "condition_id"
)
_TYPES = {"VARCHAR": "STRING", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "DOUBLE": "FLOAT64", "BIGINT": "INT64"}
"""Of DuckDB and of BigQuery."""


class LegacyTable:
    """The files of a staging table, its winners, and production before; `shape` says how many rows each has."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.shape = shape
        self._folder = folder
        with self._connected() as connection:
            for name, sql in (
                ("staging", staging(shape)),
                ("truth", truth(shape)),
                (
                    "production",
                    f"select * exclude (i), 'exact' as key_quality, 'dome' as source "
                    f"from ({production(shape, overlap(connection, shape))})",
                ),
            ):
                connection.execute(f"copy ({sql}) to '{self.file(name)}' (format parquet)")
            self.answer = known_answer(connection, shape)

    def file(self, name: str) -> Path:
        """`staging`, `truth` or `production`."""
        return self._folder / f"{name}.parquet"

    def put_into(self, home: Home) -> None:
        """Makes the staging table, and production after an empty build."""
        home.dbt("build", "--exclude-resource-type", "unit_test", "test")
        self.load(home, "staging", STAGING)
        self.load(home, "production", "old.production")
        columns = ", ".join(self._columns("production"))
        home.query(f"insert into main.trades ({columns}) select {columns} from old.production")

    def put_disorder_into(self, home: Home) -> None:
        """Makes a production table whose order hashes are NULL or in capital letters, each fill up to 99 times."""
        with self._connected() as connection:
            connection.execute(
                f"""copy (
                    select *, case when hash(id) % 2 = 0 and length(id) = 66 and lower(id) <> lower(tx_hash) then id end
                    as order_hash, cast(null as varchar) as taker, cast(null as varchar) as market_slug,
                    cast(null as varchar) as title from '{self.file("staging")}'
                ) to '{self.file("disorder")}' (format parquet)"""
            )
        self.load(home, "disorder", "main.trades")

    def load(self, home: Home, name: str, table: str) -> None:
        """Makes a table of one of the files, as a user would: DuckDB from the file, BigQuery by a load job."""
        schema, _, short = table.partition(".")
        if home.target == "duckdb":
            home.query(f"create schema if not exists {schema}")
            home.query(f"create table {table} as from '{self.file(name)}'")
            return
        from google.cloud import bigquery

        dataset = "polytrades" if schema == "main" else schema
        home.bigquery.create_dataset(dataset, exists_ok=True)
        # Created first: of a table that a load has made the emulator says at each look that it was changed just now.
        fields = [bigquery.SchemaField(column, _TYPES[kind]) for column, kind in self._columns(name).items()]
        address = f"{home.project}.{dataset}.{short}"
        made = bigquery.Table(address, fields)
        if schema == "main":
            made.time_partitioning = bigquery.TimePartitioning(field="timestamp")
        home.bigquery.create_table(made)
        with self.file(name).open("rb") as file:
            config = bigquery.LoadJobConfig(source_format="PARQUET")
            home.bigquery.load_table_from_file(file, address, job_config=config).result()

    def expected(self) -> list[tuple[Any, ...]]:
        """What production must hold: its own rows as they were, and the winners of all other keys."""
        with self._connected() as connection:
            return connection.execute(
                f"""
                with stored as (from '{self.file("production")}'),
                winners as (from '{self.file("truth")}')
                select {VALUES}, order_hash from stored
                union all
                select {VALUES}, order_hash from winners
                where not exists (
                    select 1 from stored
                    where stored.tx_hash = winners.tx_hash and stored.order_hash = winners.order_hash
                )
                """
            ).fetchall()

    def winners(self) -> list[tuple[Any, ...]]:
        """The winners of all keys."""
        with self._connected() as connection:
            return connection.execute(f"select {VALUES}, order_hash from '{self.file('truth')}'").fetchall()

    def _columns(self, name: str) -> dict[str, str]:
        with self._connected() as connection:
            described = connection.execute(f"describe select * from '{self.file(name)}'").fetchall()
        return {column: kind for column, kind, *_ in described}

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute("set TimeZone = 'UTC'")
        return connection


def stored(home: Home) -> list[tuple[Any, ...]]:
    """The same of a home; of a stand-in no order hash."""
    return home.query(
        f"select {VALUES}, case when order_hash like '0x%' then order_hash end as order_hash from main.trades"
    )
