"""Records that no reader should accept, each damaged in one known way and still valid JSON.

A record without `user` is not among them: who asked for one wallet knows whose it is.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

Record = dict[str, msgspec.Raw]

_HUGE_PRICE = msgspec.Raw(b"1e400")
_TOO_MANY_SHARES = msgspec.Raw(b"18446744073709551616")


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _without(name: str) -> Callable[[Record], None]:
    def damage(record: Record) -> None:
        del record[name]

    return damage


def _with(name: str, value: msgspec.Raw) -> Callable[[Record], None]:
    def damage(record: Record) -> None:
        record[name] = value

    return damage


def _bad_hex(record: Record) -> None:
    record["tx_hash"] = _raw("0xzz" + msgspec.json.decode(record["tx_hash"], type=str)[4:])


def _negative_shares(record: Record) -> None:
    record["shares"] = msgspec.Raw(b"-" + bytes(record["shares"]))
    record["shares_normalized"] = msgspec.Raw(b"-" + bytes(record["shares_normalized"]))


def _disagreeing_shares(record: Record) -> None:
    record["shares_normalized"] = _raw(msgspec.json.decode(record["shares_normalized"], type=float) * 1_000 + 1)


#: Name of the damage and the function that does it, in the order in which they take turns.
KINDS: tuple[tuple[str, Callable[[Record], None]], ...] = (
    ("no transaction hash", _without("tx_hash")),
    ("no timestamp", _without("timestamp")),
    ("transaction hash that is not hexadecimal", _bad_hex),
    ("price above one", _with("price", _raw(1.7))),
    ("price that is no number", _with("price", _raw("abc"))),
    ("price beyond any float", _with("price", _HUGE_PRICE)),
    ("negative shares", _negative_shares),
    ("more shares than 64 bits hold", _with("shares", _TOO_MANY_SHARES)),
    ("shares and shares_normalized apart", _disagreeing_shares),
    ("unknown side", _with("side", _raw("HOLD"))),
    ("timestamp near 1970", _with("timestamp", _raw(12))),
)


def spoil(sound: bytes, turn: int) -> bytes:
    """Return the JSON text of `sound` damaged in the way whose turn it is (`turn` counts on past the last kind)."""
    record = msgspec.json.decode(sound, type=Record)
    KINDS[turn % len(KINDS)][1](record)
    return msgspec.json.encode(record)
