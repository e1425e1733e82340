"""After a reorganisation: what was read of blocks that are others by now is read again, and what is gone is retracted.

A run that reads beyond what is final notes a few blocks as it saw them, before it reads their logs. The next run looks
at them: as long as the hashes agree nothing below has changed, and nothing has to be read twice.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from runner import failpoints
from runner.engine.chain_reader import ChainReader
from runner.errors import Unavailable
from runner.sources.exchanges import known_exchanges
from runner.sources.polygon import Block, LogFilter, Nodes
from runner.warehouse.protocol import KnownBlock, Variant, Warehouse
from runner.windows import utc_now

_DEPTHS = (0, 32, 256, 2_048)
"""How far behind the last block the others that are noted stand. A reorganisation before Rio went 157 blocks deep."""


class Healing:
    """Looks at the noted blocks, reads again what has to be, and notes blocks anew."""

    def __init__(self, warehouse: Warehouse, nodes: Nodes, reader: ChainReader, run_id: str, group: int) -> None:
        self._warehouse = warehouse
        self._nodes = nodes
        self._reader = reader
        self._run_id = run_id
        self._group = group

    async def heal(self, wallets: Sequence[str], head: Block, is_final: bool) -> str | None:
        """Makes good what changed since the last run; gives a sentence about it, if something did.

        Raises:
            Unavailable: the nodes have not come as far as the last run has read.
        """
        known = self._warehouse.chain_blocks()
        said = None
        if known:
            said = await self._compare(known, wallets, head)
        if known or not is_final:
            await self._note(head, is_final)
        return said

    async def _note(self, head: Block, is_final: bool) -> None:
        """Before any log is read: if the chain changes while we read, these hashes will tell the next run."""
        depths = _DEPTHS[:1] if is_final else _DEPTHS
        numbers = sorted({max(1, head.number - depth) for depth in depths})
        blocks = await self._nodes.blocks(numbers, fresh=True)
        self._warehouse.note_chain_blocks([_known(blocks[number]) for number in numbers], self._run_id, utc_now())
        failpoints.passing("blocks.noted")

    async def _compare(self, known: Sequence[KnownBlock], wallets: Sequence[str], head: Block) -> str | None:
        highest = known[-1].block_number
        if head.number < highest:
            raise Unavailable(
                f"The Polygon node is at block {head.number:,}, and the last run has read up to {highest:,}: it is "
                "behind. Run the same command again later, or name another node first."
            )
        now = await self._nodes.blocks([block.block_number for block in known], fresh=True)
        changed = [block for block in known if now[block.block_number].hash != block.block_hash]
        if not changed:
            return None
        lowest = changed[0].block_number
        agreed = [block.block_number for block in known if block.block_number < lowest]
        first = max(agreed) + 1 if agreed else max(1, lowest - _DEPTHS[-1])
        return await self._again(first, highest, wallets)

    async def _again(self, first: int, last: int, wallets: Sequence[str]) -> str:
        ends = await self._nodes.blocks([first, last])
        since, until = (datetime.fromtimestamp(ends[number].time, UTC) for number in (first, last))
        told = self._warehouse.chain_fills(first, last, since, until)
        # A version above all that is known: the head may be no higher than when those were read.
        version = max((fill.upstream_version for fill in told), default=0) + 1
        owners = sorted({*wallets, *(fill.wallet_address for fill in told)})
        seen: set[Variant] = set()
        exchanges = tuple(known_exchanges().values())
        for start in range(0, len(owners), self._group):
            part = tuple(owners[start : start + self._group])
            top = last
            while top >= first:
                answer = await self._nodes.logs(LogFilter(exchanges, part), first, top)
                taken, _ = await self._reader.take(answer, frozenset(part), version)
                version = max(version, answer.head)
                seen.update(taken.variants())
                top = answer.first - 1
        gone = [fill for fill in told if fill.variant not in seen]
        self._reader.retract(gone, version)
        self._reader.flush()
        failpoints.passing("reorganisation.healed")
        return (
            f"The chain was reorganised: blocks {first:,} to {last:,} were read again. {len(gone):,} of {len(told):,} "
            "fills are gone from there; what came back elsewhere is landed with its new place."
        )


def _known(block: Block) -> KnownBlock:
    return KnownBlock(block.number, block.hash, datetime.fromtimestamp(block.time, UTC))
