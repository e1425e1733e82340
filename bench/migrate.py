"""How long a migration takes beside the fastest bare de-duplication of the same files, and in how much memory.

    .venv/bin/python bench/migrate.py [--scale 0.1] [--memory 4GB] [--keep DIR]

Makes a staging table (bench/legacy.py) of `scale` times 165,569,306 rows, and a production table that has a part of
it; then, one after the other in the same run and on the same files: a scan of all columns, a count of keys, the fastest
bare de-duplication that we could write (late materialisation by a hash of the key), and `polytrades migrate audit`,
`copy` and `verify`. Each with its wall time, the most memory that its processes held and the most disk that it took
beside the warehouse. Last, nights on the migrated table and, in turns, on one with the same rows that nights wrote:
seconds of the nodes that read or write `trades`. Writes bench/results/migrate.json.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from legacy import FIRST_DAY, FULL_SCALE, Shape, known_answer, overlap, production, write_staging
from results import write

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

KEY = (
    "hash(lower(wallet_address), lower(tx_hash), lower(id)), hash(lower(id) || lower(tx_hash) || lower(wallet_address))"
)
NIGHT = 15_000
"""Records; half of them are stored already."""
NODES = ("int_trades_stored", "trades")
ADDRESS = "file_index * 1073741824 + file_row_number"
FLOORS = {
    "scan of all columns": ["select max(hash(columns(*))) from {files}"],
    "count of keys": [f"select count(*) from (select 1 from {{files}} group by {KEY})"],
    "bare de-duplication": [
        "create table addresses as select cast(max((cast(epoch_us(timestamp) as uhugeint) << 77) | "
        f"cast({ADDRESS} as uhugeint)) & 17592186044415 as bigint) as address from {{files}} group by {KEY}",
        f"create table kept as select files.* from {{files}} as files join addresses on {ADDRESS} = addresses.address",
    ],
}


class Measured:
    """Samples the memory of a process and its children, and the size of a folder, while a block runs."""

    def __init__(self, folder: Path) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self.disk_bytes = 0
        self._folder = folder
        self._before = _size(folder)
        self._over = threading.Event()

    def __enter__(self) -> "Measured":
        self._began, self._cpu = time.monotonic(), _cpu_of_children()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
        self.cpu_seconds = _cpu_of_children() - self._cpu
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.peak_bytes = max(self.peak_bytes, _memory_below(os.getpid()))
            self.disk_bytes = max(self.disk_bytes, _size(self._folder) - self._before)

    def as_json(self) -> dict[str, Any]:
        """What was measured."""
        return {
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "peak_memory_mb": round(self.peak_bytes / 1e6),
            "disk_mb": round(self.disk_bytes / 1e6),
        }


def _cpu_of_children() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_below(parent: int) -> int:
    """Resident bytes of the processes below one, but for the one itself."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        resident[int(folder.name)] = int(fields[21]) * 4096
    total = 0
    for process in resident:
        above = parents.get(process, 0)
        while above > 1 and above != parent:
            above = parents.get(above, 0)
        total += resident[process] if above == parent else 0
    return total


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except OSError:
                continue
    return total


def floor(name: str, files: str, folder: Path, memory: str) -> dict[str, Any]:
    """Runs the statements of a floor in a process of their own, as the commands are."""
    work = folder / "floor"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    statements = [
        f"set memory_limit = '{memory}'",
        f"set temp_directory = '{work}/spill'",
        "set preserve_insertion_order = false",
        "set TimeZone = 'UTC'",
        "set enable_progress_bar = false",
        *(statement.format(files=files) for statement in FLOORS[name]),
    ]
    program = (
        "import duckdb, json, sys\nc = duckdb.connect(sys.argv[1])\n[c.execute(s) for s in json.loads(sys.argv[2])]"
    )
    with Measured(work) as measured:
        subprocess.run([sys.executable, "-c", program, str(work / "floor.duckdb"), json.dumps(statements)], check=True)
    shutil.rmtree(work)
    return measured.as_json()


