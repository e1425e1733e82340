"""Other ways from the JSON of `eth_getLogs` to fills, for bench/decode.py. Runs in an environment of its own.

    .venv/bench/bin/python bench/decode_rivals.py {web3,cherry} FOLDER SHARE

Reads the answers in FOLDER (one in SHARE of them) and makes of each log what a fill needs: wallet, transaction, order,
side, token, amounts, price, fee, block and position. Prints logs and processor seconds (the best of three) as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_INDEXED = (("orderHash", "bytes32"), ("maker", "address"), ("taker", "address"))
_DATA = ("makerAssetId", "takerAssetId", "makerAmountFilled", "takerAmountFilled", "fee")


def web3(bodies: list[bytes]) -> int:
    """web3.py's own event processing, one log after the other."""
    get_event_data = import_module("web3._utils.events").get_event_data
    codec = import_module("web3").Web3().codec
    inputs = [{"name": name, "type": kind, "indexed": True} for name, kind in _INDEXED]
    inputs += [{"name": name, "type": "uint256", "indexed": False} for name in _DATA]
    abi = {"type": "event", "name": "OrderFilled", "anonymous": False, "inputs": inputs}
    rows = []
    for body in bodies:
        for log in json.loads(body):
            raw = {**log, "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]]}
            raw |= {"data": bytes.fromhex(log["data"][2:])}
            event = get_event_data(codec, abi, raw)["args"]
            rows.append(_row(log, event["maker"], event["orderHash"], [event[name] for name in _DATA]))
    return len(rows)


def cherry(bodies: list[bytes]) -> int:
    """The decoder of cherry-core, written in Rust: an answer's logs as Arrow columns in, Arrow columns out.

    JSON is read by msgspec, as polytrades does; of the fill's own columns the amounts, the side and the price are made.
    Assets are given as bytes32, since its integers of 256 bits have a sign and half of the token ids do not fit.
    """
    core, pa, pc, msgspec = (import_module(name) for name in ("cherry_core", "pyarrow", "pyarrow.compute", "msgspec"))
    kinds = ["bytes32" if name.endswith("AssetId") else "uint256" for name in _DATA]
    data = [f"{kind} {name}" for name, kind in zip(_DATA, kinds, strict=True)]
    signature = f"OrderFilled({', '.join([f'{kind} indexed {name}' for name, kind in _INDEXED] + data)})"
    count = 0
    for body in bodies:
        logs = msgspec.json.decode(body)
        columns = {f"topic{place}": [log["topics"][place] for log in logs] for place in range(4)}
        columns["data"] = [log["data"] for log in logs]
        arrays = [core.prefix_hex_decode_column(pa.array(values, pa.string())) for values in columns.values()]
        batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
        event = core.evm_decode_events(signature, batch)
        given, received, fee = (event.column(name).cast(pa.decimal128(38, 0)) for name in _DATA[2:])
        is_buy = pc.equal(event.column("makerAssetId"), pa.scalar(bytes(32), pa.binary()))
        shares, usdc = pc.if_else(is_buy, received, given), pc.if_else(is_buy, given, received)
        price = pc.divide(usdc.cast(pa.float64()), shares.cast(pa.float64()))
        places = [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in logs]
        hashes = pa.array([log["transactionHash"] for log in logs])
        count += len(price) if len(places) == len(hashes) == len(fee) else 0
    return count


def _row(log: dict[str, Any], maker: str, order_hash: Any, data: list[int]) -> tuple[Any, ...]:
    maker_asset, taker_asset, given, received, fee = data
    is_buy = maker_asset == 0
    usdc, shares = (given, received) if is_buy else (received, given)
    token = str(taker_asset if is_buy else maker_asset)
    place = int(log["blockNumber"], 16), int(log["logIndex"], 16)
    return maker.lower(), log["transactionHash"], order_hash, is_buy, token, shares, usdc, usdc / shares, fee, *place


def measure(work: Callable[[list[bytes]], int], folder: Path, share: int) -> dict[str, float]:
    """Logs and processor seconds of the best of three rounds, after one answer to warm up."""
    bodies = [file.read_bytes() for file in sorted(folder.glob("*.json"))]
    bodies = bodies[: max(1, len(bodies) // share)]
    work(bodies[:1])
    best, count = float("inf"), 0
    for _ in range(3):
        began = time.process_time()
        count = work(bodies)
        best = min(best, time.process_time() - began)
    return {"logs": count, "cpu_seconds": round(best, 4), "logs_per_second": round(count / best)}


if __name__ == "__main__":
    rival: Callable[[list[bytes]], int] = {"web3": web3, "cherry": cherry}[sys.argv[1]]
    print(json.dumps(measure(rival, Path(sys.argv[2]), int(sys.argv[3]))))
