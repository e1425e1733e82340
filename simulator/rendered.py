"""Records rendered before they are asked for, in a temporary file that is gone when the simulator ends."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Iterable


class Rendered:
    """Texts by wallet and place. What the machine has no memory for stays on the disk."""

    def __init__(self, wallets: Iterable[Iterable[bytes]]) -> None:
        """Write all texts, wallet by wallet."""
        self._ends: list[array[int]] = []
        end = 0
        with tempfile.TemporaryFile() as file:
            for texts in wallets:
                ends = array("Q", (end,))
                for text in texts:
                    file.write(text)
                    end += len(text)
                    ends.append(end)
                self._ends.append(ends)
            file.flush()
            # A file without a byte cannot be mapped; nothing is ever read from the one byte that stands in for it.
            self._texts = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) if end else mmap.mmap(-1, 1)

    def text(self, wallet: int, place: int) -> bytes:
        """Return one text."""
        ends = self._ends[wallet]
        return self._texts[ends[place] : ends[place + 1]]
