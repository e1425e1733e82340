"""OrderFilled logs of the exchange contracts, in columns: from the JSON of `eth_getLogs` to rows of landing.trades.

Facts. Indexed are order hash, maker and taker; the wallet whose fill it is is the maker, who owns the order. All words
are 32 bytes, all amounts units of 1e-6. Version 1 has the two assets (0 is collateral, else the position token) and
charges the fee in the asset that the maker receives; versions 2 and 3 have the side and the token, and charge in
collateral. Amounts are gross; a refund of the fee is another event.
"""

import binascii
import operator
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from runner.errors import UpstreamError
from runner.records import MAX_RAW, BrokenRule
from runner.sources.exchanges import Exchange
from runner.warehouse.arrow import TYPES
from runner.warehouse.protocol import Variant

_ZERO = bytes(32)
_ONE = bytes(31) + b"\1"
_AMOUNTS = 3
"""Given, received and fee stand together in each version."""
_REMEMBERED = 500_000
"""Tokens whose text is kept; a market has two."""
_PADDING = "0x" + "0" * 24
"""What stands before an address in a topic."""


class _Log(msgspec.Struct, rename="camel", gc=False):
    """What `eth_getLogs` says of an event with three indexed arguments. Newer nodes add the block's time."""

    address: str
    topics: tuple[str, str, str, str]
    data: str
    block_number: str
    transaction_hash: str
    log_index: str
    block_timestamp: str | None = None
    removed: bool = False


@dataclass(frozen=True)
class BrokenLog:
    """A log that breaks a rule, as received."""

    raw: bytes
    rule: BrokenRule


@dataclass(frozen=True)
class Logs:
    """Fills of a range of blocks, still without the times that the node did not give.

    `columns` are those of landing.trades but for what the batch gives, `traded_at` and `upstream_version`; `seconds`
    are the Unix times of the blocks, NULL where the log has none.
    """

    columns: dict[str, pa.Array]
    seconds: pa.Array
    broken: list[BrokenLog]
    contracts: dict[str, int]
    """Contract → how many of the fills it emitted."""

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def blocks_without_time(self) -> list[int]:
        """Numbers of the blocks whose time has to be asked for, each once."""
        numbers = pc.filter(self.columns["block_number"], pc.is_null(self.seconds))
        return sorted(pc.unique(numbers).to_pylist())

    def earliest(self, times: Mapping[int, int]) -> tuple[int, int] | None:
        """Block and Unix time of the first fill; None where there is none. `times`: of blocks without."""
        if not len(self):
            return None
        block = pc.min(self.columns["block_number"]).as_py()
        second = self.seconds[pc.index(self.columns["block_number"], block).as_py()].as_py()
        return block, second if second is not None else times[block]

    def variants(self) -> list[Variant]:
        """What tells each fill from every other one."""
        names = ("wallet_address", "tx_hash", "order_hash", "token_id", "side", "shares_raw", "usdc_raw", "log_index")
        return list(zip(*(self.columns[name].to_pylist() for name in names), strict=True))

    def rows(self, schema: pa.Schema, times: Mapping[int, int], version: int) -> pa.RecordBatch:
        """The rows, complete. `times`: block number → Unix seconds; `version`: the head at which the logs were read."""
        seconds = self.seconds
        if seconds.null_count:
            looked_up = pa.array([times.get(block) for block in self.columns["block_number"].to_pylist()], pa.int64())
            seconds = pc.coalesce(seconds, looked_up)
        found = {
            **self.columns,
            "traded_at": seconds.cast(pa.timestamp("s", "UTC")).cast(TYPES["timestamp"]),
            "upstream_version": pa.repeat(pa.scalar(version, pa.int64()), len(self)),
        }
        return pa.RecordBatch.from_arrays(
            [found[field.name] if field.name in found else pa.nulls(len(self), field.type) for field in schema],
            schema=schema,
        )


