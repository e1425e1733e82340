"""Where a migration may run."""

from runner.errors import UsageError
from runner.settings import Settings
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Warehouse


def connect_to_migrate(settings: Settings) -> Warehouse:
    """The warehouse of the target.

    Raises:
        UsageError: it is on BigQuery. The statements for it are written and not proven, and what they write and drop
            may be somebody's only copy.
    """
    warehouse = connect(settings)
    if warehouse.name != "duckdb":
        raise UsageError(
            f"{warehouse.place} was not touched: moving or repairing an old table is proven on DuckDB alone so far. "
            "Export the table to Parquet and migrate the files with --target duckdb, or wait for a version that can."
        )
    return warehouse
