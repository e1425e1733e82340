"""One order record: from an upstream's JSON object to a row of landing.trades, or to a named rule that it breaks.

Normalises only what loses nothing (lower case, UTC, number forms). Keys are completed in SQL (macros/keys.sql).
The field names are those of the Dome-shaped order API; of its 16 fields the oldest real records have 12.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec


class BrokenRule(Exception):
    """A record breaks a rule: `reason` is a name in RULES, `detail` a sentence with the offending value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


RULES = {
    "undecodable": "The record is not a JSON object, or a number in it is beyond every range.",
    "missing_wallet": "Neither the record nor the query says whose fill it is.",
    "bad_wallet": "The wallet is not 0x and 40 hexadecimal digits.",
    "wallet_mismatch": "The record names another wallet than the one asked for.",
    "missing_tx_hash": "There is no transaction hash.",
    "bad_tx_hash": "The transaction hash is not 0x and 64 hexadecimal digits.",
    "bad_order_hash": "The order hash is there and is not 0x and 64 hexadecimal digits.",
    "missing_timestamp": "There is no timestamp.",
    "bad_timestamp": "The timestamp is not a number, before 2020, or more than a day ahead.",
    "missing_side": "There is no side.",
    "bad_side": "The side is neither BUY nor SELL.",
    "not_a_trade": "It is a MERGE, SPLIT or REDEEM: an activity that moves shares and is no fill.",
    "unconfirmed": "Its status says that it is not on the chain yet, and it may never be.",
    "missing_token_id": "There is no token id.",
    "bad_token_id": "The token id is not a decimal number of at most 78 digits.",
    "missing_price": "There is no price.",
    "bad_price": "The price is not a number between 0 and 1.",
    "missing_size": "There is neither shares nor shares_normalized.",
    "bad_size": "The size is not a number from 1 to 2^63 - 1 units of 1e-6 shares.",
    "sizes_disagree": "shares and shares_normalized are more than one unit apart.",
    "bad_condition_id": "The condition id is there and is not 0x and 62 or 64 hexadecimal digits.",
    "bad_taker": "The taker is there and is not 0x and 40 hexadecimal digits.",
    "bad_number": "log_index or block_number is there and is not a whole number.",
    "bad_log": "An event of an exchange contract is not built as its version is.",
    "bad_text": "A field that is text in every other record is something else.",
}
"""Every reason for which a record is rejected, with what it means."""

READER_VERSION = 1
"""Part of a batch's identity. Raise it when `read_order` makes another row of the same record: it then lands anew."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
MILLISECONDS_ABOVE = 100_000_000_000
"""A timestamp above this is in milliseconds: as seconds it would lie in the year 5138."""
MAX_RAW = 2**63 - 1

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_CONDITION = re.compile(r"0x(?:[0-9a-f]{62}|[0-9a-f]{64})")
_TOKEN = re.compile(r"[0-9]{1,78}")
_DIGITS = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}")

_ON_CHAIN = frozenset({"confirmed", "mined"})
_KNOWN = frozenset(
    [
        "user",
        "tx_hash",
        "order_hash",
        "id",
        "timestamp",
        "side",
        "token_id",
        "price",
        "shares_normalized",
        "shares",
        "condition_id",
        "token_label",
        "taker",
        "market_slug",
        "title",
        "log_index",
        "block_number",
    ]
)


_IS_TEXT, _IS_NUMBER = (str,), (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("user", "tx_hash", "order_hash", "side", "token_id", "condition_id"), _IS_TEXT),
    **dict.fromkeys(("token_label", "taker", "market_slug", "title"), _IS_TEXT),
    **dict.fromkeys(("timestamp", "price", "shares", "shares_normalized", "log_index", "block_number"), _IS_NUMBER),
}
"""Field → the types in which nearly every record has it."""
_DERIVED = ("user", "shares", "shares_normalized")
"""What a row gets from the query or from another field where the record lacks it."""


class OrderRow(NamedTuple):
    """A row of landing.trades without the columns that the batch gives it. Hashes lower case, times UTC."""

    wallet_address: str
    tx_hash: str
    order_hash: str | None
    record_id: str | None
    traded_at: datetime
    side: str
    token_id: str
    price: float
    shares_normalized: float
    shares_raw: int | None
    usdc_raw: int | None
    condition_id: str | None
    token_label: str | None
    taker: str | None
    market_slug: str | None
    title: str | None
    log_index: int | None
    block_number: int | None
    contract_address: str | None
    upstream_version: int | None
    is_removed: bool | None
    fee_raw: int | None
    fee_unit: str | None
    extra_fields: str | None


def is_wallet(text: str) -> bool:
    """True for 0x and 40 lower-case hexadecimal digits."""
    return _ADDRESS.fullmatch(text) is not None


class Form(NamedTuple):
    """What is unusual about the fields of a record: names that nobody knows, that stand for another type, that lack."""

    unknown: frozenset[str] = frozenset()
    retyped: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def form_of(raw: bytes) -> Form:
    """The form of a record, whatever its values. `missing` has only what `read_order` makes up for."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Form()
    if not isinstance(record, dict):
        return Form()
    kinds, anything = _KINDS, (object,)
    odd = [name for name, value in record.items() if type(value) not in kinds.get(name, anything)]
    return Form(
        unknown=frozenset(name for name in odd if name not in _KNOWN),
        retyped=frozenset(name for name in odd if name in kinds and not _is_missing(record[name])),
        missing=frozenset([name for name in _DERIVED if _is_missing(record.get(name))]),
    )


