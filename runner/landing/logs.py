"""OrderFilled logs of the exchange contracts, in columns: from the JSON of `eth_getLogs` to rows of landing.trades.

Facts. Indexed are order hash, maker and taker; the wallet whose fill it is is the maker, who owns the order. All words
are 32 bytes, all amounts units of 1e-6. Version 1 has the two assets (0 is collateral, else the position token) and
charges the fee in the asset that the maker receives; versions 2 and 3 have the side and the token, and charge in
collateral. Amounts are gross; a refund of the fee is another event.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from runner.errors import UpstreamError
from runner.records import MAX_RAW, BrokenRule
from runner.sources.exchanges import Exchange
from runner.warehouse.arrow import TYPES
from runner.warehouse.protocol import Variant

_ZERO = "0" * 64
_SMALL = "0" * 48
"""The upper digits of a word that fits into 64 bits."""


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

    @property
    def earliest(self) -> tuple[int, int] | None:
        """Block and Unix time of the first fill; None where there is none, or its time is not in the log."""
        found = [
            (block, second)
            for block, second in zip(self.columns["block_number"].to_pylist(), self.seconds.to_pylist(), strict=True)
            if second is not None
        ]
        return min(found, default=None)

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
        self._tokens: dict[str, str] = {}

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
            topics = {"0x" + _ZERO[:24] + wallet[2:] for wallet in wallets}
            logs = [log for log in logs if log.topics[2] in topics or log.topics[2].lower() in topics]
        parts = []
        for address in dict.fromkeys(log.address for log in logs):
            exchange = self._exchanges.get(address.lower())
            mine = [log for log in logs if log.address == address]
            if exchange is None or any(log.topics[0] != exchange.topic for log in mine):
                raise UpstreamError(
                    f"The node was asked for OrderFilled events of known exchanges and gave another one, of {address}: "
                    "it does not look at the filter."
                )
            parts.append(self._of_exchange(exchange, mine))
        names = list(parts[0]) if parts else list(self._of_exchange_empty())
        columns = {
            name: pa.concat_arrays([part[name] for part in parts]) if parts else self._of_exchange_empty()[name]
            for name in names
        }
        seconds = columns.pop("seconds")
        blocks = pc.min_max(columns["block_number"])
        if parts and (blocks["min"].as_py() < first_block or blocks["max"].as_py() > last_block):
            raise UpstreamError(
                f"The node was asked for blocks {first_block:,} to {last_block:,} and gave logs of others: it does not "
                "look at the range."
            )
        counts = {str(address): len(part["seconds"]) for address, part in zip(_addresses(logs), parts, strict=True)}
        return Logs(columns, seconds, [], counts)

    def _of_exchange_empty(self) -> dict[str, pa.Array]:
        return self._of_exchange(next(iter(self._exchanges.values())), [])

    def _of_exchange(self, exchange: Exchange, logs: list[_Log]) -> dict[str, pa.Array]:
        """Columns of logs of one contract.

        Raises:
            BrokenRule: one of them cannot be decoded.
        """
        count = len(logs)
        data = pc.ascii_lower(pa.array([log.data for log in logs], pa.string()))
        if count and set(pc.unique(pc.utf8_length(data)).to_pylist()) != {2 + 64 * exchange.data_words}:
            raise BrokenRule("bad_log", f"the data of a log has not {exchange.data_words} words of 32 bytes")
        words = [pc.utf8_slice_codeunits(data, 2 + 64 * n, 66 + 64 * n) for n in range(exchange.data_words)]
        if exchange.version == 1:
            maker_asset, taker_asset, given, taken, fee = words
            is_buy = pc.equal(maker_asset, _ZERO)
            if not pc.all(pc.xor(is_buy, pc.equal(taker_asset, _ZERO)), min_count=0).as_py():
                raise BrokenRule("bad_log", "not exactly one of the two assets is collateral")
            token = pc.if_else(is_buy, taker_asset, maker_asset)
            # The fee is taken from what the maker receives.
            fee_unit = pc.if_else(is_buy, "shares", "usdc")
            extra = pa.nulls(count, pa.string())
        else:
            side, token, given, taken, fee, builder, metadata = words
            is_buy = pc.equal(side, _ZERO)
            if not pc.all(pc.or_(is_buy, pc.equal(side, _ZERO[:-1] + "1")), min_count=0).as_py():
                raise BrokenRule("bad_log", "the side is neither 0 (buy) nor 1 (sell)")
            fee_unit = pa.repeat("usdc", count)
            extra = pa.array(list(map(_extra, builder.to_pylist(), metadata.to_pylist())), pa.string())
        given_raw, taken_raw, fee_raw = (_amounts(word) for word in (given, taken, fee))
        shares = pc.if_else(is_buy, taken_raw, given_raw)
        usdc = pc.if_else(is_buy, given_raw, taken_raw)
        sizes = list(zip(usdc.to_pylist(), shares.to_pylist(), strict=True))
        if any(share < 1 for _, share in sizes):
            raise BrokenRule("bad_size", "no share changed hands")
        if any(dollars > share for dollars, share in sizes):
            raise BrokenRule("bad_price", "more than one dollar a share")
        return {
            "wallet_address": _address_of(logs, 2),
            "tx_hash": _hashes([log.transaction_hash for log in logs]),
            "order_hash": _hashes([log.topics[1] for log in logs]),
            "side": pc.if_else(is_buy, "BUY", "SELL"),
            "token_id": self._token_ids(token),
            # Python divides integers of any size to the nearest double; Arrow would round them first.
            "price": pa.array([dollars / share for dollars, share in sizes], pa.float64()),
            "shares_normalized": pa.array([share / 1_000_000 for _, share in sizes], pa.float64()),
            "shares_raw": shares,
            "usdc_raw": usdc,
            "taker": _address_of(logs, 3),
            "log_index": _quantities([log.log_index for log in logs]),
            "block_number": _quantities([log.block_number for log in logs]),
            "contract_address": pa.repeat(exchange.address, count),
            "is_removed": pa.array([log.removed for log in logs], pa.bool_()),
            "fee_raw": fee_raw,
            "fee_unit": fee_unit,
            "extra_fields": extra,
            "seconds": _times([log.block_timestamp for log in logs]),
        }

    def _token_ids(self, words: pa.Array) -> pa.Array:
        """Words as decimal text: up to 78 digits, so no number type holds them."""
        coded = words.dictionary_encode()
        known = self._tokens
        texts = []
        for word in coded.dictionary.to_pylist():
            if word not in known:
                known[word] = str(int(word, 16))
            texts.append(known[word])
        return pa.array(texts, pa.string()).take(coded.indices)


def _addresses(logs: list[_Log]) -> list[str]:
    return [address.lower() for address in dict.fromkeys(log.address for log in logs)]


def _amounts(words: pa.Array) -> pa.Array:
    """Words as integers.

    Raises:
        BrokenRule: one is beyond 2^63 - 1.
    """
    if not pc.all(pc.starts_with(words, _SMALL), min_count=0).as_py():
        raise BrokenRule("bad_size", f"an amount is beyond {MAX_RAW}")
    return _hexadecimal(pc.utf8_slice_codeunits(words, 48, 64))


def _hexadecimal(digits: pa.Array) -> pa.Array:
    """Up to 16 hexadecimal digits as integers; Arrow reads them where they begin with 0x."""
    try:
        return pc.binary_join_element_wise("0x", digits, "").cast(pa.uint64()).cast(pa.int64())
    except pa.ArrowInvalid:
        raise BrokenRule("bad_size", f"an amount is no number up to {MAX_RAW}") from None


def _quantities(texts: list[str]) -> pa.Array:
    """Quantities of JSON-RPC (0x…) as integers.

    Raises:
        BrokenRule: one is none.
    """
    try:
        return pa.array([int(text, 16) for text in texts], pa.int64())
    except ValueError as error:
        raise BrokenRule("bad_log", str(error)) from None


def _times(texts: list[str | None]) -> pa.Array:
    """Unix seconds; NULL where the node gives none, which some write as 0."""
    return pa.array([int(text, 16) or None if text else None for text in texts], pa.int64())


def _hashes(texts: list[str]) -> pa.Array:
    values = pc.ascii_lower(pa.array(texts, pa.string()))
    if not pc.all(pc.match_substring_regex(values, "^0x[0-9a-f]{64}$"), min_count=0).as_py():
        raise BrokenRule("bad_log", "a hash is not 0x and 64 hexadecimal digits")
    return values


def _address_of(logs: list[_Log], topic: int) -> pa.Array:
    """The address in an indexed argument: the last 20 of 32 bytes."""
    values = pc.ascii_lower(pa.array([log.topics[topic] for log in logs], pa.string()))
    if not pc.all(pc.match_substring_regex(values, "^0x0{24}[0-9a-f]{40}$"), min_count=0).as_py():
        raise BrokenRule("bad_log", "an indexed address is not 20 bytes in a word of 32")
    return pc.binary_join_element_wise("0x", pc.utf8_slice_codeunits(values, 26, 66), "")


def _extra(builder: str, metadata: str) -> str | None:
    """What an order says about itself, where it does."""
    parts = [f'"{name}":"0x{word}"' for name, word in (("builder", builder), ("metadata", metadata)) if word != _ZERO]
    return "{" + ",".join(parts) + "}" if parts else None
