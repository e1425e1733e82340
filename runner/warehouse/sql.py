"""A warehouse that speaks SQL, put together from its parts; the subclasses give the connection and the dialect."""

from runner.warehouse.chain import ChainState
from runner.warehouse.duplicates import Duplicates
from runner.warehouse.existing import Existing
from runner.warehouse.landing import Landing
from runner.warehouse.metadata import Metadata
from runner.warehouse.migration import Migration
from runner.warehouse.monitoring import Monitoring


class SqlWarehouse(Landing, ChainState, Metadata, Duplicates, Existing, Migration, Monitoring):
    """Every method of `Warehouse` but for what a subclass gives (see `Statements`)."""
