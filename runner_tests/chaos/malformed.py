"""Records that nobody should take, by the thousand, and odd ones that everybody should: equal seeds, equal records."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from runner_tests.support import order

NEWEST = 1_769_466_633
_GONE = object()
_LONG = "x" * 300_000

_BAD: dict[str, tuple[object, ...]] = {
    "user": ("0x12", "nobody", 7, [], {"a": 1}, "0x" + "g" * 40, "0x" + "b" * 40, True, "0x" + "a" * 41),
    "tx_hash": (_GONE, None, "", "0x12", 5, [], {}, "0x" + "z" * 64, "1" * 64, "0x" + "1" * 65, False),
    "order_hash": ("0x12", 5, [], {}, "0x" + "z" * 64, True, " "),
    "timestamp": (_GONE, None, "", "yesterday", 12, -1, 1.5, True, [], {}, 10**15, 10**40, "2026-01-31", 1e300),
    "side": (_GONE, None, "", "HOLD", "buy", 1, [], {}, True, "MERGE", "SPLIT", "REDEEM", "BUY "),
    "token_id": (_GONE, None, "", "12a", -5, 1.5, [], {}, True, "9" * 79, "0x12", "١٢"),
    "price": (_GONE, None, "", -0.1, 1.7, "abc", True, [], {}, 1e300, "nan", "inf", "1_0", " 0.5"),
    "shares": (0, -1, 1.5, "x", True, [], {}, 2**63, 2**64, 10**400, "1e3"),
    "shares_normalized": (0, -2, 2.1, "x", True, [], {}, 1e300, "nan", 9_000_000),
    "condition_id": ("0x12", 5, [], {}, True, "0x" + "z" * 64),
    "taker": ("0x1", 7, [], {}, True, "0x" + "g" * 40),
    "log_index": (-1, 1.5, "x", True, [], {}, 2**63),
    "block_number": (-1, 1.5, "x", True, [], {}, 2**64),
    "market_slug": (5, [], {}, True, 0.5),
    "title": (5, [], {}, True, 0.5),
    "token_label": (5, [], {}, True, 0.5),
    "status": ("pending", "failed", 1, [], {}, True),
}
"""Values that each break a rule by themselves."""

_ODD: tuple[dict[str, object], ...] = (
    {"user": _GONE},
    {"user": "0x" + "A" * 40},
    {"order_hash": None},
    {"order_hash": ""},
    {"timestamp": str(NEWEST)},
    {"timestamp": NEWEST * 1000},
    {"timestamp": float(NEWEST)},
    {"price": "0.5"},
    {"price": 1},
    {"price": 0},
    {"price": "5e-1"},
    {"shares": "2000000"},
    {"shares": _GONE},
    {"shares_normalized": _GONE},
    {"shares_normalized": "2.0"},
    {"token_id": 77},
    {"condition_id": None},
    {"condition_id": "0x" + "C" * 62},
    {"log_index": "0x1f"},
    {"block_number": "12"},
    {"status": "CONFIRMED"},
    {"title": None},
    {"title": _LONG},
    {"what_is_this": {"deep": [1, {"a": None}]}},
    {"amount": 12345678901234567890123},
)
"""Changes after which a record is as good as before."""


def _text(number: int, changes: dict[str, Any]) -> bytes:
    record = order(tx_hash=f"0x{number:064x}", timestamp=NEWEST - number // 100, id=f"record {number}")
    record |= changes
    return json.dumps({name: value for name, value in record.items() if value is not _GONE}).encode()


def _no_record(number: int, chance: random.Random) -> bytes:
    """Something in a list of records that is no record; the number makes it one of its kind."""
    return chance.choice(
        (
            f"{number}",
            f"-{number}.5e3",
            f'"a text, number {number}"',
            f"[{number}]",
            f"[null, {number}]",
            f'{{"error": "number {number}"}}',
            f'{{"number": {number}, "side": "BUY"}}',
            "[" * 50 + f"{number}" + "]" * 50,
        )
    ).encode()


def bad(seed: int, count: int) -> Iterator[bytes]:
    """Records that break at least one rule, no two the same; every field and every value has its turn."""
    chance = random.Random(seed)
    every = [(name, value) for name, values in _BAD.items() for value in values]
    for number in range(count):
        if number % 20 == 0:
            yield _no_record(number, chance)
            continue
        name, value = every[number % len(every)]
        changes = {name: value}
        for other in chance.sample(sorted(_BAD), chance.choice((0, 0, 1, 2))):
            changes.setdefault(other, chance.choice(_BAD[other]))
        if number % 250 == 1:
            changes.setdefault("what_is_this", _LONG)
        yield _text(number, changes)


def odd(first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Sound records in every form that is met, with their transaction hashes; numbered from `first`."""
    for number in range(first, first + count):
        yield f"0x{number:064x}", _text(number, dict(_ODD[number % len(_ODD)]))