def read_order(raw: bytes, queried_wallet: str | None, now: datetime) -> OrderRow:
    """Reads one order record.

    Args:
        raw: the JSON object, as received.
        queried_wallet: the wallet that was asked for, lower case; None for a file.
        now: UTC; a record from more than a day after it is refused.

    Raises:
        BrokenRule: the record breaks one of RULES.
    """
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenRule("undecodable", str(error)) from None
    if not isinstance(record, dict):
        raise BrokenRule("undecodable", f"a JSON {type(record).__name__} where an object is expected")
    get = record.get
    _check_status(get("status"))
    shares_raw, shares_normalized = _sizes(get("shares"), get("shares_normalized"))
    return OrderRow(
        wallet_address=_wallet(get("user"), queried_wallet),
        tx_hash=_required("tx_hash", "missing_tx_hash", "bad_tx_hash", _HASH, get("tx_hash")),
        order_hash=_hex("order_hash", "bad_order_hash", _HASH, get("order_hash")),
        record_id=_name("id", get("id")),
        traded_at=_timestamp(get("timestamp"), now),
        side=_side(get("side")),
        token_id=_token_id(get("token_id")),
        price=_price(get("price")),
        shares_normalized=shares_normalized,
        shares_raw=shares_raw,
        usdc_raw=None,
        condition_id=_hex("condition_id", "bad_condition_id", _CONDITION, get("condition_id")),
        token_label=_text("token_label", get("token_label")),
        taker=_hex("taker", "bad_taker", _ADDRESS, get("taker")),
        market_slug=_text("market_slug", get("market_slug")),
        title=_text("title", get("title")),
        log_index=_whole("log_index", get("log_index")),
        block_number=_whole("block_number", get("block_number")),
        contract_address=None,
        upstream_version=None,
        is_removed=None,
        fee_raw=None,
        fee_unit=None,
        extra_fields=None if record.keys() <= _KNOWN else _extra_fields(raw),
    )


def _extra_fields(raw: bytes) -> str | None:
    """The unknown fields as a JSON object, each value exactly as received (numbers included)."""
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    unknown = {name: value for name, value in sorted(fields.items()) if name not in _KNOWN}
    return msgspec.json.encode(unknown).decode() if unknown else None


def _is_missing(value: object) -> bool:
    return value is None or value == ""


def _hex(field: str, reason: str, pattern: re.Pattern[str], value: object) -> str | None:
    if _is_missing(value):
        return None
    if isinstance(value, str):
        lower = value.lower()
        if pattern.fullmatch(lower):
            return lower
    raise BrokenRule(reason, f"{field} is {_shown(value)}")


def _required(field: str, missing: str, reason: str, pattern: re.Pattern[str], value: object) -> str:
    text = _hex(field, reason, pattern, value)
    if text is None:
        raise BrokenRule(missing, f"{field} is missing")
    return text


def _wallet(user: object, queried_wallet: str | None) -> str:
    wallet = _hex("user", "bad_wallet", _ADDRESS, user)
    if wallet is None:
        if queried_wallet is None:
            raise BrokenRule("missing_wallet", "user is missing")
        return queried_wallet
    if queried_wallet is not None and wallet != queried_wallet:
        raise BrokenRule("wallet_mismatch", f"user is {wallet}, asked was {queried_wallet}")
    return wallet