class LogReader:
    """Reads answers of `eth_getLogs`. Token ids are remembered: few are in many logs."""

    def __init__(self, exchanges: Mapping[str, Exchange]) -> None:
        self._exchanges = exchanges
        self._many = msgspec.json.Decoder(list[_Log])
        self._each = msgspec.json.Decoder(list[msgspec.Raw])
        self._tokens: dict[bytes, str] = {}

    def read(self, logs: bytes, wallets: Collection[str], first_block: int, last_block: int) -> Logs:
        """The fills of `wallets` among the logs, a JSON list.

        A log that cannot be decoded is set apart with its reason; it does not cost the others.

        Raises:
            UpstreamError: the node answered something else than it was asked for: another contract, event or block.
        """
        try:
            parsed = self._many.decode(logs)
            return self._columns(parsed, wallets, first_block, last_block)
        except (msgspec.DecodeError, UnicodeDecodeError, BrokenRule, pa.ArrowException, OverflowError):
            return self._one_by_one(logs, wallets, first_block, last_block)

    def _one_by_one(self, logs: bytes, wallets: Collection[str], first_block: int, last_block: int) -> Logs:
        good: list[_Log] = []
        broken: list[BrokenLog] = []
        for raw in self._each.decode(logs):
            try:
                log = msgspec.json.decode(raw, type=_Log)
                self._columns([log], wallets, first_block, last_block)
            except BrokenRule as rule:
                broken.append(BrokenLog(bytes(raw), rule))
            except (msgspec.DecodeError, UnicodeDecodeError, pa.ArrowException, OverflowError) as error:
                broken.append(BrokenLog(bytes(raw), BrokenRule("bad_log", str(error)[:200])))
            else:
                good.append(log)
        made = self._columns(good, wallets, first_block, last_block)
        return Logs(made.columns, made.seconds, broken, made.contracts)

    def _columns(self, logs: list[_Log], wallets: Collection[str], first_block: int, last_block: int) -> Logs:
        if wallets:
            topics = {_PADDING + wallet[2:] for wallet in wallets}
            logs = [log for log in logs if log.topics[2] in topics or log.topics[2].lower() in topics]
        by_address: dict[str, list[_Log]] = {}
        for log in logs:
            by_address.setdefault(log.address, []).append(log)
        parts, counts = [], {}
        for address, mine in by_address.items():
            exchange = self._exchanges.get(address.lower())
            if exchange is None or {log.topics[0] for log in mine} != {exchange.topic}:
                raise UpstreamError(
                    f"The node was asked for OrderFilled events of known exchanges and gave another one, of {address}: "
                    "it does not look at the filter."
                )
            parts.append(self._of_exchange(exchange, mine))
            counts[exchange.address] = len(mine)
        if not parts:
            parts = [self._of_exchange(next(iter(self._exchanges.values())), [])]
        columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
        blocks = pc.min_max(columns["block_number"])
        if logs and (blocks["min"].as_py() < first_block or blocks["max"].as_py() > last_block):
            raise UpstreamError(
                f"The node was asked for blocks {first_block:,} to {last_block:,} and gave logs of others: it does not "
                "look at the range."
            )
        return Logs(columns, columns.pop("seconds"), [], counts)

    def _of_exchange(self, exchange: Exchange, logs: list[_Log]) -> dict[str, pa.Array]:
        """Columns of logs of one contract.

        Raises:
            BrokenRule: one of them cannot be decoded.
        """
        count = len(logs)
        words = _words([log.data for log in logs], exchange)
        if exchange.version == 1:
            maker_asset, taker_asset, given, taken, fee = words
            is_buy = [asset == _ZERO for asset in maker_asset]
            if not all(map(operator.xor, is_buy, [asset == _ZERO for asset in taker_asset])):
                raise BrokenRule("bad_log", "not exactly one of the two assets is collateral")
            tokens = tuple(map(max, maker_asset, taker_asset))  # the other one is 0
            # The fee is taken from what the maker receives.
            fee_units = ["shares" if buys else "usdc" for buys in is_buy]
            extra: list[str | None] = [None] * count
        else:
            side, tokens, given, taken, fee, builder, metadata = words
            if not set(side) <= {_ZERO, _ONE}:
                raise BrokenRule("bad_log", "the side is neither 0 (buy) nor 1 (sell)")
            is_buy = [word == _ZERO for word in side]
            fee_units = ["usdc"] * count
            extra = list(map(_extra, builder, metadata))
        amounts = list(zip(is_buy, given, taken, strict=True))
        shares = [received if buys else gave for buys, gave, received in amounts]
        usdc = [gave if buys else received for buys, gave, received in amounts]
        if count and min(shares) < 1:
            raise BrokenRule("bad_size", "no share changed hands")
        if any(map(operator.gt, usdc, shares)):
            raise BrokenRule("bad_price", "more than one dollar a share")
        integers, text = pa.int64(), pa.string()
        return {
            "wallet_address": pa.array(_addresses([log.topics[2] for log in logs]), text),
            "tx_hash": pa.array(_hashes([log.transaction_hash for log in logs]), text),
            "order_hash": pa.array(_hashes([log.topics[1] for log in logs]), text),
            "side": pa.array(["BUY" if buys else "SELL" for buys in is_buy], text),
            "token_id": pa.array(self._token_ids(tokens), text),
            # Python divides integers of any size to the nearest double; Arrow would round them first.
            "price": pa.array(list(map(operator.truediv, usdc, shares)), pa.float64()),
            "shares_normalized": pa.array([share / 1_000_000 for share in shares], pa.float64()),
            "shares_raw": pa.array(shares, integers),
            "usdc_raw": pa.array(usdc, integers),
            "taker": pa.array(_addresses([log.topics[3] for log in logs]), text),
            "log_index": pa.array(_quantities([log.log_index for log in logs]), integers),
            "block_number": pa.array(_quantities([log.block_number for log in logs]), integers),
            "contract_address": pa.repeat(exchange.address, count),
            "is_removed": pa.array([log.removed for log in logs], pa.bool_()),
            "fee_raw": pa.array(fee, integers),
            "fee_unit": pa.array(fee_units, text),
            "extra_fields": pa.array(extra, text),
            "seconds": pa.array(_times([log.block_timestamp for log in logs]), integers),
        }

    def _token_ids(self, words: Sequence[bytes]) -> list[str]:
        """Words as decimal text: up to 78 digits, so no number type holds them."""
        known = self._tokens
        if len(known) > _REMEMBERED:
            known.clear()
        for word in set(words).difference(known):
            known[word] = str(int.from_bytes(word, "big"))
        return [known[word] for word in words]


