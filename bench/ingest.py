"""How fast do fills come from HTTP to merged rows, beside other ways; and where does the time of a night go?

    .venv/bin/python bench/ingest.py [--fills 200000] [--wallets 200] [--rounds 3] [--memory 1000000 5000000]
                                     [--nights] [--no-rivals]

One simulator serves everybody on this machine, every page made before. In each round everybody starts from nothing,
one after the other: polytrades (fetch and land, then dbt's models from the ledger to the marts, from the start of the
first one until dbt has closed the file and is gone, without dbt's start and without the monitor's), and the programs of
rivals.py.
Then, in this process, the stages of one page apart.
`--memory` fetches and lands that many fills and reports the peak of the process. `--nights` runs the whole command for
1,126 wallets, with 14,437 and 460,000 new fills, at 50 ms latency. Writes bench/results/ingest.json.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results import write

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
RIVALS = ROOT / ".venv" / "bench" / "bin" / "python"
MODELS = ("pending_batches+", "--exclude", "int_markets_latest+", "int_events_latest+", "path:models/monitoring")
NAMES = ("plain", "sequential", "dlt", "dlt delete-insert", "dlt dicts")


@contextmanager
def upstream(folder: Path, wallets: int, fills: int, *options: str) -> Iterator[tuple[str, Path]]:
    """A simulator; gives its URL and the file of its wallets."""
    file = folder / f"wallets-{wallets}-{fills}.csv"
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--port",
        "0",
        "--json",
        "--wallets",
        str(wallets),
        "--fills",
        str(fills),
    ]
    command += ["--prerender", "--no-compression", "--write-wallets", str(file), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else "{}"
            yield json.loads(ready)["url"], file
        finally:
            process.terminate()


def environment(folder: Path, url: str, **more: str) -> dict[str, str]:
    """A home of its own, behind `url`, not held back by a rate limit."""
    return {
        **os.environ,
        "HOME": str(folder),
        "POLYTRADES_DUCKDB_PATH": str(folder / "polytrades.duckdb"),
        "POLYTRADES_DOME_BASE_URL": url,
        "POLYTRADES_GAMMA_BASE_URL": url,
        "POLYTRADES_REQUESTS_PER_SECOND": "100000",
        "DBT_TARGET_PATH": str(folder / "target"),
        **more,
    }


def fetch_and_land(url: str, wallets: str) -> None:
    """What `--one` does, in a process of its own: everything of the wallets into landing. Prints what it took."""
    from runner import settings as runner_settings
    from runner.engine.fetch import Task
    from runner.engine.order_api import OrderApi
    from runner.engine.run import intake_for
    from runner.sources import orders
    from runner.warehouse.connect import connect
    from runner.windows import Window, utc_now

    class Silent:
        def note(self, text: str) -> None: ...
        def progress(self, phase: str, done: int, total: int, detail: str) -> None: ...

    settings = runner_settings.load()
    warehouse = connect(settings)
    warehouse.prepare()
    tasks = [Task(wallet, Window(None, utc_now())) for wallet in Path(wallets).read_text().split()[1:]]
    began, cpu = time.perf_counter(), time.process_time()
    with intake_for(settings, warehouse, orders.dialect_of(settings), "bench") as intake, OrderApi(settings) as api:
        api.fetch(intake, tasks, "Fetching", Silent())
    measured = {"rows": intake.counts.landed, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    print(json.dumps({**measured, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """The most memory that this process has had; getrusage begins with what its parent has."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def dbt(folder: Path, variables: dict[str, str], *arguments: str) -> dict[str, Any]:
    """Runs dbt; gives its run_results."""
    places = ["--project-dir", str(ROOT), "--profiles-dir", str(folder), "--log-path", str(folder / "logs")]
    done = subprocess.run(
        [str(BIN / "dbt"), *arguments, *places], cwd=folder, env=variables, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"dbt failed:\n{done.stdout}")
    found: dict[str, Any] = json.loads((folder / "target" / "run_results.json").read_text())
    return found


