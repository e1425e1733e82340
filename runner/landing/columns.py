"""Pages of order records, read whole into columns: the fast way for the usual form, and never another result.

A page goes this way only if every record in it passes `runner.records` unchanged: canonical types, lower-case hashes,
no field that is unknown, none that lacks beyond those of older forms. Any other page is read record by record there,
which is where the rules are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from runner import records
from runner.sources.orders import Seen
from runner.warehouse.arrow import TYPES

_WHOLE_DOUBLES = 2**53
"""Above this a double is coarser than one unit, and the comparison of the two sizes is not the simple one."""
_HASH = "^0x[0-9a-f]{64}$"
_ADDRESS = "^0x[0-9a-f]{40}$"
_CONDITION = "^0x([0-9a-f]{62}|[0-9a-f]{64})$"
_TOKEN = "^[0-9]{1,78}$"  # noqa: S105 - position tokens, no secret
_PATTERNS = (
    ("tx_hash", _HASH),
    ("order_hash", _HASH),
    ("token_id", _TOKEN),
    ("condition_id", _CONDITION),
    ("taker", _ADDRESS),
)


_REPEATING = ("token_id", "condition_id", "taker")
"""Few values in a page, so each is looked at once."""


class _Order(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The Dome-shaped fields in the types of nearly every record."""

    user: str
    tx_hash: str
    timestamp: int
    side: Literal["BUY", "SELL"]
    token_id: str
    price: float
    shares: int
    shares_normalized: float
    order_hash: str | None = None
    id: str | None = None
    condition_id: str | None = None
    token_label: str | None = None
    taker: str | None = None
    market_slug: str | None = None
    title: str | None = None
    log_index: int | None = None
    block_number: int | None = None


_AS_THEY_ARE: tuple[str, ...] = (
    "tx_hash",
    "order_hash",
    "side",
    "token_id",
    "price",
    "shares_normalized",
    "condition_id",
    "token_label",
)
_AS_THEY_ARE += ("taker", "market_slug", "title", "log_index", "block_number")
_COLUMNS = {**{name: name for name in _AS_THEY_ARE}, "record_id": "id", "shares_raw": "shares"}
"""Column of landing.trades → field of the record."""


class PageReader:
    """Reads pages of one dialect. `extra_fields`: names, sorted, of fields that its records carry beside the usual."""

    def __init__(self, columns: dict[str, str], extra_fields: Sequence[str] = ()) -> None:
        self._schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
        self._extra = tuple(extra_fields)
        # Demanded: a record that lacks one is looked at by itself, and the lack is counted.
        fields = [(name, msgspec.Raw) for name in self._extra]
        order = msgspec.defstruct("Order", fields, bases=(_Order,), forbid_unknown_fields=True, kw_only=True, gc=False)
        self._fields = order.__struct_fields__
        self._decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[order])  # type: ignore[valid-type]

    def read(self, page: bytes, wallet: str, now: datetime) -> tuple[pa.RecordBatch, Seen] | None:
        """The page's rows as landing.trades has them, without what the batch gives; None: read it record by record.

        Args:
            page: the JSON list, as received.
            wallet: the wallet that was asked for, lower case.
            now: UTC; as for `records.read_order`.
        """
        try:
            orders = self._decoder.decode(page)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not orders:
            return pa.RecordBatch.from_pylist([], schema=self._schema), Seen(0)
        if {order.user for order in orders} != {wallet}:
            return None
        try:
            found = self._columns(orders)
        except (pa.ArrowException, OverflowError, UnicodeError):
            return None
        times = [order.timestamp for order in orders]
        if not self._is_usual(found, times, now):
            return None
        instants = pa.array(times, pa.int64()).cast(pa.timestamp("s", "UTC")).cast(TYPES["timestamp"])
        found |= {"wallet_address": pa.repeat(wallet, len(orders)), "traded_at": instants}
        rows = pa.RecordBatch.from_arrays(
            [found[field.name] if field.name in found else pa.nulls(len(orders), field.type) for field in self._schema],
            schema=self._schema,
        )
        return rows, _seen(times)

    def _columns(self, orders: list[Any]) -> dict[str, pa.Array]:
        values = dict(zip(self._fields, zip(*map(msgspec.structs.astuple, orders), strict=True), strict=True))
        found = {name: pa.array(values[field], self._schema.field(name).type) for name, field in _COLUMNS.items()}
        if self._extra:
            found["extra_fields"] = pa.array([self._extra_text(order) for order in orders], pa.string())
        return found

    def _extra_text(self, order: Any) -> str:
        return "{" + ",".join(f'"{name}":{bytes(getattr(order, name)).decode()}' for name in self._extra) + "}"

    @staticmethod
    def _is_usual(found: dict[str, pa.Array], times: list[int], now: datetime) -> bool:
        """Whether every value passes its rule as it stands."""
        latest = (now + timedelta(days=1)).timestamp()
        if min(times) < records.EARLIEST.timestamp() or max(times) > min(latest, records.MILLISECONDS_ABOVE):
            return False
        for name, pattern in _PATTERNS:
            values = pc.unique(found[name]) if name in _REPEATING else found[name]
            if _is_false(pc.all(pc.match_substring_regex(values, pattern))):
                return False
        shares, price = found["shares_raw"], pc.min_max(found["price"])
        bounds = pc.min_max(shares)
        if not (bounds["min"].as_py() >= 1 and bounds["max"].as_py() <= _WHOLE_DOUBLES):
            return False
        if not (price["min"].as_py() >= 0 and price["max"].as_py() <= 1):
            return False
        size = pc.multiply(found["shares_normalized"], 1_000_000.0)
        difference = pc.max(pc.abs(pc.subtract(size, shares.cast(pa.float64())))).as_py()
        if pc.min(size).as_py() < 0.5 or not difference <= 1.0:
            return False
        return not any(_is_false(pc.all(pc.greater_equal(found[name], 0))) for name in ("log_index", "block_number"))


def _is_false(answer: pa.Scalar) -> bool:
    """True for false; NULL stands for a column of NULLs, which breaks no rule."""
    return answer.as_py() is False


def _seen(times: list[int]) -> Seen:
    newest_first = all(earlier >= later for earlier, later in pairwise(times))
    newest, oldest = (datetime.fromtimestamp(second, UTC) for second in (max(times), min(times)))
    return Seen(len(times), newest, oldest, newest_first)
