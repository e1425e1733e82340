"""The Polygon chain over JSON-RPC: heads, blocks and their times, and event logs, from one or several nodes.

Facts. Block times are uneven (2 s in early 2026, 1.5 s in its summer), so a block is found by bisection between blocks
whose times are known. A node behind answers a range beyond its head with an empty list, so each answer is asked for
together with whether its node knows the last block. An empty list at a topic's position matches everything.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

import msgspec

from runner import log
from runner.errors import KeyRefused, PolytradesError, TooLong, Unavailable, UpstreamError, UsageError
from runner.settings import Settings
from runner.sources.exchanges import Exchange
from runner.sources.http import Budget, Http
from runner.sources.ranges import Spans
from runner.sources.rpc import Refusal, Refused, Rpc

SOURCE = "polygon"
CHAIN_ID = 137
_SICK_SECONDS = 60.0
"""How long a node that failed is asked last."""
_BLOCKS_AT_ONCE = 100
"""Headers asked for in one batch."""
_REMEMBERED = 200_000
"""Blocks whose times are kept; an answer holds logs of fewer."""


class _Header(msgspec.Struct):
    number: str
    hash: str
    timestamp: str


@dataclass(frozen=True)
class Block:
    """A block: its number, its hash, its time in Unix seconds."""

    number: int
    hash: str
    time: int


@dataclass(frozen=True)
class LogFilter:
    """Which logs are asked for: OrderFilled of these exchanges, of these makers (empty: of everybody)."""

    exchanges: tuple[Exchange, ...]
    wallets: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What limits are remembered by: how many logs a block holds depends on it."""
        return "wallets" if self.wallets else "everybody"

    def params(self, first: int, last: int) -> dict[str, object]:
        """The parameter of eth_getLogs."""
        topics: list[object] = [sorted({exchange.topic for exchange in self.exchanges})]
        if self.wallets:
            topics += [None, ["0x" + "0" * 24 + wallet[2:] for wallet in self.wallets]]
        return {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": [exchange.address for exchange in self.exchanges],
            "topics": topics,
        }


@dataclass(frozen=True)
class Answer:
    """Logs of blocks `first` to `last`, a JSON list; `first` may be later than was asked for. `head`: of its node."""

    first: int
    last: int
    logs: bytes
    head: int


@dataclass
class _Node:
    rpc: Rpc
    spans: Spans
    sick_until: float = 0.0
    has_from: int = 0
    """The first block that it may have; older ones it has refused."""


def addresses(settings: Settings) -> list[str]:
    """The nodes' addresses, in the order in which they are preferred.

    Raises:
        UsageError: there is none, or one is no web address.
    """
    text = settings.polygon_rpc_urls.get_secret_value() if settings.polygon_rpc_urls else ""
    found = text.replace(",", " ").split()
    if not found:
        raise UsageError(
            "The source polygon needs a node: set POLYTRADES_POLYGON_RPC_URLS to the address of a JSON-RPC endpoint of "
            "Polygon, or to several with spaces between them. It is a secret and read from the environment only."
        )
    for address in found:
        log.hide(address)
        if not address.startswith(("http://", "https://")) or not urlsplit(address).hostname:
            raise UsageError("Each address in POLYTRADES_POLYGON_RPC_URLS must start with http:// or https://.")
    return found


