"""Deterministic identifiers: the same seed and name always give the same hash, address or token id."""

from __future__ import annotations

from hashlib import blake2b


class Digest:
    """Derives identifiers from a seed; every identifier is independent of the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        """Bind the identifiers to `seed` (any integer)."""
        self._key = str(seed).encode()[:64]

    def hash32(self, *name: object) -> str:
        """Return 0x and 64 lower-case hex digits: a transaction hash, an order hash or a condition id."""
        return "0x" + blake2b(repr(name).encode(), digest_size=32, key=self._key).hexdigest()

    def address(self, *name: object) -> str:
        """Return 0x and 40 lower-case hex digits: a wallet."""
        return "0x" + blake2b(repr(name).encode(), digest_size=20, key=self._key).hexdigest()

    def token_id(self, *name: object) -> str:
        """Return a position id as decimal text of 77 or 78 digits.

        Real ids are hashes of 256 bits; the highest bit is set so that none is shorter than 77 digits.
        """
        raw = blake2b(repr(name).encode(), digest_size=32, key=self._key).digest()
        return str(int.from_bytes(raw, "big") | 1 << 255)