class Home:
    """A folder with a warehouse."""

    def __init__(self, folder: Path, memory: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "profiles.example.yml", folder / "profiles.yml")
        self.file = folder / "polytrades.duckdb"
        self.environment = {
            **os.environ,
            "POLYTRADES_DUCKDB_PATH": str(self.file),
            "POLYTRADES_MIGRATION_MEMORY": memory,
            "DBT_TARGET_PATH": str(folder / "target"),
        }

    def dbt(self, *arguments: str) -> dict[str, float]:
        """Runs dbt; gives the seconds of each node."""
        places = [
            "--project-dir",
            str(ROOT),
            "--profiles-dir",
            str(self.folder),
            "--log-path",
            str(self.folder / "logs"),
        ]
        self._run([str(BIN / "dbt"), *arguments, *places])
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        return {result["unique_id"].split(".")[2]: result["execution_time"] for result in results}

    def polytrades(self, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Runs a command; gives its JSON, which is kept beside the warehouse, and what was measured."""
        work = self.file.with_name(self.file.name + ".migration")
        work.mkdir(exist_ok=True)
        with Measured(work) as measured:
            said = self._run([str(BIN / "polytrades"), *arguments, "--json"])
        (self.folder / f"{'-'.join(arguments[:2])}.json").write_text(said)
        return json.loads(said), measured.as_json()

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command[:3])} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def fill(self, shape: Shape) -> None:
        """Production before: rows in order of time, as nights would have put them there."""
        self.dbt("build", "--exclude-resource-type", "unit_test")
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
            in_both = overlap(connection, shape)
            connection.execute(
                f"create temp table times as select i, timestamp from ({production(shape, in_both)}) order by timestamp"
            )
            for day in range(0, shape.days + 1, 30):  # all at once would be sorted on disk
                month = (
                    f"(select i from times where timestamp >= timestamptz '{FIRST_DAY}' + to_days({day}) "
                    f"and timestamp < timestamptz '{FIRST_DAY}' + to_days({day + 30})) as numbers"
                )
                connection.execute(
                    "insert into trades by name select * exclude (i), 'exact' as key_quality, 'dome' as source "
                    f"from ({production(shape, in_both, month)}) "
                    "order by timestamp, wallet_address, tx_hash, order_hash"
                )
            ((count,),) = connection.execute("select count(*) from trades").fetchall()
            if count != shape.production:
                sys.exit(f"production has {count:,} rows and not {shape.production:,}")

    def grow_from(self, other: "Home") -> None:
        """Gets the rows of another one as nights would have written them: day by day."""
        self.dbt("build", "--exclude-resource-type", "unit_test")
        with duckdb.connect(str(self.file)) as connection:
            connection.execute(f"set TimeZone = 'UTC'; attach '{other.file}' as migrated (read_only)")
            days = connection.execute(
                "select distinct cast(timestamp as date) as day from migrated.main.trades order by day"
            ).fetchall()
            for (day,) in days:
                connection.execute(
                    "insert into main.trades by name select * from migrated.main.trades where timestamp >= ? "
                    "and timestamp < ? + interval 1 day order by timestamp, wallet_address, tx_hash, order_hash",
                    [day, day],
                )

    def night(self, number: int, days_ago: int) -> float:
        """Lands records of the day so long before the newest and merges them; gives the seconds of NODES."""
        batch = f"night-{number}-{days_ago}"
        columns = "wallet_address, order_hash, side, token_id, price, shares_normalized, shares_raw"
        stored = f"(select * from trades where cast(timestamp as date) = $day limit {NIGHT // 2})"
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            newest = "select cast(max(timestamp) as date) - cast(? as integer) from trades where source = 'legacy'"
            [(day,)] = connection.execute(newest, [days_ago]).fetchall()
            count = connection.execute(
                f"""
                insert into landing.trades by name
                select *, 'dome' as source, $batch as batch_id, now() as landed_at, current_date as landed_on
                from (
                    select {columns}, tx_hash, timestamp as traded_at from {stored}
                    union all
                    select {columns}, '0x' || md5($batch || tx_hash) || md5(tx_hash), timestamp from {stored}
                )
                """,
                {"batch": batch, "day": day},
            ).fetchall()[0][0]
            connection.execute(
                "insert into landing.batches values (?, 'trades', 'dome', ?, 'bench', now(), current_date)",
                [batch, count],
            )
        seconds = self.dbt("build", "-s", "pending_batches+", "--exclude", "test_type:unit", "path:models/monitoring")
        return sum(seconds[node] for node in NODES)


def nights(migrated: Home, native: Home, rounds: int = 3) -> dict[str, Any]:
    """Nights of the newest day and of one in the past, in turns; medians of seconds, and how they relate."""
    if not native.file.exists():
        native.grow_from(migrated)
    found: dict[str, Any] = {}
    for name, days_ago in (("newest day", 0), ("200 days before", 200)):
        seconds: dict[str, list[float]] = {"migrated": [], "native": []}
        for number in range(rounds + 1):
            for which, home in (("migrated", migrated), ("native", native)):
                taken = home.night(number, days_ago)
                if number:  # the first warms up what the following ones find warm
                    seconds[which].append(taken)
        medians = {which: round(statistics.median(taken), 3) for which, taken in seconds.items()}
        found[name] = {**medians, "ratio": round(medians["migrated"] / medians["native"], 2)}
    return found


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="Folder for the data; made if it is not there, and left there.")
    parser.add_argument("--name", default="migrate", help="Of the result.")
    chosen = parser.parse_args()
    rows, keys, before = (round(number * chosen.scale) for number in FULL_SCALE)
    shape = Shape(rows, keys, before)
    folder = (chosen.keep or Path(tempfile.mkdtemp())).absolute()
    about = {"scale": chosen.scale, "memory_limit": chosen.memory}
    try:
        measured = measure(shape, folder, chosen.memory, chosen.files, print)
        write(chosen.name, {**about, **measured})
        measured["nights"] = nights(Home(folder / "home", chosen.memory), Home(folder / "native", chosen.memory))
        print(f"a night on the migrated table beside one that has grown: {measured['nights']}")
    finally:
        if not chosen.keep:
            shutil.rmtree(folder)
    write(chosen.name, {**about, **measured})


def measure(shape: Shape, folder: Path, memory: str, files: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Floors and commands, in one run."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        if not (folder / "staging").exists():
            say(f"writing {shape.rows:,} rows of staging")
            write_staging(connection, shape, folder / "staging.writing", files)
            (folder / "staging.writing").rename(folder / "staging")
        answer = known_answer(connection, shape)
    home = Home(folder / "home", memory)
    if not home.file.exists():
        say(f"writing {shape.production:,} rows of production")
        home.fill(shape)
    found: dict[str, Any] = {"known_answer": answer, "staging_mb": round(_size(folder / "staging") / 1e6), "steps": {}}
    steps = found["steps"]
    pattern = f"{folder}/staging/*.parquet"
    for name in FLOORS:
        steps[name] = floor(name, f"read_parquet('{pattern}')", folder, memory)
        say(f"{name:<22} {steps[name]}")
    _, steps["migrate audit"] = home.polytrades("migrate", "audit", "--staging", pattern)
    say(f"{'migrate audit':<22} {steps['migrate audit']}")
    copied, steps["migrate copy"] = home.polytrades("migrate", "copy", "--staging", pattern)
    say(f"{'migrate copy':<22} {steps['migrate copy']} {copied['seconds']}")
    verdict, steps["migrate verify"] = home.polytrades("migrate", "verify")
    say(f"{'migrate verify':<22} {steps['migrate verify']} {verdict['seconds']}")
    if copied["copied"] != answer["to_copy"] or verdict["production_state"]["rows"] != answer["production_after"]:
        sys.exit(f"the answer is wrong: {copied['copied']} copied, {verdict['production_state']}, and not {answer}")
    found["copy_to_bare"] = round(steps["migrate copy"]["seconds"] / steps["bare de-duplication"]["seconds"], 2)
    cpu = steps["migrate copy"]["cpu_seconds"] / steps["bare de-duplication"]["cpu_seconds"]
    found["copy_to_bare_cpu"] = round(cpu, 2)
    found["copy_steps"] = copied["seconds"]
    found["verify_steps"] = verdict["seconds"]
    say(f"copy takes {found['copy_to_bare']} times as long as the bare de-duplication")
    return found


if __name__ == "__main__":
    main()
