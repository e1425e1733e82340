"""What does a night cost on BigQuery when `trades` grows from 10 days to 1,000?

    .venv/bin/python bench/bigquery_bytes.py [--days 10 100 1000] [--fills-a-day 500] [--night 200]

Runs the real runner and the real dbt-bigquery on the local emulator, behind the tests' proxy, which prices each
statement by a stated rule (runner_tests/bigquery/bytes_rule.py): the columns that a statement names, in the partitions
that its literals leave. For each size a night of records of the last day is imported (half of them known), with all of
its tests; then the bytes of all jobs of that run are added up by what sent them, and those of a `polytrades status`.
Beside them the same statements on `trades` without their windows of days. Two things read more by design and stand
apart: the check of all keys (three columns of the table) and the history of markets. BigQuery's minimum of 10 MB a
table is left out: at this size it would hide all differences. Needs a Python 3.13 (`make test` makes the emulator's
environment). Writes bench/results/bigquery_bytes.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from results import write

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runner_tests.bigquery import bytes_rule  # noqa: E402
from runner_tests.bigquery.proxy import Job, Proxy  # noqa: E402
from runner_tests.bigquery.running import run_emulator, why_missing  # noqa: E402

POLYTRADES = Path(sys.executable).parent / "polytrades"
BY_DESIGN = ("mon_duplicate_keys", "trades_has_no_duplicate_keys", "markets_history")
LAST_DAY = "2026-01-26"
_WINDOW = re.compile(r"\((?:\w+\.)?timestamp >= timestamp '[^()]*?'(?:[^()]*?)\)")

HISTORY = """
insert into `{project}`.polytrades.trades
    (id, condition_id, wallet_address, timestamp, side, price, shares_normalized, token_id, tx_hash, order_hash,
    shares_raw, usdc_raw, key_quality, source, content_hash)
select
    concat('0x', to_hex(sha256(key))), concat('0x', to_hex(sha256(concat('c', key)))),
    concat('0x', lpad(cast(mod(number, 1100) as string), 40, '0')),
    timestamp_add(timestamp(day), interval number second), 'BUY', 0.5, 2.0, cast(number as string),
    concat('0x', to_hex(sha256(concat('t', key)))), concat('0x', to_hex(sha256(key))),
    2000000, 1000000, 'exact', 'dome', to_hex(sha256(concat('h', key)))
from (
    select day, number, concat(cast(day as string), '-', cast(number as string)) as key
    from unnest(generate_date_array(date_sub(date '{last}', interval {days} day), date '{last}')) as day,
        unnest(generate_array(1, {fills})) as number
)
"""


def records(first: int, count: int, day_seconds: int = 1769385600) -> list[dict[str, Any]]:
    """Order records of the last day."""
    return [
        {
            "user": f"0x{number % 40:040x}",
            "tx_hash": f"0x{number:064x}",
            "order_hash": f"0x{number + 10**9:064x}",
            "timestamp": day_seconds + number % 80_000,
            "side": "BUY",
            "token_id": "1",
            "price": 0.5,
            "shares": 2_000_000,
            "shares_normalized": 2,
            "condition_id": f"0x{number % 7:064x}",
        }
        for number in range(first, first + count)
    ]


def run_night(proxy: Proxy, project: str, folder: Path, night: list[dict[str, Any]]) -> list[Job]:
    """Imports records through the command line; gives the jobs that it sent."""
    file = folder / "night.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in night))
    before = len(proxy.jobs)
    environment = os.environ | {
        "BIGQUERY_EMULATOR_URL": proxy.url,
        "POLYTRADES_BIGQUERY_PROJECT": project,
        "POLYTRADES_TARGET": "emulator",
        "DBT_TARGET_PATH": str(folder / "target"),
    }
    done = subprocess.run(
        [str(POLYTRADES), "import", str(file), "--json"], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"the import ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return proxy.jobs[before:]


def measure(proxy: Proxy, project: str, folder: Path, days: int, fills: int, count: int) -> dict[str, int]:
    """Bytes of one night on a history of `days` days, by what sent them."""
    run_night(proxy, project, folder, records(0, count))
    statement = HISTORY.format(project=project, last=LAST_DAY, days=days, fills=fills)
    proxy.client(project).query(statement).result()
    found: Counter[str] = Counter()
    for job in run_night(proxy, project, folder, records(count // 2, count)):
        name, kind = job.labels.get("model", "?"), job.labels.get("kind", "?")
        if job.unparsed:
            sys.exit(f"a statement of {name} could not be priced:\n{job.statement}")
        if name in BY_DESIGN:
            found[name] += job.bytes
            continue
        found[
            "models" if kind in ("model", "seed", "snapshot") else "tests" if kind == "test" else "runner, hooks"
        ] += job.bytes
        if name == "trades" and "merge into" in job.statement:
            found["the merge"] += job.bytes
        if name in ("trades", "trade_collisions", "int_trades_stored", "mon_batch_keys_not_once"):
            without = _WINDOW.sub("true", job.statement)
            estimate = bytes_rule.estimate(without, project, None, proxy.catalog)
            found["without windows"] += estimate
            if name == "trades" and "merge into" in job.statement:
                found["the merge, no window"] += estimate
    before = len(proxy.jobs)
    environment = os.environ | {
        "BIGQUERY_EMULATOR_URL": proxy.url,
        "POLYTRADES_BIGQUERY_PROJECT": project,
        "POLYTRADES_TARGET": "emulator",
    }
    subprocess.run([str(POLYTRADES), "status", "--json"], cwd=folder, env=environment, capture_output=True, check=False)
    found["polytrades status"] = sum(job.bytes for job in proxy.jobs[before:])
    return dict(found)


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--fills-a-day", type=int, default=500)
    parser.add_argument("--night", type=int, default=200)
    options = parser.parse_args()
    if missing := why_missing():
        sys.exit(missing)
    found: dict[int, dict[str, int]] = {}
    for days in options.days:
        # An emulator for each size: it slows down with what it has done.
        with (
            tempfile.TemporaryDirectory() as temporary,
            run_emulator(Path(temporary)) as emulator,
            Proxy(emulator.url) as proxy,
        ):
            print(f"a history of {days:,} days …", flush=True)
            folder = Path(temporary)
            found[days] = measure(proxy, emulator.new_project(), folder, days, options.fills_a_day, options.night)
    small, large = min(found), max(found)
    names = (
        "models",
        "tests",
        "runner, hooks",
        "the merge",
        "the merge, no window",
        "without windows",
        "polytrades status",
        *BY_DESIGN,
    )
    print(f"\na night of {options.night:,} records; bytes by the rule")
    print(f"{'':<32}" + "".join(f"{days:>12,} d" for days in found) + f"{'ratio':>10}")
    ratios = {}
    for name in names:
        sizes = [found[days].get(name, 0) for days in found]
        ratios[name] = round(found[large].get(name, 0) / max(1, found[small].get(name, 0)), 2)
        print(f"{name:<32}" + "".join(f"{size:>14,}" for size in sizes) + f"{ratios[name]:>10.2f}")
    write(
        "bigquery_bytes",
        {
            "night": options.night,
            "fills_a_day": options.fills_a_day,
            "rule": "columns named x partitions left by literals; no minimum a table",
            "bytes": {str(days): by for days, by in found.items()},
            "ratio_large_to_small": ratios,
        },
    )


if __name__ == "__main__":
    main()
