"""Does a night's merge cost more when `trades` is ten times as large?

    .venv/bin/python bench/merge_growth.py [--rows 1000000 10000000] [--rounds 5] [--night 15000] [--keep DIR]

Makes one warehouse for each size with a history of 500 days, lands the same night in each (half of its records are in
`trades` already), and runs dbt on them in turns. Reported are the seconds of the nodes that read or write `trades`:
`int_trades_stored` (what is stored of the night's transactions) and `trades` (the merge), from dbt's own run_results.
Beside them the same merge without its window of days, on a copy: what the window is worth. The whole-table key test is
reported apart: it reads every key, by design. Prints medians and ratios and writes bench/results/merge_growth.json.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from results import write

ROOT = Path(__file__).resolve().parent.parent
DBT = Path(sys.executable).parent / "dbt"
DAYS = 500
NODES = ("int_trades_stored", "trades", "mon_duplicate_keys")

# A fill as a function of its number i: the same i is the same fill, in history and in a night.
FILL = """
    '0x' || lpad(to_hex(i % 1100), 40, '0') as wallet_address,
    '0x' || md5('t' || i) || md5('u' || i) as tx_hash,
    '0x' || md5('o' || (i // 3)) || md5('p' || (i // 3)) as order_hash,
    timestamptz '2025-01-01 00:00:00+00' + to_microseconds(cast(i * {step} as bigint)) as traded_at,
    case when i % 3 = 0 then 'SELL' else 'BUY' end as side,
    cast(hash(i % 5000) as varchar) as token_id,
    (i % 997 + 1) / 1000.0 as price,
    1000000 + i % 90000000 as shares_raw
"""


class Warehouse:
    """A DuckDB file with `rows` fills in `trades`, and dbt on it."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        self.folder = folder / str(rows)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "profiles.example.yml", self.folder / "profiles.yml")
        self.file = self.folder / "polytrades.duckdb"
        self.step = DAYS * 86_400_000_000 // rows
        self.nights = 0

    def dbt(self, *arguments: str) -> dict[str, float]:
        """Runs dbt; gives the seconds of each node."""
        places = ["--project-dir", str(ROOT), "--profiles-dir", str(self.folder)]
        places += ["--target-path", str(self.folder / "target"), "--log-path", str(self.folder / "logs")]
        environment = {**os.environ, "POLYTRADES_DUCKDB_PATH": str(self.file)}
        done = subprocess.run(
            [str(DBT), *arguments, *places], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"dbt failed on {self.rows} rows:\n{done.stdout}")
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        return {result["unique_id"].split(".")[2]: result["execution_time"] for result in results}

    def make_history(self) -> None:
        """Fills `trades` in order of time, as nights would have."""
        self.dbt("build", "--exclude-resource-type", "unit_test")
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("set preserve_insertion_order = true")
            connection.execute(
                f"""
                insert into trades by name
                select
                    order_hash as id, wallet_address, traded_at as timestamp, side, price, token_id, tx_hash,
                    order_hash, shares_raw / 1e6 as shares_normalized, shares_raw,
                    cast(round(price * shares_raw) as bigint) as usdc_raw, 'exact' as key_quality, 'dome' as source,
                    md5('c' || i) || md5('d' || i) as content_hash
                from (select i, {FILL.format(step=self.step)} from range({self.rows}) as numbers(i))
                """
            )

    def land_night(self, night: int, count: int) -> None:
        """Lands `count` records of the last day: half are stored already, half are new."""
        batch = f"night-{night}"
        first = self.rows - count // 2
        with duckdb.connect(str(self.file)) as connection:
            connection.execute(
                f"""
                insert into landing.trades by name
                select *, shares_raw / 1e6 as shares_normalized, 'dome' as source, '{batch}' as batch_id,
                    now() as landed_at, current_date as landed_on
                from (
                    select {FILL.format(step=self.step)}
                    from (
                        select case when n < {count // 2} then {first} + n else {self.rows + night * count} + n end as i
                        from range({count}) as numbers(n)
                    )
                )
                """
            )
            connection.execute(
                "insert into landing.batches values (?, 'trades', 'dome', ?, 'bench', now(), current_date)",
                [batch, count],
            )

    def build_night(self) -> dict[str, float]:
        """Merges what is pending; gives the seconds of the nodes of interest."""
        seconds = self.dbt("build", "--exclude-resource-type", "unit_test")
        return {node: seconds[node] for node in NODES}

    def bare_merge(self, windowed: bool) -> float:
        """Seconds of the merge that dbt sent last, again on the same rows, with or without its window of days."""
        merge = next((self.folder / "target" / "run").rglob("trades.sql")).read_text()
        select = next((self.folder / "target" / "compiled").rglob("marts/trades.sql")).read_text()
        source = re.search(r"from (\S+) as batch", merge)
        if source is None:
            sys.exit("the merge that dbt sent was not found")
        # Nobody has the lease any more.
        merge = re.sub(
            r"case\s+when \(select lease\.run_id.*?end(?=\s+\) as DBT_INTERNAL_SOURCE)", "true", merge, flags=re.DOTALL
        )
        select = re.sub(r"case\s+when \(select lease\.run_id.*?\bend\b", "true", select, flags=re.DOTALL)
        if not windowed:
            merge = re.sub(r"\(DBT_INTERNAL_DEST\.timestamp >= [^)]+\)", "true", merge)
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(f"create temp table {source[1]} as ({select})")
            began = time.perf_counter()
            connection.execute(merge)
            return time.perf_counter() - began


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--night", type=int, default=15_000)
    parser.add_argument("--keep", type=Path, help="make the warehouses here and leave them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        measure(folder, options.rows, options.rounds, options.night)


def measure(folder: Path, sizes: list[int], rounds: int, night: int) -> None:
    """Runs the nights in turns."""
    warehouses = [Warehouse(folder, rows) for rows in sizes]
    for warehouse in warehouses:
        print(f"making a history of {warehouse.rows:,} fills …", flush=True)
        warehouse.make_history()
    names = (*NODES, "merge alone", "merge alone, no window")
    seconds: dict[int, dict[str, list[float]]] = {rows: {name: [] for name in names} for rows in sizes}
    for number in range(rounds + 1):
        for warehouse in warehouses:
            warehouse.land_night(number, night)
            found = warehouse.build_night()
            found["merge alone"] = warehouse.bare_merge(windowed=True)
            found["merge alone, no window"] = warehouse.bare_merge(windowed=False)
            # The first night of each warms up what the following ones find warm.
            if number:
                for name, value in found.items():
                    seconds[warehouse.rows][name].append(value)
    medians = {rows: {name: statistics.median(times) for name, times in by.items()} for rows, by in seconds.items()}
    small, large = min(sizes), max(sizes)
    print(f"\na night of {night:,} records, median of {rounds}; seconds")
    print(f"{'':<26}" + "".join(f"{rows:>14,}" for rows in sizes) + f"{'ratio':>10}")
    for name in names:
        print(
            f"{name:<26}"
            + "".join(f"{medians[rows][name]:>14.3f}" for rows in sizes)
            + f"{medians[large][name] / medians[small][name]:>10.2f}"
        )
    write(
        "merge_growth",
        {
            "night": night,
            "rounds": rounds,
            "rows": sizes,
            "ratio_large_to_small": {name: round(medians[large][name] / medians[small][name], 2) for name in names},
            "seconds": {str(rows): {name: round(value, 4) for name, value in medians[rows].items()} for rows in sizes},
        },
    )


if __name__ == "__main__":
    main()
