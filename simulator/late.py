"""Fills that show up late: hidden at first, and then, all at once, inside windows that were already read."""

from __future__ import annotations

from functools import lru_cache

from simulator.orders import Feed, OrderStore, Scope, narrowed

#: Multiplying by it spreads neighbouring numbers evenly over all of 64 bits.
_SPREAD, _RANGE = 0x9E37_79B9_7F4A_7C15, 1 << 64


class LateOrders:
    """The records of a store without those that are still to come; what counts is known in full from the start."""

    def __init__(self, store: OrderStore, share: float) -> None:
        """Hide about `share` of the well-formed fills of `store`, always the same ones."""
        self._store = store
        self._hidden = frozenset(
            ref for ref in (store.well_formed().refs if share else ()) if ref * _SPREAD % _RANGE < share * _RANGE
        )
        self._without_hidden = lru_cache(maxsize=64)(self._narrow)
        self.wallets = store.wallets

    @property
    def size(self) -> int:
        """Number of records, hidden or not."""
        return self._store.size

    def feed(self, scope: Scope) -> Feed:
        """Return the records in `scope` that are not hidden."""
        return self._without_hidden(scope) if self._hidden else self._store.feed(scope)

    def well_formed(self) -> Feed:
        """Return every record that counts, hidden or not."""
        return self._store.well_formed()

    def malformed(self) -> Feed:
        """Return every malformed record; none is hidden."""
        return self._store.malformed()

    def reveal(self) -> int:
        """Hide nothing any more; return how many records show up by that."""
        revealed = len(self._hidden)
        self._hidden = frozenset()
        return revealed

    def _narrow(self, scope: Scope) -> Feed:
        return narrowed(self._store.feed(scope), lambda ref: ref not in self._hidden)
