"""From an answer of a node to rows in the intake: logs read, times of their blocks looked up."""

from collections.abc import Sequence

from runner.landing.intake import Intake
from runner.landing.logs import LogReader, Logs
from runner.sources.exchanges import known_exchanges
from runner.sources.polygon import Answer, Nodes
from runner.warehouse.protocol import ChainFill


class ChainReader:
    """Hands logs in, and what is gone."""

    def __init__(self, nodes: Nodes, intake: Intake) -> None:
        self._nodes = nodes
        self._intake = intake
        self._logs = LogReader(known_exchanges())

    async def take(
        self, answer: Answer, wallets: frozenset[str], version: int = 0
    ) -> tuple[Logs, tuple[int, int] | None]:
        """Hands in the fills of `wallets` in an answer, at least as of `version`.

        Gives them, and block and Unix time of the first of them.

        Raises:
            UpstreamError: the node answered something else than it was asked for.
        """
        logs = self._logs.read(answer.logs, wallets, answer.first, answer.last)
        blocks = await self._nodes.blocks(logs.blocks_without_time)
        times = {number: block.time for number, block in blocks.items()}
        origin = f"blocks {answer.first} to {answer.last}"
        self._intake.add_logs(answer.logs, logs, times, max(answer.head, version), origin)
        return logs, logs.earliest(times)

    def retract(self, fills: Sequence[ChainFill], version: int) -> None:
        """Hands in that fills are gone, as of `version`."""
        self._intake.add_removed(fills, version)

    def flush(self) -> None:
        """Lands what has been handed in."""
        self._intake.flush()
