"""Installs the DuckDB extensions of the emulator from their wheels, so that nothing is downloaded at run time.

DuckDB would fetch an extension over the network on first use. Each `duckdb_extension_<name>` wheel carries the same
file; INSTALL copies it below HOME, where LOAD finds it: set-up and run must have the same HOME. Run with the emulator's
Python 3.13. A second run changes nothing.
"""

import importlib.util
import sys
from pathlib import Path

import duckdb

EXTENSIONS = ("icu", "avro", "ducklake", "spatial")


def wheel_file(name: str) -> Path:
    """The extension inside its installed wheel."""
    package = f"duckdb_extension_{name}"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed: install requirements/emulator.txt first.")
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    file = folder / f"{name}.duckdb_extension"
    if not file.is_file():
        sys.exit(f"{package} has no file for DuckDB {duckdb.__version__}: its version must equal DuckDB's.")
    return file


def main() -> None:
    """Installs each and loads it, so that a file that does not fit is seen now and not in a test."""
    with duckdb.connect() as connection:
        for name in EXTENSIONS:
            file = str(wheel_file(name)).replace("'", "''")
            connection.execute(f"force install '{file}'")
            connection.execute(f"load {name}")


if __name__ == "__main__":
    main()
