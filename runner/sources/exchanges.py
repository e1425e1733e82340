"""The exchange contracts whose events are fills: the seed `exchange_contracts`, as the source `polygon` reads it."""

import csv
from dataclasses import dataclass
from functools import cache

from runner import project
from runner.errors import UsageError

_DATA_WORDS = {1: 5, 2: 7, 3: 7}
"""Version of OrderFilled → 32-byte words in the data of its log."""


@dataclass(frozen=True)
class Exchange:
    """A contract that emits OrderFilled. `first_block`: before it there is nothing of it."""

    address: str
    name: str
    version: int
    topic: str
    first_block: int

    @property
    def data_words(self) -> int:
        """32-byte words in the data of its event."""
        return _DATA_WORDS[self.version]

    @property
    def words_after(self) -> int:
        """Those after the amounts: builder and metadata."""
        return 0 if self.version == 1 else 2


@cache
def known_exchanges() -> dict[str, Exchange]:
    """Address (lower case) → exchange.

    Raises:
        UsageError: the seed is not as it should be; the message says in which line.
    """
    path = project.project_dir() / "seeds" / "exchange_contracts.csv"
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                version = int(row["order_filled_version"])
                exchange = Exchange(
                    row["contract_address"].lower(), row["name"], version, row["topic"].lower(), int(row["first_block"])
                )
                _DATA_WORDS[version]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UsageError(
                    f"Line {reader.line_num} of {path} is no exchange contract ({error!r}). Each needs an address, a "
                    f"version of OrderFilled ({', '.join(map(str, _DATA_WORDS))}), its topic and its first block."
                ) from None
            found[exchange.address] = exchange
    return found
