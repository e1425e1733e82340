"""The simulator's node, asked and read here: independent of the runner's own reading."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

from runner_tests.support import Running
from simulator.blocks import time_of

ORDER_FILLED = [
    "0xd0a08e8c493f9c94f29311604c9de1b4e8c8d4c06bd0c789af57f2d65bfec0f6",
    "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
]


def post(node: Running, body: Any, path: str = "/rpc") -> tuple[int, Any]:
    """Status and JSON of an answer to a JSON body."""
    connection = HTTPConnection("127.0.0.1", node.ready["port"], timeout=30)
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def call(node: Running, method: str, *params: Any) -> Any:
    """The result of one call, or its error."""
    answer = post(node, {"jsonrpc": "2.0", "id": 7, "method": method, "params": params})[1]
    assert answer["id"] == 7
    return answer.get("result", answer.get("error"))


def logs(node: Running, **wanted: Any) -> Any:
    """All logs of the chain that a filter lets through."""
    return call(node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", **wanted})


def all_logs(node: Running, at_a_time: int, back: int) -> list[dict[str, Any]]:
    """The logs of the last `back` blocks, from a node that gives so many blocks at a time."""
    head = int(call(node, "eth_blockNumber"), 16)
    found = []
    for first in range(head - back, head + 1, at_a_time):
        last = min(head, first + at_a_time - 1)
        found += logs(node, fromBlock=hex(first), toBlock=hex(last))
    return found


def padded(wallet: str) -> str:
    """An address as a topic."""
    return "0x" + "0" * 24 + wallet[2:]


def fill_of(log: dict[str, Any]) -> dict[str, Any]:
    """A log in the words of the order API."""
    words = [int(log["data"][start : start + 64], 16) for start in range(2, len(log["data"]), 64)]
    if log["topics"][0] == ORDER_FILLED[0]:
        is_sell, token = words[0] != 0, words[0] or words[1]
        given, received = words[2:4]
    else:
        is_sell, token, given, received = words[0] == 1, *words[1:4]
    shares, usdc = (given, received) if is_sell else (received, given)
    return {
        "user": "0x" + log["topics"][2][26:],
        "taker": "0x" + log["topics"][3][26:],
        "order_hash": log["topics"][1],
        "tx_hash": log["transactionHash"],
        "side": "SELL" if is_sell else "BUY",
        "token_id": str(token),
        "shares": shares,
        "price": usdc / shares,
        "timestamp": time_of(int(log["blockNumber"], 16)),
        "block_number": int(log["blockNumber"], 16),
        "log_index": int(log["logIndex"], 16),
    }
