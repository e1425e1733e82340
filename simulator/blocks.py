"""Blocks and their times. They are uneven, as real ones are: two seconds long, and one second on some days.

Fills fall on even seconds of even days and on odd seconds of odd days (counted since 1970); so both kinds of border
second occur, no second shares its block with another, and a block's time is the second of its fills.
"""

from __future__ import annotations

#: The second in which the later exchanges took over from the first ones.
SECOND_EXCHANGE = 1_777_374_041
_DAY = 86_400
#: A real block and its time (Unix seconds): the anchor from which block numbers are counted.
_BLOCK, _BLOCK_AT = 82_173_330, 1_769_466_633
#: From this day on (2026-01-01) each third day has blocks of one second.
_UNEVEN_FROM = 20_454


def block_of(at: int) -> int:
    """Return the block mined at second `at`."""
    day, second = divmod(at, _DAY)
    return _FIRST + _blocks_before(day) + second // _step(day)


def time_of(block: int) -> int:
    """Return the time of a block in Unix seconds."""
    number = block - _FIRST
    day = number * 2 // _DAY  # never too late, since no block is longer
    if day > _UNEVEN_FROM:
        day = _UNEVEN_FROM + (number - _blocks_before(_UNEVEN_FROM)) * 2 // (4 * _DAY // 3)
    while _blocks_before(day + 1) <= number:
        day += 1
    while _blocks_before(day) > number:
        day -= 1
    step = _step(day)
    return day * _DAY + (number - _blocks_before(day)) * step + (day & 1 if step == 2 else 0)


def _step(day: int) -> int:
    return 1 if day >= _UNEVEN_FROM and day % 3 == 0 else 2


def _blocks_before(day: int) -> int:
    """Blocks of all days before `day`, counted from the first day of 1970."""
    even = min(day, _UNEVEN_FROM) * _DAY // 2
    if day <= _UNEVEN_FROM:
        return even
    # _UNEVEN_FROM is divisible by three: each third day from there on has twice as many.
    later = day - _UNEVEN_FROM
    return even + later * _DAY // 2 + -(-later // 3) * _DAY // 2


_FIRST = _BLOCK - _blocks_before(_BLOCK_AT // _DAY) - _BLOCK_AT % _DAY // _step(_BLOCK_AT // _DAY)
