"""What counts as fetched: the chosen source, and which windows of others stand for its own."""

from runner.settings import Settings
from runner.sources import polygon
from runner.sources.exchanges import known_exchanges
from runner.sources.orders import API_SOURCES, dialect_of
from runner.warehouse.protocol import Warehouse
from runner.windows import Window


def source_of(settings: Settings) -> str:
    """What the chosen source is called in landing, coverage and checkpoints."""
    return polygon.SOURCE if settings.source == "polygon" else dialect_of(settings).source


def covered_windows(settings: Settings, warehouse: Warehouse, with_skipped: bool = True) -> dict[str, list[Window]]:
    """What counts as fetched for the chosen source: wallet → windows.

    Order APIs count for one another. The chain counts as far as all known exchanges were read, and what an API has
    given counts for it too: what that left out `polytrades reconcile` finds.
    """
    if settings.source != "polygon":
        return warehouse.coverage(API_SOURCES, with_skipped)
    contracts = {exchange.address: exchange.first_block for exchange in known_exchanges().values()}
    return warehouse.coverage([*API_SOURCES, polygon.SOURCE], with_skipped, contracts)


def completed_since_checkpoints(settings: Settings, warehouse: Warehouse) -> dict[str, list[Window]]:
    """Wallet → what a walk of the chosen source that was cut off has completed behind its checkpoint."""
    contracts = None
    if settings.source == "polygon":
        contracts = ",".join(sorted(exchange.address for exchange in known_exchanges().values()))
    return warehouse.completed_since(source_of(settings), contracts)
