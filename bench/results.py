"""Where results go: JSON with the machine and the versions, so that a figure can be judged."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("duckdb", "dbt-core", "dbt-duckdb", "dbt-bigquery", "google-cloud-bigquery", "pyarrow")


def write(name: str, measured: dict[str, Any]) -> None:
    """Writes bench/results/<name>.json."""
    FOLDER.mkdir(exist_ok=True)
    content = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        **measured,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
