"""BigQuery's public table of logs: filled here, and what may stand in it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from runner import project
from runner.landing.logs import LogReader, Logs
from runner.sources.exchanges import known_exchanges

if TYPE_CHECKING:  # models are tested without Google's client too
    from runner_tests.bigquery.running import Emulator

EXCHANGES = list(known_exchanges().values())
COLUMNS = {
    "address": "string",
    "topics": "array<string>",
    "data": "string",
    "block_number": "int64",
    "block_timestamp": "timestamp",
    "transaction_hash": "string",
    "log_index": "int64",
}
FILL_COLUMNS = (
    "wallet_address", "tx_hash", "order_hash", "side", "token_id", "price", "shares_normalized", "shares_raw",
    "usdc_raw", "taker", "log_index", "block_number", "contract_address", "is_removed", "fee_raw", "fee_unit",
    "extra_fields",
)  # fmt: skip
AROUND = 660
"""Seconds before and after a window of ten minutes that the table has too."""


def public_table() -> str:
    """Its name, with project and dataset."""
    place = project.variables()["public_logs"]
    return f"{place['project']}.{place['dataset']}.logs"


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
    return set(zip(*(logs.columns[name].to_pylist() for name in FILL_COLUMNS), logs.seconds.to_pylist(), strict=True))


def some_log(chance: random.Random) -> dict[str, Any]:
    """A log of any exchange, whose words are at their limits more often than not, and are now and then broken."""
    exchange = chance.choice(EXCHANGES)
    buys = chance.random() < 0.5
    token = chance.choice([1, 2**256 - 1, 10 ** chance.randrange(77), chance.getrandbits(chance.randrange(1, 257)) | 1])
    shares = chance.choice([0, 2**63 - 1, 2**63, 2**64 - 1, chance.getrandbits(53), chance.randrange(1, 10**9)])
    usdc = chance.choice([0, shares, shares + 1, chance.randrange(shares + 1)])
    amounts = [*((usdc, shares) if buys else (shares, usdc)), chance.choice([0, 2**63, chance.getrandbits(40)])]
    words = [0 if buys else token, token if buys else 0, *amounts]
    if exchange.version > 1:
        words = [int(not buys), token, *amounts, chance.choice([0, token]), chance.choice([0, 2**256 - 1])]
    if chance.random() < 0.05:
        words[0] = chance.choice([0, 2, token])
    data = "0x" + "".join(f"{word:064x}" for word in words)
    if chance.random() < 0.05:
        data = chance.choice([data[:-2], data[:-1] + "g", data + "00" * 32, data[2:], "0x"])
    topics = [exchange.topic, *(f"0x{chance.getrandbits(bits):064x}" for bits in (256, 160, 160))]
    if chance.random() < 0.05:
        topics[chance.randrange(1, 4)] = f"0x{chance.getrandbits(256):064x}"
    return {
        "address": exchange.address,
        "topics": topics[: chance.choice([4] * 20 + [3])],
        "data": data,
        "blockNumber": hex(chance.getrandbits(27)),
        "transactionHash": f"0x{chance.getrandbits(256):064x}",
        "logIndex": hex(chance.getrandbits(12)),
        "blockTimestamp": hex(1_767_000_000 + chance.getrandbits(20)),
    }


def as_table(logs: list[dict[str, Any]]) -> pa.Table:
    """Logs in the columns of the public table."""
    times = [datetime.fromtimestamp(int(log["blockTimestamp"], 16), UTC) for log in logs]
    return pa.table(
        {
            "address": [log["address"] for log in logs],
            "topics": [log["topics"] for log in logs],
            "data": [log["data"] for log in logs],
            "block_number": [int(log["blockNumber"], 16) for log in logs],
            "block_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            "transaction_hash": [log["transactionHash"] for log in logs],
            "log_index": [int(log["logIndex"], 16) for log in logs],
        }
    )


def placed(logs: list[dict[str, Any]], begins: int, first_block: int) -> list[dict[str, Any]]:
    """The logs as they are, one in each third block of the window: receipts do not say where they stood."""
    return [
        {**log, "blockNumber": hex(first_block + 3 * place), "blockTimestamp": hex(begins + 6 * place)}
        for place, log in enumerate(logs)
    ]


def of_fees(begins: int, first_block: int, without: int | None = None) -> list[dict[str, Any]]:
    """A log of somebody else in each block of the window and around it, two seconds apart, but for one block."""
    numbers = range(-AROUND // 2, (600 + AROUND) // 2)
    return [
        {
            "address": "0x" + "0" * 36 + "1010",
            "topics": ["0x" + "4" * 64],
            "data": "0x",
            "blockNumber": hex(first_block + number),
            "transactionHash": "0x" + "5" * 64,
            "logIndex": "0x0",
            "blockTimestamp": hex(begins + 2 * number),
        }
        for number in numbers
        if number != without
    ]


def publish(emulator: Emulator, logs: list[dict[str, Any]], folder: Path) -> None:
    """The public table has these logs and no others."""
    from google.cloud import bigquery

    address = public_table()
    client = emulator.client(address.partition(".")[0])
    client.create_dataset(address.split(".")[1], exists_ok=True)
    client.query_and_wait(
        f"create or replace table `{address}` ({', '.join(map(' '.join, COLUMNS.items()))}) "
        "partition by timestamp_trunc(block_timestamp, month) cluster by block_timestamp"
    )
    file = folder / "public.parquet"
    pq.write_table(as_table(logs), file)
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND", parquet_options=options)
    with file.open("rb") as content:
        client.load_table_from_file(content, address, job_config=config).result()