def ours(folder: Path, url: str, wallets: Path) -> dict[str, float]:
    """Fetch, land and merge into an empty warehouse of our own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "profiles.example.yml", folder / "profiles.yml")
    variables = environment(folder, url)
    dbt(folder, variables, "build", "--exclude-resource-type", "unit_test")
    command = [sys.executable, __file__, "--one", url, str(wallets)]
    landed = json.loads(subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout)
    results = dbt(folder, variables, "run", "-s", *MODELS)["results"]
    ended = time.time()  # DuckDB writes its last checkpoint when dbt ends
    merge = ended - min(
        _instant(step["started_at"])
        for result in results
        for step in result["timing"]
        if step["name"] == "execute" and step["started_at"]
    )
    return {"rows": landed["rows"], "seconds": landed["seconds"] + merge, "land": landed["seconds"], "merge": merge}


def _instant(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def rival(name: str, folder: Path, url: str, wallets: Path) -> dict[str, float]:
    """One of rivals.py, in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    variables = {
        **os.environ,
        "DLT_STRATEGY": "delete-insert" if name.endswith("delete-insert") else "upsert",
        "DLT_HANDS_OVER": "dicts" if name.endswith("dicts") else "arrow",
    }
    command = [
        str(RIVALS),
        str(ROOT / "bench" / "rivals.py"),
        name.split()[0],
        url,
        str(wallets),
        str(folder / "db.duckdb"),
    ]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def throughput(folder: Path, fills: int, wallets: int, rounds: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Everybody in turns; medians of rows a second, and our ratio to each."""
    runs: dict[str, list[dict[str, float]]] = {"polytrades": [], **{name: [] for name in names}}
    with upstream(folder, wallets, fills) as (url, file):
        for _ in range(rounds):
            runs["polytrades"].append(ours(folder / "ours", url, file))
            for name in names:
                runs[name].append(rival(name, folder / "rival", url, file))
        stages = stages_of_a_page(url, file)
    rates = {name: statistics.median(run["rows"] / run["seconds"] for run in found) for name, found in runs.items()}
    for name, rate in rates.items():
        print(f"{name:<20}{rate:>10,.0f} rows/s   polytrades is {rates['polytrades'] / rate:5.2f} x")
    split = {part: statistics.median(run[part] for run in runs["polytrades"]) for part in ("land", "merge")}
    print(f"polytrades: fetch and land {split['land']:.2f} s, merge {split['merge']:.2f} s for {fills:,} fills")
    return {
        "fills": fills,
        "wallets": wallets,
        "rounds": rounds,
        "rows_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratio_to": {
            name: round(rates["polytrades"] / rate, 2) for name, rate in rates.items() if name != "polytrades"
        },
        "polytrades_seconds": {part: round(seconds, 2) for part, seconds in split.items()},
        "stages_us_per_row": stages,
    }


def stages_of_a_page(url: str, wallets: Path) -> dict[str, float]:
    """Processor time of each stage, in microseconds a record."""
    import urllib.request

    import msgspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    from runner import project
    from runner.landing.batch import FROM_BATCH
    from runner.landing.columns import PageReader
    from runner.sources.orders import _Orders

    def get(wallet: str) -> bytes:
        address = f"{url}/polymarket/orders?user={wallet}&limit=1000"
        found: bytes = urllib.request.urlopen(address).read()  # noqa: S310 - our own simulator
        return found

    listed = wallets.read_text().split()[1:][:50]
    bodies = [(wallet, get(wallet)) for wallet in listed]
    columns = project.source_table("landing", "trades").columns
    reader = PageReader({name: kind for name, kind in columns.items() if name not in FROM_BATCH})
    now = datetime.now(UTC)
    count = sum(len(msgspec.json.decode(body)["orders"]) for _, body in bodies)
    measured: dict[str, float] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            result = work()
            best = min(best, time.process_time() - began)
        measured[name] = round(best / count * 1e6, 2)
        return result

    pages = stage("envelope", lambda: [(w, bytes(msgspec.json.decode(b, type=_Orders).orders)) for w, b in bodies])
    batches = stage("decode to columns, checks", lambda: [reader.read(page, wallet, now) for wallet, page in pages])
    table = pa.Table.from_batches([batch for batch, _ in batches])
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/x.parquet"
        stage("Parquet", lambda: pq.write_table(table, file))
        stage("DuckDB", lambda: _into_duckdb(folder, file))
    for name, microseconds in measured.items():
        print(f"  {name:<28}{microseconds:6.2f} us a record")
    return measured


def _into_duckdb(folder: str, file: str) -> None:
    import duckdb

    path = Path(folder) / "x.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table landed as select * from read_parquet(?)", [file])


def memory(folder: Path, sizes: list[int]) -> dict[str, float]:
    """Peak of the process that fetches and lands, for each number of fills."""
    peaks = {}
    for fills in sizes:
        with upstream(folder, 500, fills) as (url, wallets):
            home = folder / "memory"
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            command = [sys.executable, __file__, "--one", url, str(wallets)]
            done = subprocess.run(command, env=environment(home, url), capture_output=True, text=True, check=True)
            peaks[f"{fills}"] = round(json.loads(done.stdout)["peak_mb"], 1)
        print(f"{fills:>12,} fills: peak {peaks[str(fills)]:,.0f} MB")
    return peaks


def night(folder: Path, fills: int) -> dict[str, Any]:
    """`polytrades sync` for 1,126 wallets of which `fills` fills are new, from the first request to the end."""
    home = folder / f"night-{fills}"
    home.mkdir(parents=True)
    with upstream(folder, 1126, fills, "--days", "3", "--latency-ms", "50") as (url, wallets):
        variables = environment(home, url)
        command = [str(BIN / "polytrades"), "sync", "--wallets", str(wallets), "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True)
        wall = time.perf_counter() - began
    summary = json.loads(done.stdout)
    results = json.loads(next(iter(home.glob("target/run_results.json"))).read_text())
    nodes: dict[str, float] = {}
    for result in results["results"]:
        kind = result["unique_id"].split(".")[0]
        nodes[kind] = nodes.get(kind, 0.0) + result["execution_time"]
    found = {
        "fills": summary["fills_new"],
        "exit_code": summary["exit_code"],
        "wall": round(wall, 1),
        "start_and_imports": round(wall - summary["seconds"], 1),
        "phases": summary["phases"],
        "dbt_nodes": {kind: round(seconds, 1) for kind, seconds in nodes.items()},
        "dbt_start_and_overhead": round(summary["phases"]["build"] - results["elapsed_time"], 1),
        "own_cpu": summary["cpu_seconds"],
        "own_cpu_share_of_wall": round(summary["cpu_seconds"] / wall, 3),
    }
    print(json.dumps(found, indent=2))
    return found


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--fills", type=int, default=200_000)
    parser.add_argument("--wallets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--nights", action="store_true")
    parser.add_argument("--no-rivals", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fetch_and_land(*options.one)
        return
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = () if options.no_rivals else NAMES
        measured["throughput"] = throughput(folder, options.fills, options.wallets, options.rounds, names)
        if options.memory:
            measured["peak_mb"] = memory(folder, options.memory)
        if options.nights:
            measured["nights"] = [night(folder, fills) for fills in (14_437, 460_000)]
    write("ingest", measured)


if __name__ == "__main__":
    main()
