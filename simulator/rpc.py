"""The JSON-RPC node of a synthetic world's chain, with the limits and the words of several providers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from simulator.blocks import time_of
from simulator.chain import Chain, Log

_QUANTITY = re.compile(r"0x[0-9a-f]+")


class RpcError(Exception):
    """An answer that is an error: its code, its words, perhaps data, and the HTTP status that carries it."""

    def __init__(self, code: int, message: str, data: Any = None, status: int = 200) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.status = status


@dataclass(frozen=True, slots=True)
class Node:
    """What a node gives and refuses.

    `max_blocks` and `max_results` bound one `eth_getLogs`; `keeps` is how many blocks behind the head it still has;
    `behind`: each third request is answered by another one, so many blocks behind; `finality`: how far `finalized` is
    behind the head (-1: the tag is unknown); `lose`, `twice`: each N-th answer with logs lacks one, or has one twice.
    """

    style: str = "plain"
    max_blocks: int = 0
    max_results: int = 0
    max_topics: int = 0
    keeps: int = 0
    behind: int = 0
    finality: int = 8
    times: int = 1
    batches: int = 1
    lose: int = 0
    twice: int = 0


STYLES = ("plain", "alchemy", "quicknode", "infura", "publicnode")
SETTINGS = {one.name.replace("_", "-"): one.name for one in fields(Node)}


def node_of(specs: list[str]) -> Node:
    """Return the node that `NAME=VALUE` settings describe. Raises ValueError with the settings that there are."""
    values: dict[str, Any] = {}
    for spec in specs:
        name, _, text = spec.partition("=")
        if name not in SETTINGS or not text or (name == "style" and text not in STYLES):
            raise ValueError(f"{spec!r}: write NAME=VALUE with {', '.join(SETTINGS)}; a style is {', '.join(STYLES)}")
        values[SETTINGS[name]] = text if name == "style" else int(text)
    return Node(**values)


class Rpc:
    """Answers JSON-RPC requests about a chain."""

    def __init__(self, chain: Chain, node: Node) -> None:
        """Serve `chain` as `node` would."""
        self.chain = chain
        self._node = node
        self._asked = self._gave = 0
        self._methods: dict[str, Callable[[list[Any], int], Any]] = {
            "eth_chainId": lambda params, head: "0x89",
            "eth_blockNumber": lambda params, head: hex(head),
            "eth_getBlockByNumber": self._block,
            "eth_getLogs": self._logs,
        }

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """Return HTTP status and body of an answer to one request or a batch."""
        try:
            request = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return 400, _failed(None, RpcError(-32700, "parse error"))
        self._asked += 1
        # All of a batch is answered by one node.
        head = self.chain.head - (self._node.behind if self._node.behind and self._asked % 3 == 0 else 0)
        if isinstance(request, list):
            if not self._node.batches:
                return 400, _failed(None, RpcError(-32600, "batch requests are not supported"))
            return 200, b"[" + b",".join(self._one(each, head)[1] for each in request) + b"]"
        return self._one(request, head)

    def _one(self, request: Any, head: int) -> tuple[int, bytes]:
        if not isinstance(request, dict):
            return 200, _failed(None, RpcError(-32600, "invalid request"))
        name = request.get("id")
        method = self._methods.get(request.get("method", ""))
        try:
            if method is None:
                raise RpcError(-32601, f"the method {request.get('method')} does not exist")
            result = method(request.get("params", []), head)
        except RpcError as error:
            return error.status, _failed(name, error)
        made = result if isinstance(result, bytes) else msgspec.json.encode(result)
        return 200, b'{"jsonrpc":"2.0","id":' + msgspec.json.encode(name) + b',"result":' + made + b"}"

    def _number(self, text: Any, head: int) -> int:
        if text in ("latest", "pending", "safe"):
            return head
        if text == "earliest":
            return 0
        if text == "finalized":
            if self._node.finality < 0:
                raise RpcError(-39001, "finalized block not found")
            return max(0, self.chain.head - self._node.finality)
        if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
            raise RpcError(-32602, f"invalid argument 0: {text!r} is no block number")
        return int(text, 16)

    def _block(self, params: list[Any], head: int) -> Any:
        number = self._number(params[0] if params else None, head)
        if number > head:
            return None
        own, parent, time = self.chain.block(number)
        return {"number": hex(number), "hash": own, "parentHash": parent, "timestamp": hex(time), "transactions": []}

    def _logs(self, params: list[Any], head: int) -> bytes:
        wanted = params[0] if params and isinstance(params[0], dict) else {}
        first, last = (self._number(wanted.get(name, "latest"), head) for name in ("fromBlock", "toBlock"))
        if first > last:
            raise RpcError(-32602, "invalid block range params")
        self._check_range(first, last, head)
        addresses = wanted.get("address") or []
        addresses = {addresses.lower()} if isinstance(addresses, str) else {one.lower() for one in addresses}
        topics = [_alternatives(one) for one in wanted.get("topics", [])]
        if self._node.max_topics and any(one and len(one) > self._node.max_topics for one in topics):
            raise RpcError(-32602, f"exceed max topics: at most {self._node.max_topics} in a position")
        makers = sorted("0x" + one[26:] for one in topics[2]) if len(topics) > 2 and topics[2] else None
        found = self.chain.logs(first, min(last, head), addresses, lambda log: _matches(log, topics), makers)
        if self._node.max_results and len(found) > self._node.max_results:
            self._refuse_results(first, last, found)
        return self.rendered(found)

    def rendered(self, found: list[Log]) -> bytes:
        """Return logs as the JSON list of an answer."""
        logs = list(found)
        if logs:
            self._gave += 1
            if self._node.lose and self._gave % self._node.lose == 0:
                del logs[self._gave % len(logs)]
            if self._node.twice and self._gave % self._node.twice == 0:
                logs.append(found[self._gave % len(found)])
        return b"[" + b",".join(self._render(log) for log in logs) + b"]"

    def _render(self, log: Log) -> bytes:
        time = f'"blockTimestamp":"{time_of(log.block):#x}",' if self._node.times else ""
        topics = '","'.join(log.topics)
        return (
            f'{{"address":"{log.address}","topics":["{topics}"],"data":"{log.data}","blockNumber":"{log.block:#x}",'
            f'"transactionHash":"{log.tx_hash}","transactionIndex":"0x1","blockHash":"{self.chain.block(log.block)[0]}",'
            f'{time}"logIndex":"{log.index:#x}","removed":false}}'
        ).encode()

    def _check_range(self, first: int, last: int, head: int) -> None:
        node = self._node
        if node.keeps and first < head - node.keeps:
            if node.style == "publicnode":
                raise RpcError(-32602, "Archive requests require a personal token", status=403)
            raise RpcError(4444, "pruned history unavailable")
        count = last - first + 1
        if not node.max_blocks or count <= node.max_blocks:
            return
        if node.style == "alchemy":
            fits = f"[{first:#x}, {first + node.max_blocks - 1:#x}]"
            raise RpcError(
                -32600,
                f"You can make eth_getLogs requests with up to a {node.max_blocks} block range. Based on your "
                f"parameters, this block range should work: {fits}",
                status=400,
            )
        if node.style == "quicknode":
            raise RpcError(-32614, f"eth_getLogs is limited to a {node.max_blocks:,} range", status=413)
        raise RpcError(-32602, f"range {count} exceeds limit of {node.max_blocks}")

    def _refuse_results(self, first: int, last: int, found: list[Log]) -> None:
        limit = self._node.max_results
        fits = max(first, found[limit].block - 1)
        proposed = {"from": hex(first), "to": hex(fits), "limit": limit}
        if self._node.style == "infura":
            raise RpcError(
                -32005,
                f"query returned more than {limit} results. Try with this block range [{first:#x}, {fits:#x}].",
                proposed,
            )
        if self._node.style == "alchemy":
            raise RpcError(
                -32602,
                "Log response size exceeded. Based on your parameters and the response size limit, this block range "
                f"should work: [{first:#x}, {fits:#x}]",
            )
        raise RpcError(-32005, f"query exceeds max results {limit}")


def _alternatives(topic: Any) -> frozenset[str] | None:
    """What a position of a filter lets through; None, and an empty list too, is everything."""
    if not topic:
        return None
    return frozenset([topic.lower()] if isinstance(topic, str) else [one.lower() for one in topic])


def _matches(log: Log, topics: list[frozenset[str] | None]) -> bool:
    return all(one is None or log.topics[place] in one for place, one in enumerate(topics))


def _failed(name: Any, error: RpcError) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": name, "error": error.error})
