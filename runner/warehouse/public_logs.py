"""The chain's logs in a public table of BigQuery, as a run asks for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from runner.windows import Window

_AROUND = timedelta(minutes=10)
"""How far before and after a window the table must have blocks without a hole, to be complete in it."""


@dataclass(frozen=True)
class Blocks:
    """Blocks that the table has of a window and a little around it. `missing`: between them, without any log.

    `first` and `last` are the window's own; None where it has none.
    """

    first: int | None
    last: int | None
    missing: int
    reaches_around: bool

    @property
    def are_whole(self) -> bool:
        """Whether it is known that no block of the window is missing."""
        return self.first is not None and self.last is not None and self.reaches_around and not self.missing


@dataclass(frozen=True)
class Taken:
    """What a window gave: wallet → fills that landed, logs that are in quarantine, and the table's blocks."""

    landed: dict[str, int]
    rejected: int
    blocks: Blocks


@dataclass(frozen=True)
class Question:
    """Logs of a window that may be fills of these wallets, and the statements that dbt has compiled to ask for them."""

    statements: Mapping[str, str]
    place: str
    window: Window
    wallets: Sequence[str] = field(repr=False)

    @property
    def bounds(self) -> dict[str, Any]:
        """Parameters of the statement that takes the logs."""
        return {"since": self.window.begins, "until": self.window.end, "wallets": list(self.wallets)}

    @property
    def bounds_of_blocks(self) -> dict[str, datetime]:
        """Parameters of the statement that looks at the blocks."""
        since, until = self.window.begins, self.window.end
        return {"since": since, "until": until, "earlier": since - _AROUND, "later": until + _AROUND}


class PublicLogs(Protocol):
    """The public table, as a run uses it."""

    def bytes_of_logs(self, question: Question) -> list[int]:
        """What each statement that reads the table would read at most, by dry runs. Nothing is run."""

    def take_logs(self, question: Question, batch_id: str, run_id: str, at: datetime) -> Taken:
        """Lands the fills of a window, once, and what breaks a rule in quarantine."""
