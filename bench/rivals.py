"""Other ways from the order API to merged rows in DuckDB, for bench/ingest.py. Runs in an environment of its own.

    .venv/bench/bin/python bench/rivals.py {plain,sequential,dlt} URL WALLETS DUCKDB

Each fetches every fill of the wallets and merges on wallet, transaction and order; none of them checks a record, keeps
a bad one, can go on after a crash, or knows what it has fetched. Prints rows, seconds (from the first request to the
last commit) and CPU seconds as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

IN_FLIGHT = 20
KEY = ("user", "tx_hash", "order_hash")


def wallets_in(file: str) -> list[str]:
    """The addresses below the header."""
    return Path(file).read_text().split()[1:]


async def pages(url: str, wallets: list[str]) -> AsyncIterator[list[dict[str, object]]]:
    """Pages of orders, several wallets at a time."""
    import aiohttp
    import msgspec

    queue: asyncio.Queue[list[dict[str, object]] | None] = asyncio.Queue(IN_FLIGHT)
    waiting = iter(wallets)

    async def work(session: aiohttp.ClientSession) -> None:
        for wallet in waiting:
            query = {"user": wallet, "limit": "1000"}
            while True:
                async with session.get(url + "/polymarket/orders", params=query) as response:
                    page = msgspec.json.decode(await response.read())
                await queue.put(page["orders"])
                if not page["pagination"]["has_more"]:
                    break
                query["pagination_key"] = page["pagination"]["pagination_key"]
        await queue.put(None)

    async with aiohttp.ClientSession() as session:
        workers = [asyncio.create_task(work(session)) for _ in range(IN_FLIGHT)]
        left = len(workers)
        while left:
            page = await queue.get()
            if page is None:
                left -= 1
            else:
                yield page


def plain(url: str, wallets: list[str], file: str) -> int:
    """The least code that is fast: fetch at once, Arrow in memory, one insert of what is not there."""
    import duckdb
    import pyarrow as pa

    async def run() -> list[pa.Table]:
        return [pa.Table.from_pylist(page) async for page in pages(url, wallets)]

    fetched = pa.concat_tables(asyncio.run(run()), promote_options="permissive")
    with duckdb.connect(file) as connection:
        connection.execute("create table if not exists trades as select * from fetched limit 0")
        keys = ", ".join(KEY)
        joined = " and ".join(f"known.{name} = fetched.{name}" for name in KEY)
        connection.execute(
            f"insert into trades select * from (select * from fetched where not exists "
            f"(select 1 from trades as known where {joined})) "
            f"qualify row_number() over (partition by {keys} order by timestamp) = 1"
        )
    return int(fetched.num_rows)


def sequential(url: str, wallets: list[str], file: str) -> int:
    """What most people write first: a loop over wallets and pages, an upsert a page."""
    import duckdb
    import pyarrow as pa
    import requests

    count = 0
    session = requests.Session()
    with duckdb.connect(file) as connection:
        for wallet in wallets:
            query = {"user": wallet, "limit": "1000"}
            while True:
                page = session.get(url + "/polymarket/orders", params=query).json()
                if page["orders"]:
                    fetched = pa.Table.from_pylist(page["orders"])
                    names = ", ".join(fetched.column_names)
                    connection.execute("create table if not exists trades as select * from fetched limit 0")
                    joined = " and ".join(f"known.{name} = fetched.{name}" for name in KEY)
                    connection.execute(
                        f"insert into trades ({names}) select {names} from fetched where not exists "
                        f"(select 1 from trades as known where {joined})"
                    )
                    count += len(page["orders"])
                if not page["pagination"]["has_more"]:
                    break
                query["pagination_key"] = page["pagination"]["pagination_key"]
    return count


def with_dlt(url: str, wallets: list[str], file: str) -> int:
    """The loader that most people would take, as fast as it goes: pages fetched at once and handed over as Arrow.

    With DLT_HANDS_OVER=dicts as its own REST source does: each record a dict, which dlt types and writes itself.
    """
    os.environ |= {
        "RUNTIME__LOG_LEVEL": "ERROR",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "NORMALIZE__WORKERS": "1",
        "LOAD__WORKERS": "2",
        "DATA_WRITER__BUFFER_MAX_ITEMS": "100000",
        "DATA_WRITER__DISABLE_COMPRESSION": "true",
        # A page whose sizes are all whole has them as integers.
        "DATA_WRITER__ARROW_CONCAT_PROMOTE_OPTIONS": "permissive",
    }
    import dlt  # type: ignore[import-not-found,unused-ignore]
    import pyarrow as pa

    count = 0
    as_dicts = os.environ.get("DLT_HANDS_OVER") == "dicts"

    @dlt.resource(  # type: ignore[untyped-decorator,unused-ignore]
        name="trades",
        primary_key=list(KEY),
        write_disposition={"disposition": "merge", "strategy": os.environ.get("DLT_STRATEGY", "upsert")},
    )
    async def trades() -> AsyncIterator[object]:
        nonlocal count
        async for page in pages(url, wallets):
            if page:
                count += len(page)
                yield page if as_dicts else pa.Table.from_pylist(page)

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(Path(file).parent / "dlt"),
        destination=dlt.destinations.duckdb(file),
        dataset_name="main_data",
    )
    pipeline.run(trades(), loader_file_format="parquet")
    return count


CONTENDERS: dict[str, Callable[[str, list[str], str], int]] = {
    "plain": plain,
    "sequential": sequential,
    "dlt": with_dlt,
}


def main() -> None:
    """Runs one of them."""
    name, url, wallets, file = sys.argv[1:]
    listed = wallets_in(wallets)
    began, cpu = time.perf_counter(), time.process_time()
    count = CONTENDERS[name](url, listed, file)
    print(json.dumps({"rows": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
