"""How many blocks a node is asked for at a time: learned from what it refuses, and remembered from run to run."""

from dataclasses import dataclass

_MOST = 1_000_000
_PATIENCE, _MOST_PATIENCE = 2, 64
"""Full ranges answered in a row, after which a quarter more is tried: at first, and where that was refused."""


@dataclass
class _Span:
    blocks: int
    patience: int = _PATIENCE
    worked: int = 0
    has_grown: bool = False
    most: int = _MOST
    refused_at: int = 0
    """The first size that was refused where ranges were dense: up to there it grows back quickly."""


class Spans:
    """One node's limits, for each kind of filter.

    A limit that the node names holds for good. A refusal because of what a range held says little of the next one, so a
    little more is tried again: soon at first, seldom where that keeps being refused.
    """

    def __init__(self, first: int, remembered: dict[str, int]) -> None:
        self._first = first
        self._spans = {kind: _Span(blocks, _MOST_PATIENCE) for kind, blocks in remembered.items()}
        self._remembered = dict(remembered)

    def of(self, kind: str) -> int:
        """Blocks to ask for."""
        return self._spans[kind].blocks if kind in self._spans else self._first

    def is_known(self, kind: str) -> bool:
        """Whether there is more to go by than the setting."""
        return kind in self._spans

    def worked(self, kind: str, blocks: int) -> None:
        """A range was answered."""
        span = self._spans.setdefault(kind, _Span(self._first))
        if blocks < span.blocks:
            return
        span.worked += 1
        if span.worked >= span.patience and span.blocks < span.most:
            quick = span.blocks * 2 <= span.refused_at
            span.blocks = min(span.most, span.blocks * 2 if quick else max(span.blocks + 1, span.blocks * 5 // 4))
            span.worked, span.has_grown = 0, True

    def refused(self, kind: str, blocks: int, fits: tuple[int, int] | None = None, most: int | None = None) -> None:
        """A range was too large: of blocks, of results or of bytes. `fits` and `most` are what the node proposes."""
        span = self._spans.setdefault(kind, _Span(self._first))
        if span.has_grown and span.worked == 0:
            span.patience = min(_MOST_PATIENCE, span.patience * 2)
        is_still_dense = span.worked == 0 and not span.has_grown
        span.refused_at = max(blocks, span.refused_at) if is_still_dense else blocks
        span.worked, span.has_grown = 0, False
        if most is not None and 0 < most < blocks:
            span.blocks = span.most = most
        elif fits is not None and 0 < fits[1] - fits[0] + 1 < blocks:
            span.blocks = fits[1] - fits[0] + 1
        else:
            span.blocks = max(1, blocks // 2)

    def learned(self) -> dict[str, int]:
        """Kind of filter → blocks, where that differs from what was remembered."""
        return {kind: span.blocks for kind, span in self._spans.items() if self._remembered.get(kind) != span.blocks}