class Nodes:
    """Several nodes as one: the first that is well answers, the next where it cannot.

    Use it as an async context manager. `limits` are what former runs have learned: (host, kind of filter) → blocks.
    """

    def __init__(
        self, settings: Settings, budget: Budget | None = None, limits: dict[tuple[str, str], int] | None = None
    ) -> None:
        urls = addresses(settings)
        self.budget = budget or Budget()
        self._nodes = []
        for url in urls:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
            http = Http(
                "The Polygon node",
                url,
                "POLYTRADES_POLYGON_RPC_URLS",
                requests_per_second=settings.requests_per_second,
                in_flight=settings.requests_in_flight,
                timeout=settings.request_timeout_seconds,
                # Another node is better than another attempt.
                attempts=settings.request_attempts if len(urls) == 1 else min(2, settings.request_attempts),
                patience=settings.request_patience_seconds,
                budget=self.budget,
                shown_url=host,
            )
            known = {kind: blocks for (name, kind), blocks in (limits or {}).items() if name == host}
            self._nodes.append(_Node(Rpc(http, host), Spans(settings.polygon_block_range, known)))
        self._blocks: dict[int, Block] = {}
        self._head = 0

    async def __aenter__(self) -> "Nodes":
        for node in self._nodes:
            await node.rpc.http.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for node in self._nodes:
            await node.rpc.http.__aexit__(None, None, None)

    @property
    def has_given_up(self) -> bool:
        """No node answers any more."""
        return all(node.rpc.http.has_given_up for node in self._nodes)

    @property
    def requests(self) -> int:
        """Requests sent so far, batches counted once."""
        return sum(node.rpc.http.requests for node in self._nodes)

    def learned(self) -> dict[tuple[str, str], int]:
        """What was learned of the nodes' limits: (host, kind of filter) → blocks."""
        return {(node.rpc.host, kind): blocks for node in self._nodes for kind, blocks in node.spans.learned().items()}

    def span(self, kind: str) -> int:
        """How many blocks the preferred node is asked for at a time."""
        return self._in_order()[0].spans.of(kind)

    def is_known(self, kind: str) -> bool:
        """Whether the preferred node's limit has been met or remembered."""
        return self._in_order()[0].spans.is_known(kind)

    # Blocks.

    async def check_chain(self) -> None:
        """Refuses a node of another chain.

        Raises:
            UsageError: it is one.
        """
        found = await self._first_answer([("eth_chainId", [])])
        number = int(msgspec.json.decode(found[0], type=str), 16)
        if number != CHAIN_ID:
            raise UsageError(
                f"The node in POLYTRADES_POLYGON_RPC_URLS is of chain {number}; Polygon is chain {CHAIN_ID}."
            )

    async def head(self, finality: str) -> tuple[Block, bool]:
        """The newest block that may be read, and whether it is final.

        Args:
            finality: `finalized`, `latest`, or `auto`: finalized where the node knows the tag.
        """
        if finality != "latest":
            for node in self._in_order():
                answer = await self._try(node, [("eth_getBlockByNumber", ["finalized", False])])
                if answer is not None and isinstance(answer[0], bytes) and answer[0] != b"null":
                    return self._seen(self._header(answer[0])), True
            if finality == "finalized":
                raise UpstreamError(
                    "No node of POLYTRADES_POLYGON_RPC_URLS knows the block `finalized`. Set "
                    "POLYTRADES_POLYGON_FINALITY to latest, to stay settle_lag_minutes behind the newest block instead."
                )
        found = await self._first_answer([("eth_getBlockByNumber", ["latest", False])])
        return self._seen(self._header(found[0])), False

    async def blocks(self, numbers: Sequence[int], fresh: bool = False) -> dict[int, Block]:
        """Number → block; asked for in batches, and only those that are not known yet unless `fresh`."""
        missing = [number for number in dict.fromkeys(numbers) if fresh or number not in self._blocks]
        for start in range(0, len(missing), _BLOCKS_AT_ONCE):
            part = missing[start : start + _BLOCKS_AT_ONCE]
            found = await self._first_answer([("eth_getBlockByNumber", [hex(number), False]) for number in part])
            for raw in found:
                self._seen(self._header(raw))
        return {number: self._blocks[number] for number in numbers}

    async def block_at(self, instant: float, first: int, head: Block) -> int:
        """The first block not before an instant (Unix seconds), from `first` on; behind the head if there is none."""
        if instant > head.time:
            return head.number + 1
        low, high = (await self.blocks([first]))[first], head
        if instant <= low.time:
            return first
        # low.time < instant <= high.time: the answer is in (low, high]. Guessed by their times, halved where guesses
        # do not help.
        guess = True
        while high.number - low.number > 1:
            middle = (low.number + high.number) // 2
            if guess:
                share = (instant - low.time) / (high.time - low.time)
                middle = min(max(low.number + int(share * (high.number - low.number)), low.number + 1), high.number - 1)
            before = high.number - low.number
            block = (await self.blocks([middle]))[middle]
            low, high = (block, high) if block.time < instant else (low, block)
            guess = not guess or high.number - low.number < before // 2
        return high.number

    # Logs.

    async def logs(self, wanted: LogFilter, first: int, last: int) -> Answer:
        """Logs of the newest blocks of `first` to `last`, as many as a node gives at a time.

        Raises:
            UpstreamError: no node gives them; the message says why.
            Unavailable: for a reason that may pass.
        """
        problems: list[str] = []
        worst: PolytradesError | None = None
        for node in self._in_order():
            try:
                answer = await self._logs_of(node, wanted, first, last)
            except (Unavailable, KeyRefused) as error:
                node.sick_until = time.monotonic() + _SICK_SECONDS
                worst = worst or error
                problems.append(str(error))
                continue
            if isinstance(answer, Answer):
                return answer
            problems.append(f"{node.rpc.host}: {answer.refusal.value} ({answer.message})")
            if answer.refusal is Refusal.NOT_YET:
                worst = worst or Unavailable("")
        text = f"No node gave the logs of blocks {first:,} to {last:,}. " + " ".join(problems)
        if isinstance(worst, KeyRefused) and len(self._nodes) == 1:
            raise worst
        if worst is not None:
            raise Unavailable(f"{text} It may pass: run the same command again.")
        raise UpstreamError(
            f"{text} Add an archive node to POLYTRADES_POLYGON_RPC_URLS, or begin later with --since or --from."
        )

    async def _logs_of(self, node: _Node, wanted: LogFilter, first: int, last: int) -> Answer | Refused:
        while True:
            span = node.spans.of(wanted.kind)
            begin = max(first, last - span + 1)
            if begin < node.has_from:
                if last < node.has_from:
                    return Refused(Refusal.NO_ARCHIVE, f"nothing before block {node.has_from:,}")
                begin = node.has_from
            try:
                found, known = await node.rpc.call(
                    ("eth_getLogs", [wanted.params(begin, last)]), ("eth_blockNumber", [])
                )
            except TooLong:
                node.spans.refused(wanted.kind, last - begin + 1)
                if last == begin:
                    raise
                continue
            except Unavailable:
                # It may have taken too long: whoever asks next asks for less.
                node.spans.refused(wanted.kind, last - begin + 1)
                raise
            if isinstance(known, Refused):
                return known
            head = int(msgspec.json.decode(known, type=str), 16)
            if head < last:
                return Refused(Refusal.NOT_YET, f"its newest block is {head:,}")
            if isinstance(found, bytes):
                node.spans.worked(wanted.kind, last - begin + 1)
                return Answer(begin, last, found, head)
            if found.refusal is Refusal.TOO_MUCH and last > begin:
                node.spans.refused(wanted.kind, last - begin + 1, found.fits, found.most_blocks)
            elif found.refusal is Refusal.NO_ARCHIVE and last > begin:
                # Somewhere in between its blocks begin.
                begin = (begin + last) // 2 + 1
                node.has_from = max(node.has_from, begin)
            elif found.refusal is Refusal.NO_ARCHIVE:
                node.has_from = max(node.has_from, last + 1)
                return found
            else:
                return found

    async def _first_answer(self, calls: list[tuple[str, list[object]]]) -> list[bytes]:
        """The results of the first node that gives all of them.

        Raises:
            Unavailable, UpstreamError, KeyRefused: none does.
        """
        problem: PolytradesError | None = None
        for node in self._in_order():
            try:
                found = await node.rpc.call(*calls)
            except (Unavailable, KeyRefused, UpstreamError) as error:
                node.sick_until = time.monotonic() + _SICK_SECONDS
                problem = problem or error
                continue
            whole = [one for one in found if isinstance(one, bytes) and one != b"null"]
            if len(whole) == len(found):
                return whole
            why = next((one.message for one in found if isinstance(one, Refused)), "it has no such block")
            problem = problem or Unavailable(
                f"The Polygon node at {node.rpc.host} did not answer {calls[0][0]}: {why}. It may pass: run the same "
                "command again."
            )
        if problem is None:
            raise AssertionError("there is always a node")
        raise problem

    async def _try(self, node: _Node, calls: list[tuple[str, list[object]]]) -> list[bytes | Refused] | None:
        try:
            return await node.rpc.call(*calls)
        except (Unavailable, KeyRefused, UpstreamError):
            if len(self._nodes) == 1:
                raise
            node.sick_until = time.monotonic() + _SICK_SECONDS
            return None

    def _in_order(self) -> list[_Node]:
        """Well ones first, each in the order of the setting."""
        now = time.monotonic()
        return sorted(self._nodes, key=lambda node: node.sick_until > now)

    def _header(self, raw: bytes) -> Block:
        try:
            header = msgspec.json.decode(raw, type=_Header)
            return Block(int(header.number, 16), header.hash.lower(), int(header.timestamp, 16))
        except (msgspec.DecodeError, ValueError) as error:
            raise UpstreamError(f"A Polygon node gave a block that cannot be read ({error}).") from None

    def _seen(self, block: Block) -> Block:
        self._blocks[block.number] = block
        if len(self._blocks) > _REMEMBERED:
            for number in list(islice(self._blocks, _REMEMBERED // 2)):
                del self._blocks[number]
        return block