def _timestamp(value: object, now: datetime) -> datetime:
    if _is_missing(value):
        raise BrokenRule("missing_timestamp", "timestamp is missing")
    seconds = _integer(value)
    if seconds is None:
        raise BrokenRule("bad_timestamp", f"timestamp is {_shown(value)}")
    milliseconds = 0
    if seconds > MILLISECONDS_ABOVE:
        seconds, milliseconds = divmod(seconds, 1000)
    try:
        instant = datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError, OSError):
        raise BrokenRule("bad_timestamp", f"timestamp is {_shown(value)}") from None
    if not EARLIEST <= instant <= now + timedelta(days=1):
        raise BrokenRule("bad_timestamp", f"timestamp is {_shown(value)}, which is {instant.isoformat()}")
    return instant


def _side(value: object) -> str:
    if _is_missing(value):
        raise BrokenRule("missing_side", "side is missing")
    if value in ("MERGE", "SPLIT", "REDEEM"):
        raise BrokenRule("not_a_trade", f"side is {_shown(value)}")
    if value not in ("BUY", "SELL"):
        raise BrokenRule("bad_side", f"side is {_shown(value)}")
    return str(value)


def _check_status(value: object) -> None:
    """Feeds of what is about to happen carry a status; what is not on the chain is no fill."""
    if not _is_missing(value) and (not isinstance(value, str) or value.lower() not in _ON_CHAIN):
        raise BrokenRule("unconfirmed", f"status is {_shown(value)}")


def _token_id(value: object) -> str:
    if _is_missing(value):
        raise BrokenRule("missing_token_id", "token_id is missing")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise BrokenRule("bad_token_id", f"token_id is {_shown(value)}")
    return text


def _price(value: object) -> float:
    if _is_missing(value):
        raise BrokenRule("missing_price", "price is missing")
    price = _number(value)
    if price is None or not 0 <= price <= 1:
        raise BrokenRule("bad_price", f"price is {_shown(value)}")
    return price


def _sizes(shares: object, normalized: object) -> tuple[int | None, float]:
    """The two forms of the size: whole units of 1e-6 (None if the record lacks them) and shares as a double."""
    raw: int | None = None
    if not _is_missing(shares):
        raw = _integer(shares)
        if raw is None or not 1 <= raw <= MAX_RAW:
            raise BrokenRule("bad_size", f"shares is {_shown(shares)}")
    if _is_missing(normalized):
        if raw is None:
            raise BrokenRule("missing_size", "shares and shares_normalized are missing")
        return raw, raw / 1_000_000
    size = _number(normalized)
    # The double nearest to the largest size is 2^63: good beside the exact integer, too much alone.
    if size is None or not 0.5 <= size * 1_000_000 <= MAX_RAW + (raw is not None):
        raise BrokenRule("bad_size", f"shares_normalized is {_shown(normalized)}")
    # Above 2^53 units a double is coarser than one unit, so the comparison is too.
    if raw is not None and abs(raw - size * 1_000_000) > max(1.0, 2 * math.ulp(size * 1_000_000)):
        raise BrokenRule("sizes_disagree", f"shares is {_shown(shares)}, shares_normalized is {_shown(normalized)}")
    return raw, size


def _whole(field: str, value: object) -> int | None:
    """A whole number or None; hexadecimal text is how some upstreams write a log index."""
    if _is_missing(value):
        return None
    number = int(value, 16) if isinstance(value, str) and _HEX_NUMBER.fullmatch(value) else _integer(value)
    if number is None or not 0 <= number <= MAX_RAW:
        raise BrokenRule("bad_number", f"{field} is {_shown(value)}")
    return number


def _text(field: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BrokenRule("bad_text", f"{field} is {_shown(value)}")


def _name(field: str, value: object) -> str | None:
    """Text; a whole number is taken as its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(field, value)


def _integer(value: object) -> int | None:
    """A whole number from JSON's loose forms: 5, 5.0 or "5"; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return None


def _number(value: object) -> float | None:
    """A finite double from JSON's loose forms; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        # Stricter than float(), which takes 1_000, digits of other scripts, and spaces.
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, int):
        try:
            value = float(value)
        except OverflowError:
            return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