def _words(data: list[str], exchange: Exchange) -> list[tuple[Any, ...]]:
    """The data of logs, turned: for each word of the event what it is in each log, amounts as integers.

    Raises:
        BrokenRule: one has another length, is not hexadecimal, or an amount is beyond 2^63 - 1.
    """
    size = 32 * exchange.data_words
    whole = _from_hexadecimal(data, size)
    if not data:
        return [()] * exchange.data_words
    before, after = exchange.data_words - _AMOUNTS - exchange.words_after, exchange.words_after
    layout = ">" + "32s" * before + "24sQ" * _AMOUNTS + "32s" * after
    found: list[tuple[Any, ...]] = list(zip(*struct.iter_unpack(layout, whole), strict=True))
    upper, amounts = found[before : before + 2 * _AMOUNTS : 2], found[before + 1 : before + 2 * _AMOUNTS : 2]
    if any(set(part) != {_ZERO[:24]} for part in upper) or max(map(max, amounts)) > MAX_RAW:
        raise BrokenRule("bad_size", f"an amount is beyond {MAX_RAW}")
    return [*found[:before], *amounts, *found[before + 2 * _AMOUNTS :]]


def _from_hexadecimal(texts: list[str], size: int) -> bytes:
    """The bytes of texts (0x…) one after the other, `size` of each.

    Raises:
        BrokenRule: one is not 0x and so many bytes in hexadecimal digits.
    """
    length = 2 + 2 * size
    is_framed = set(map(len, texts)) <= {length} and "".join(texts)[1::length].lower() == "x" * len(texts)
    try:
        whole = binascii.unhexlify("".join([text[2:] for text in texts])) if is_framed else b""
    except ValueError as error:
        raise BrokenRule("bad_log", str(error)) from None
    if len(whole) != size * len(texts):
        raise BrokenRule("bad_log", f"a value is not 0x and {size} bytes in hexadecimal digits")
    return whole


def _quantities(texts: list[str]) -> list[int]:
    """Quantities of JSON-RPC (0x…) as integers.

    Raises:
        BrokenRule: one is none.
    """
    try:
        return [int(text, 16) for text in texts]
    except ValueError as error:
        raise BrokenRule("bad_log", str(error)) from None


def _times(texts: list[str | None]) -> list[int | None]:
    """Unix seconds; None where the node gives none, which some write as 0."""
    known: dict[str | None, int | None] = {
        text: int(text, 16) or None if text else None for text in dict.fromkeys(texts)
    }
    return [known[text] for text in texts]


def _hashes(texts: list[str]) -> list[str]:
    """Hashes in lower case.

    Raises:
        BrokenRule: one is not 0x and 64 hexadecimal digits.
    """
    _from_hexadecimal(texts, 32)
    return [text.lower() for text in texts]


def _addresses(topics: list[str]) -> list[str]:
    """The addresses in indexed arguments, lower case: the last 20 of 32 bytes.

    Raises:
        BrokenRule: one is no address.
    """
    parts = list(struct.iter_unpack("12s20s", _from_hexadecimal(topics, 32)))
    if {padding for padding, _ in parts} - {_ZERO[:12]}:
        raise BrokenRule("bad_log", "an indexed address is not 20 bytes in a word of 32")
    return ["0x" + address.hex() for _, address in parts]


def _extra(builder: bytes, metadata: bytes) -> str | None:
    """What an order says about itself, where it does."""
    if builder == _ZERO == metadata:
        return None
    named = (("builder", builder), ("metadata", metadata))
    return "{" + ",".join(f'"{name}":"0x{word.hex()}"' for name, word in named if word != _ZERO) + "}"
