"""A warehouse that speaks SQL, put together from its parts; the subclasses give the connection and the dialect."""

from runner.warehouse.chain import ChainState
from runner.warehouse.existing import Existing
from runner.warehouse.landing import Landing
from runner.warehouse.lease import Lease
from runner.warehouse.metadata import Metadata
from runner.warehouse.migration import Migration
from runner.warehouse.reports import Reports


class SqlWarehouse(Landing, ChainState, Metadata, Lease, Existing, Migration, Reports):
    """Every method of `Warehouse` but for what a subclass gives (see `Statements`)."""
