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
from runner.landing.logs import LogReader, Logs
from runner.sources.exchanges import known_exchanges
from runner_tests.bigquery.public_table import as_table, some_log
from runner_tests.support import Home, opened

COLUMNS = (
    "wallet_address", "tx_hash", "order_hash", "side", "token_id", "price", "shares_normalized", "shares_raw",
    "usdc_raw", "taker", "log_index", "block_number", "contract_address", "is_removed", "fee_raw", "fee_unit",
    "extra_fields",
)  # fmt: skip
EXACT_DOUBLES = 2**53


def real_logs(data: Path) -> list[dict[str, Any]]:
    """All fills in the recorded logs and receipts, the latter by their place in it."""
    found = [json.loads((data / "onchain" / "v1_log_order_filled_0x31d5dc.json").read_bytes())]
    found += json.loads((data / "onchain" / "v2_logs_one_tx_mint_0xc88f7c.json").read_bytes())
    topics = {exchange.topic for exchange in known_exchanges().values()}
    for number, name in enumerate(("v2_receipt_logs_buy_0x818b33", "v2_receipt_logs_sweep_0xfa65d9"), start=1):
        for place, log in enumerate(json.loads((data / "onchain" / f"{name}.json").read_bytes())["logs"]):
            if log["topics"][0] in topics:
                found.append(
                    {**log, "blockNumber": "0x64", "transactionHash": f"0x{number:064x}", "logIndex": hex(place)}
                )
    return [{"blockTimestamp": "0x695e9f3d", **log} for log in found]


def read(logs: list[dict[str, Any]]) -> Logs:
    """What the runner reads of a node's answer."""
    return LogReader(known_exchanges()).read(json.dumps(logs).encode(), (), 0, 10**9)


def fills(logs: Logs) -> set[tuple[Any, ...]]:
    """Its fills with their times."""
    return set(zip(*(logs.columns[name].to_pylist() for name in COLUMNS), logs.seconds.to_pylist(), strict=True))


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
    names = ", ".join(COLUMNS)
    found = set(
        connection.sql(
            f"{body} select {names}, cast(epoch(traded_at) as bigint) from fills where broken_rule is null"
        ).fetchall()
    )
    # Beyond 2^53 a double of a quotient is the nearest here, and may be its neighbour there.
    doubles = [COLUMNS.index(name) for name in ("price", "shares_normalized")]
    shares = COLUMNS.index("shares_raw")

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
