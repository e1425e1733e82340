"""The chain behind a synthetic world: each fill is an OrderFilled log in a block, and blocks can be reorganised.

Beside the log of each fill there is one of whoever was on the other side, who is none of the world's wallets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from simulator.blocks import SECOND_EXCHANGE, block_of, time_of
from simulator.digest import Digest
from simulator.world import Fill, World

#: First topics of OrderFilled, of the first exchanges and of the later ones.
TOPICS = (
    "0xd0a08e8c493f9c94f29311604c9de1b4e8c8d4c06bd0c789af57f2d65bfec0f6",
    "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
)
#: A reorganised transaction comes at most so many blocks later than before.
_FARTHEST = 3
_ZERO = "0" * 64


@dataclass(frozen=True, slots=True)
class Log:
    """An event log: where it stands, who emitted it, its topics and data (0x…)."""

    block: int
    index: int
    tx_hash: str
    address: str
    topics: tuple[str, str, str, str]
    data: str


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """From `block` on everything was mined anew; `salt` decides what became of each transaction."""

    block: int
    salt: int


class Chain:
    """Blocks and logs of a world up to `head`."""

    def __init__(self, world: World, head: int) -> None:
        """Lay out the chain; its logs are made when they are asked for."""
        self.head = head
        self._world = world
        self._digest = Digest(world.settings.seed)
        self._reorganisations: list[Reorganisation] = []

    def reorganise(self, depth: int, salt: int) -> int:
        """Mine the last `depth` blocks anew and return the first of them."""
        block = max(0, self.head - depth + 1)
        self._reorganisations.append(Reorganisation(block, salt))
        return block

    def block(self, number: int) -> tuple[str, str, int]:
        """Return hash, parent's hash and time of a block."""
        return self._hash(number), self._hash(number - 1), time_of(number)

    def _hash(self, number: int) -> str:
        salts = tuple(one.salt for one in self._reorganisations if one.block <= number)
        return self._digest.hash32("block", number, salts)

    def logs(
        self,
        first: int,
        last: int,
        addresses: Collection[str],
        is_wanted: Callable[[Log], bool],
        makers: list[str] | None,
    ) -> list[Log]:
        """Return the logs of blocks `first` to `last`, in their order.

        `addresses` empty means all of them. `makers`, if given, are the only ones wanted; it spares looking at others.
        """
        found = [
            log
            for log in self._candidates(first, min(last, self.head), makers)
            if (not addresses or log.address in addresses) and is_wanted(log)
        ]
        found.sort(key=lambda log: (log.block, log.index))
        return found

    def _candidates(self, first: int, last: int, makers: list[str] | None) -> Iterator[Log]:
        if first > last:
            return
        slack = _FARTHEST * len(self._reorganisations)
        since, until = time_of(max(0, first - slack)), time_of(last)
        numbers = range(len(self._world.wallets)) if makers is None else self._world.numbers(makers)
        for wallet in numbers:
            times = self._world.columns(wallet).time
            for place in range(bisect_left(times, since), bisect_right(times, until)):
                fill = self._world.fill(wallet, place)
                where = self._place(block_of(fill.at), fill)
                if where is not None and first <= where[0] <= last:
                    yield self._own(fill, *where)
                    if makers is None:
                        yield self._other(fill, *where)

    def _place(self, block: int, fill: Fill) -> tuple[int, int] | None:
        """Return block and log index of a fill after all reorganisations; None if its transaction is not there."""
        index, is_there = fill.log_index, True
        for number, one in enumerate(self._reorganisations, start=1):
            if block >= one.block:
                fate = int(self._digest.hash32("fate", one.salt, fill.tx_hash)[2:4], 16)
                is_there = fate >= 40
                if 40 <= fate < 110:
                    block, index = block + 1 + fate % _FARTHEST, fill.log_index + 5_000 * number
        return (block, index) if is_there and block <= self.head else None

    def _own(self, fill: Fill, block: int, index: int) -> Log:
        exchange = self._world.exchange_of(fill.outcome, fill.at)
        fee = fill.shares // 500 if fill.taker == exchange else 0
        return _log(fill, block, index, exchange, fill.order_hash, fill.wallet, fill.taker, fill.is_sell, fee)

    def _other(self, fill: Fill, block: int, index: int) -> Log:
        """The log of the other side: the maker's, if the wallet was the taker, else the taker's own."""
        exchange = self._world.exchange_of(fill.outcome, fill.at)
        order_hash = self._digest.hash32("other order", fill.order_hash, fill.log_index)
        if fill.taker == exchange:
            maker, taker = self._digest.address("other", order_hash), fill.wallet
        else:
            maker, taker = fill.taker, exchange
        return _log(fill, block, index + 2_000_000, exchange, order_hash, maker, taker, not fill.is_sell, 0)


def _log(
    fill: Fill, block: int, index: int, exchange: str, order_hash: str, maker: str, taker: str, is_sell: bool, fee: int
) -> Log:
    token = f"{int(fill.token_id):064x}"
    given, received = (fill.shares, fill.usdc) if is_sell else (fill.usdc, fill.shares)
    amounts = f"{given:064x}{received:064x}{fee:064x}"
    if fill.at >= SECOND_EXCHANGE:
        topic, data = TOPICS[1], f"{is_sell:064x}{token}{amounts}{_ZERO}{_ZERO}"
    else:
        topic, data = TOPICS[0], (token + _ZERO if is_sell else _ZERO + token) + amounts
    topics = (topic, order_hash, "0x" + _ZERO[:24] + maker[2:], "0x" + _ZERO[:24] + taker[2:])
    return Log(block, index, fill.tx_hash, exchange, topics, "0x" + data)
