"""Does looking at it cost more when `trades` is fifty times as large?

    .venv/bin/python bench/status.py [--rows 1000000 50000000] [--rounds 7]

Makes one DuckDB file for each size: an empty build, then a history of 500 days and 1,126 followed wallets written
straight into `trades`, then the monitoring models as a nightly build makes them. Reported are the seconds of one look
(`polytrades status` without the start of Python) and of the whole command, in turns, by the clock and of the processor
(what else the machine does changes these less), and beside them the one thing that reads every row by design, the check
of all keys. Prints medians and ratios and writes bench/results/status.json.
"""

import argparse
import json
import os
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
BIN = Path(sys.executable).parent
WALLETS = 1126
MODELS = ("mon_daily_fills", "mon_wallets", "mon_coverage_holes", "mon_duplicate_keys")

HISTORY = f"""
insert into main.trades (id, wallet_address, timestamp, side, price, shares_normalized, token_id, tx_hash, order_hash,
    shares_raw, usdc_raw, is_taker_leg, key_quality, source, content_hash)
select
    order_hash, '0x' || lpad(to_hex(i % {WALLETS}), 40, '0'),
    now() - to_microseconds(cast((? - i) * 500 * 86400000000.0 / ? as bigint)), 'BUY', 0.5, 2.0,
    cast(i % 5000 as varchar),
    '0x' || lpad(to_hex(i), 64, '0'), order_hash, 2000000, 1000000, true, 'exact', 'dome', ''
from (select range as i, '0x' || lpad(to_hex(range), 64, 'a') as order_hash from range(?))
"""


class Warehouse:
    """A DuckDB file with so many fills."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        self.folder = folder / str(rows)
        self.folder.mkdir(parents=True)
        shutil.copyfile(ROOT / "profiles.example.yml", self.folder / "profiles.yml")
        self.environment = os.environ | {
            "POLYTRADES_DUCKDB_PATH": str(self.folder / "polytrades.duckdb"),
            "DBT_TARGET_PATH": str(self.folder / "target"),
        }
        self.dbt("build", "--exclude-resource-type", "unit_test", "test")
        with duckdb.connect(self.environment["POLYTRADES_DUCKDB_PATH"]) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(HISTORY, [rows, rows, rows])
            connection.execute(
                "insert into main.traders by name select wallet_address, true as is_followed, "
                "min(timestamp) as first_fill_at, max(timestamp) as last_fill_at from main.trades group by 1, 2"
            )
            connection.execute("drop table monitoring.mon_daily_fills")  # what is made anew counts the last 60 days
            followed = "select distinct wallet_address from main.trades"
            connection.execute(
                "insert into state.followed_wallets (wallet_address, followed_from, origin) "
                f"select wallet_address, now(), 'file' from ({followed})"
            )
            for table, columns in (("checkpoints", "fetched_until"), ("coverage", "window_end, status")):
                values = "now()" if table == "checkpoints" else "now(), 'complete'"
                connection.execute(
                    f"insert into state.{table} (source, wallet_address, recorded_at, {columns}) "
                    f"select 'dome', wallet_address, now(), {values} from ({followed})"
                )
        self.dbt("run", "-s", "mon_daily_fills")
        self.seconds = self.dbt("run", "-s", *MODELS)

    def dbt(self, *arguments: str) -> dict[str, float]:
        """Runs dbt; gives the seconds of each node."""
        places = ["--project-dir", str(ROOT), "--profiles-dir", str(self.folder), "--log-path", str(self.folder)]
        subprocess.run([BIN / "dbt", "--quiet", *arguments, *places], env=self.environment, check=True)
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        return {each["unique_id"].split(".")[2]: each["execution_time"] for each in results}

    def command(self) -> tuple[float, float]:
        """Seconds of `polytrades status`: by the clock, of the processor."""
        began, used = time.perf_counter(), os.times()
        done = subprocess.run([BIN / "polytrades", "status", "--json"], env=self.environment, capture_output=True)
        seconds, now = time.perf_counter() - began, os.times()
        if json.loads(done.stdout)["totals"]["fills"] != self.rows:
            sys.exit(f"status does not see all fills: {done.stdout!r}")
        spent = now.children_user - used.children_user + now.children_system - used.children_system
        return seconds, spent

    def look(self) -> tuple[float, float]:
        """Seconds of the look alone: by the clock, of the processor."""
        os.environ |= {"POLYTRADES_DUCKDB_PATH": self.environment["POLYTRADES_DUCKDB_PATH"]}
        from runner import settings
        from runner.monitor import status
        from runner.warehouse.connect import connect

        chosen = settings.load()
        began, used = time.perf_counter(), time.process_time()
        status.look(chosen, connect(chosen))
        return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 50_000_000])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = []
        for rows in options.rows:
            print(f"making {rows:,} fills …", flush=True)
            made.append(Warehouse(Path(temporary), rows))
        times: dict[str, dict[int, list[float]]] = {}
        for turn in range(options.rounds + 1):
            for warehouse in made if turn % 2 else made[::-1]:
                for name, took in (("look", warehouse.look()), ("command", warehouse.command())):
                    for kind, seconds in zip((name, f"{name}, processor"), took, strict=True):
                        if turn:  # the first of all imports and reads from the disk
                            times.setdefault(kind, {}).setdefault(warehouse.rows, []).append(seconds)
        medians = {name: {rows: statistics.median(took) for rows, took in by.items()} for name, by in times.items()}
        for name in MODELS:
            medians[name] = {warehouse.rows: warehouse.seconds[name] for warehouse in made}
    small, large = min(options.rows), max(options.rows)
    ratios = {name: round(by[large] / by[small], 2) for name, by in medians.items()}
    for name, by in medians.items():
        print(f"{name:<22}" + "".join(f"{by[rows]:>12.3f} s" for rows in options.rows) + f"{ratios[name]:>10.2f} x")
    write("status", {"rows": options.rows, "seconds": medians, "ratio_large_to_small": ratios})


if __name__ == "__main__":
    main()
