"""Which warehouse a target means."""

from runner import project
from runner.errors import UsageError
from runner.settings import Settings
from runner.warehouse.protocol import Warehouse


def connect(settings: Settings) -> Warehouse:
    """The warehouse of the target in `settings`. Nothing is opened yet.

    Raises:
        UsageError: the profile lacks the target, or its type is none that the runner knows.
    """
    output = project.check_target(project.find_profiles(), settings.target)
    if output.get("type") == "duckdb":
        from runner.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(settings.duckdb_file, settings.lock_wait_seconds)
    raise UsageError(
        f"The target {settings.target} is of type {output.get('type')}, which the runner cannot load yet. "
        "Use a target of type duckdb."
    )
