"""Promise: BigQuery's public table of logs is read as a node's answers are: the same fills, the same logs refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from runner import dbt
from runner.landing.logs import Logs
from runner_tests.bigquery.public_table import FILL_COLUMNS, as_table, fills, read, real_logs, some_log
from runner_tests.support import Home, opened

EXACT_DOUBLES = 2**53


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Logs, duckdb.DuckDBPyConnection, str]:
    """Logs, real ones and others, read here; the same in a table, and the statement that reads it."""
    home = Home(tmp_path_factory.mktemp("public"))
    chance = random.Random(7)
    logs = [*real_logs(data), *(some_log(chance) for _ in range(5_000))]
    pq.write_table(as_table(logs), home.folder / "logs.parquet")
    home.dbt("seed", "-s", "exchange_contracts")
    with opened(home) as (_, chosen):
        job = dbt.Job("test", "test")
        statements = dbt.compiled(chosen, job, "public_logs", {"POLYTRADES_WORK": str(home.folder)})
    body = statements["public_fills"].partition(
        "\nselect\n    wallet_address,\n    tx_hash,\n    order_hash,\n    rec"
    )[0]
    connection = duckdb.connect(str(home.duckdb_file))
    return read(logs), connection, body


def test_the_fills_are_those_that_a_node_gives(
    decoded: tuple[Logs, duckdb.DuckDBPyConnection, str],
) -> None:
    expected, connection, body = decoded
    names = ", ".join(FILL_COLUMNS)
    found = set(
        connection.sql(
            f"{body} select {names}, cast(epoch(traded_at) as bigint) from fills where broken_rule is null"
        ).fetchall()
    )
    # Beyond 2^53 a double of a quotient is the nearest here, and may be its neighbour there.
    doubles = [FILL_COLUMNS.index(name) for name in ("price", "shares_normalized")]
    shares = FILL_COLUMNS.index("shares_raw")

    def told(rows: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        return {
            tuple(
                None if place in doubles and row[shares] > EXACT_DOUBLES else value for place, value in enumerate(row)
            )
            for row in rows
        }

    assert len(found) > 1_000
    assert told(found) == told(fills(expected))


def test_a_log_that_breaks_a_rule_is_refused_by_the_same_rule_and_its_text_is_one_of_a_node(
    decoded: tuple[Logs, duckdb.DuckDBPyConnection, str],
) -> None:
    expected, connection, body = decoded
    found = connection.sql(f"{body} select broken_rule, record from fills where broken_rule is not null").fetchall()
    assert len(found) > 1_000
    names = ("address", "topics", "data", "blockNumber", "transactionHash", "logIndex")

    def told(rule: str, text: str | bytes) -> str:
        log = json.loads(text)
        return repr((rule, [log[name] for name in names]))

    assert sorted(told(*row) for row in found) == sorted(told(log.rule.reason, log.raw) for log in expected.broken)
