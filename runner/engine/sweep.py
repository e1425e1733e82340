"""A range of blocks that is read for some wallets, the newest part first, by several workers at a time."""

from collections import Counter
from dataclasses import dataclass, field

from runner.engine.fetch import Task
from runner.sources.polygon import LogFilter
from runner.windows import Window


@dataclass(eq=False)
class Sweep:
    """Blocks `first` to `last` hold the fills of `window`, which is the tasks' own as far as the chain has come.

    `reached`: from here on everything has been read. It may be read further back already, with holes in between.
    """

    tasks: list[Task]
    wanted: LogFilter
    window: Window
    first: int
    last: int
    reached: int = field(init=False)
    received: Counter[str] = field(default_factory=Counter)
    problem: str | None = None
    is_cut_off: bool = False
    told: int | None = None
    """What `reached` was when it was last recorded as covered."""
    times: dict[int, int] = field(default_factory=dict)
    """Blocks of the sweep whose Unix time is known: a few."""
    _next: int = field(init=False)
    _read: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begins at the end."""
        self.reached = self.last + 1
        self._next = self.last

    @property
    def is_history(self) -> bool:
        """As of the tasks."""
        return self.tasks[0].is_history

    @property
    def is_complete(self) -> bool:
        """Everything has been read."""
        return self.reached <= self.first

    @property
    def has_more(self) -> bool:
        """There is something that no worker has taken."""
        return self._next >= self.first and self.problem is None and not self.is_cut_off

    def take(self, blocks: int) -> tuple[int, int]:
        """The next range for a worker, of at most so many blocks."""
        last = self._next
        first = max(self.first, last - blocks + 1)
        self._next = first - 1
        return first, last

    @property
    def complete_from(self) -> int | None:
        """The Unix second from which on nothing is missing; None: that is not known.

        The second after that of a block: another block may be of the same second.
        """
        known = [second for block, second in self.times.items() if block >= self.reached]
        return min(known) + 1 if known else None

    def read(self, first: int, last: int, earliest: tuple[int, int] | None = None) -> None:
        """A range has been read and handed in. `earliest`: its first fill's block and Unix time."""
        self._read[last] = first
        if earliest is not None:
            self.times = {**dict(sorted(self.times.items())[:8]), earliest[0]: earliest[1]}
        while (begin := self._read.pop(self.reached - 1, None)) is not None:
            self.reached = begin
