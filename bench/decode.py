"""From the JSON of `eth_getLogs` to rows: polytrades beside web3.py and a decoder written in Rust, on one core.

    .venv/bin/python bench/decode.py [--logs 100000]

The logs are those of the simulator's chain, in answers of 2,000. Everybody gets the same bytes in a process of its own,
one after the other. polytrades makes Arrow columns of landing.trades and checks every rule; the others make tuples of
what a fill needs. Then: peak memory after all logs once, and after ten times as many. Writes bench/results/decode.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from decode_rivals import measure
from results import write

from runner import project
from runner.landing.batch import FROM_BATCH
from runner.landing.logs import LogReader
from runner.sources.exchanges import known_exchanges
from runner.warehouse.arrow import TYPES
from simulator.blocks import block_of
from simulator.chain import Chain
from simulator.rpc import Node, Rpc
from simulator.world import Settings, World

ROOT = Path(__file__).resolve().parent.parent
RIVALS = ROOT / ".venv" / "bench" / "bin" / "python"
LOGS_AN_ANSWER = 2_000


def write_answers(folder: Path, count: int) -> None:
    """So many logs of the simulator's chain, as a node would answer."""
    world = World(Settings(wallets=200, fills=count))
    chain = Chain(world, block_of(world.settings.until))
    rpc = Rpc(chain, Node())
    found = chain.logs(0, chain.head, (), lambda log: True, world.wallets)
    for start in range(0, len(found), LOGS_AN_ANSWER):
        (folder / f"{start:08}.json").write_bytes(rpc.rendered(found[start : start + LOGS_AN_ANSWER]))


def ours(bodies: list[bytes]) -> int:
    """The runner's reader, to record batches as they are landed."""
    columns = project.source_table("landing", "trades").columns
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items() if name not in FROM_BATCH])
    reader = LogReader(known_exchanges())
    return sum(reader.read(body, (), 0, 10**12).rows(schema, {}, 1).num_rows for body in bodies)


def peaks(folder: Path) -> dict[str, int]:
    """Peak memory in MB after all logs once, and after ten times as many."""
    files = sorted(folder.glob("*.json"))
    found = []
    for rounds in (1, 9):
        for _ in range(rounds):
            for file in files:
                ours([file.read_bytes()])
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return {"peak_mb": found[0], "peak_mb_after_ten_times_as_many": found[1]}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=100_000)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peaks", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(ours, options.one, 1)))
        return
    if options.peaks:
        print(json.dumps(peaks(options.peaks)))
        return
    with tempfile.TemporaryDirectory() as name:
        write_answers(Path(name), options.logs)
        found: dict[str, Any] = {"polytrades": _run(sys.executable, __file__, "--one", name)}
        rivals = str(ROOT / "bench" / "decode_rivals.py")
        # One log at a time takes long: a tenth of the answers says how fast it is.
        found["web3.py"] = _run(str(RIVALS), rivals, "web3", name, "10")
        found["cherry-core (Rust)"] = _run(str(RIVALS), rivals, "cherry", name, "1")
        memory = _run(sys.executable, __file__, "--peaks", name)
    for rival, result in found.items():
        result["polytrades_beside_it"] = round(found["polytrades"]["logs_per_second"] / result["logs_per_second"], 1)
        print(f"{rival:18} {result}")
    print(memory)
    write("decode", {"one_core": found, "memory": memory})


def _run(*command: str) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
