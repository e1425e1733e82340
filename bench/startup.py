"""What `polytrades --help` costs beside a bare interpreter and beside importing what a command may need.

    .venv/bin/python bench/startup.py [--rounds 15]

The commands take turns, so that what else the machine does meets all of them alike. Prints medians and ratios, and
writes bench/results/startup.json.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from results import write

BIN = Path(sys.executable).parent
COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "polytrades --help": [str(BIN / "polytrades"), "--help"],
    "polytrades sync --help": [str(BIN / "polytrades"), "sync", "--help"],
    "import duckdb, pyarrow, aiohttp": [sys.executable, "-c", "import duckdb, pyarrow, aiohttp"],
    "import dbt": [sys.executable, "-c", "import dbt.cli.main"],
}


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    bare = medians["bare interpreter"]
    for name, median in medians.items():
        print(f"{name:<34}{median * 1000:7.0f} ms  {median / bare:5.1f} x bare")
    write("startup", {"rounds": rounds, "ratio_to_bare": {name: round(m / bare, 2) for name, m in medians.items()}})


if __name__ == "__main__":
    main()
