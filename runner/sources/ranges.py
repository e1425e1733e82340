"""How many blocks a node is asked for at a time: learned from what it refuses, and remembered from run to run."""

_MOST = 1_000_000
_TRY_MORE_AFTER = 8
"""Full ranges in a row that were answered, after which a quarter more is tried."""


class Spans:
    """One node's limits, for each kind of filter.

    A limit that the node names holds for good; a refusal because of what a range held holds for a while, since the next
    range may hold less.
    """

    def __init__(self, first: int, remembered: dict[str, int]) -> None:
        self._first = first
        self._spans = dict(remembered)
        self._remembered = dict(remembered)
        self._ceilings: dict[str, int] = {}
        self._worked: dict[str, int] = {}

    def of(self, kind: str) -> int:
        """Blocks to ask for."""
        return self._spans.get(kind, self._first)

    def is_known(self, kind: str) -> bool:
        """Whether there is more to go by than the setting."""
        return kind in self._spans

    def worked(self, kind: str, blocks: int) -> None:
        """A range was answered."""
        span = self.of(kind)
        self._spans[kind] = span
        if blocks < span:
            return
        count = self._worked.get(kind, 0) + 1
        if count >= _TRY_MORE_AFTER and span < min(_MOST, self._ceilings.get(kind, _MOST)):
            self._spans[kind] = min(_MOST, self._ceilings.get(kind, _MOST), max(span + 1, span * 5 // 4))
            count = 0
        self._worked[kind] = count

    def refused(self, kind: str, blocks: int, fits: tuple[int, int] | None, most_blocks: int | None) -> None:
        """A range was too large: of blocks, of results or of bytes."""
        if most_blocks is not None and 0 < most_blocks < blocks:
            self._ceilings[kind] = self._spans[kind] = most_blocks
        elif fits is not None and 0 < fits[1] - fits[0] + 1 < blocks:
            self._spans[kind] = fits[1] - fits[0] + 1
        else:
            self._spans[kind] = max(1, blocks // 2)
        # Near what was refused it grows slowly.
        self._worked[kind] = -_TRY_MORE_AFTER

    def learned(self) -> dict[str, int]:
        """Kind of filter → blocks, where that differs from what was remembered."""
        return {kind: span for kind, span in self._spans.items() if self._remembered.get(kind) != span}
