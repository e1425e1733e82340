"""Which warehouse a target means."""

from runner import project
from runner.errors import UsageError
from runner.settings import Settings
from runner.warehouse.protocol import Warehouse


def connect(settings: Settings) -> Warehouse:
    """The warehouse of the target in `settings`. Nothing is asked of it yet.

    Raises:
        UsageError: the profile lacks the target, its type is none that the runner knows, or credentials are missing.
    """
    output = project.read_output(project.find_profiles(), settings.target)
    if output.type == "duckdb":
        from runner.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(settings)
    if output.type == "bigquery":
        try:
            from runner.warehouse.bigquery import BigQueryWarehouse
        except ModuleNotFoundError as error:
            raise UsageError(
                f"The target {settings.target} is on BigQuery, and {error.name} is not installed. Run "
                "`make install-bigquery`."
            ) from None
        return BigQueryWarehouse(settings, output)
    raise UsageError(
        f"The target {settings.target} is of type {output.type}; polytrades knows duckdb and bigquery. Use a target of "
        "one of them."
    )
