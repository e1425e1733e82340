"""Recorded files as stores: order records, Dome market records and Gamma records, served with their own JSON text.

No number is ever parsed and printed again: a record's text is cut out of the file and sent as it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from simulator.dome import DomeMarket
from simulator.gamma import GammaCatalogue, Item
from simulator.orders import Feed, Scope, narrowed

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class ReplayError(Exception):
    """A file that cannot be read or does not hold what it should; the text is for the person who named it."""


class ReplayedOrders:
    """Order records of some files; nothing is added, dropped or repaired."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read every record of `files`. Raises ReplayError."""
        self._bodies = [body for file in files for body in records_of(file, "orders")]
        self._index: list[dict[str, Any]] = []
        seen: Counter[bytes] = Counter()
        keys: list[tuple[int, int, int]] = []
        for ref, body in enumerate(self._bodies):
            fields = {name: _plain(raw) for name, raw in _OBJECT.decode(body).items() if name in _INDEXED}
            self._index.append(fields)
            # Position inside one second: log index, then content, then the how-manieth of equal records. None of these
            # depends on the other records, so a cursor stays good when a file grows.
            digest = blake2b(body, digest_size=8).digest()
            tie = _int(fields.get("log_index")) << 96 | int.from_bytes(digest, "big") << 32 | seen[digest]
            seen[digest] += 1
            keys.append((_int(fields.get("timestamp")), tie, ref))
        keys.sort()
        refs = [k[2] for k in keys]
        self._all = Feed([k[0] for k in keys], [k[1] for k in keys], refs, self._bodies.__getitem__)
        self._narrowed = lru_cache(maxsize=64)(self._narrow)
        users = (fields.get("user") for fields in self._index)
        self.wallets = list(dict.fromkeys(user.lower() for user in users if isinstance(user, str)))

    @property
    def size(self) -> int:
        """Number of records, whatever is in them."""
        return len(self._bodies)

    def feed(self, scope: Scope) -> Feed:
        """Return the records in `scope`; users and condition ids compare without regard to case."""
        return self._narrowed(scope) if scope.has_market or scope.user is not None else self._all

    def _narrow(self, scope: Scope) -> Feed:
        if not scope.has_market:
            return narrowed(self._all, lambda ref: self._says(ref, "user").lower() == scope.user)
        return narrowed(
            self.feed(Scope(user=scope.user)),
            lambda ref: (
                self._says(ref, "market_slug") == scope.market_slug
                or self._says(ref, "condition_id").lower() == scope.condition_id
                or self._says(ref, "token_id") == scope.token_id
            ),
        )

    def well_formed(self) -> Feed:
        """Return every record in the order of the files."""
        return Feed((), (), range(len(self._bodies)), self._bodies.__getitem__)

    def malformed(self) -> Feed:
        """Return nothing: recorded records are served as they are, none was damaged on purpose."""
        return Feed((), (), (), self._bodies.__getitem__)

    def _says(self, ref: int, name: str) -> str:
        return str(self._index[ref].get(name))


_INDEXED = {"user", "timestamp", "log_index", "market_slug", "condition_id", "token_id"}


def replayed_markets(files: Sequence[Path]) -> list[DomeMarket]:
    """Return the Dome market records of `files`. Raises ReplayError."""
    markets = []
    for file in files:
        for body in records_of(file, "markets"):
            try:
                markets.append(DomeMarket.of(body))
            except msgspec.ValidationError as error:
                raise ReplayError(f"{file}: not a Dome market record: {error}") from error
    return markets


def replayed_gamma(files: Sequence[Path]) -> GammaCatalogue:
    """Return the Gamma markets and events of `files`, however they are wrapped. Raises ReplayError.

    A market found only inside an event is listed with that event; an event found only inside a market is listed with
    the markets that name it, without tags, because such an inner event has none.
    """
    found = _Gamma()
    for file in files:
        before = found.taken
        try:
            for raw in _values(file):
                found.take(raw)
        except (KeyError, msgspec.MsgspecError) as error:
            raise ReplayError(f"{file}: a Gamma record cannot be served: {error}") from error
        if found.taken == before:
            raise ReplayError(f"{file}: holds no Gamma market or event")
    try:
        return found.catalogue()
    except msgspec.MsgspecError as error:
        raise ReplayError(f"a Gamma record cannot be served: {error}") from error


class _Gamma:
    """Collects Gamma records by what they look like; the first copy of a record stays unless a later one knows more."""

    def __init__(self) -> None:
        self.markets: dict[str, dict[str, msgspec.Raw]] = {}
        self.events: dict[str, dict[str, msgspec.Raw]] = {}
        self.inner: dict[str, dict[str, msgspec.Raw]] = {}
        self.members: dict[str, list[str]] = {}
        self.taken = 0

    def take(self, raw: msgspec.Raw) -> None:
        text = bytes(raw).lstrip()
        if text.startswith(b"["):
            for one in _ARRAY.decode(text):
                self.take(one)
        elif text.startswith(b"{"):
            record = _OBJECT.decode(text)
            if "conditionId" in record:
                self._market(record)
            elif "markets" in record and "slug" in record:
                self._event(record)
            else:  # a page, a search answer or a named collection: look inside
                for one in record.values():
                    self.take(one)

    def _market(self, record: dict[str, msgspec.Raw]) -> str:
        number = str(_plain(record["id"]))
        known = self.markets.get(number)
        self.taken += 1
        if known is None or ("events" in record and "events" not in known):
            self.markets[number] = record
        for inner in _ARRAY.decode(record.get("events", b"[]")):
            event = _OBJECT.decode(inner)
            key = str(_plain(event["id"]))
            self.inner.setdefault(key, event)
            self._join(key, number)
        return number

    def _event(self, record: dict[str, msgspec.Raw]) -> None:
        key = str(_plain(record["id"]))
        self.taken += 1
        self.events.setdefault(key, record)
        alone = {name: value for name, value in record.items() if name not in ("markets", "tags")}
        self.inner.setdefault(key, alone)
        for one in _ARRAY.decode(record["markets"]):
            self._join(key, self._market(_OBJECT.decode(one)))

    def _join(self, event: str, market: str) -> None:
        members = self.members.setdefault(event, [])
        if market not in members:
            members.append(market)

    def catalogue(self) -> GammaCatalogue:
        owner = {market: event for event, markets in self.members.items() for market in markets}
        markets = []
        for number, record in self.markets.items():
            if "events" not in record and number in owner:
                record = record | {"events": msgspec.Raw(msgspec.json.encode([self.inner[owner[number]]]))}
            markets.append(Item.of(msgspec.json.encode(record)))
        events = []
        for key, inner in self.inner.items():
            whole = self.events.get(key)
            if whole is None:
                members = [
                    {name: value for name, value in self.markets[number].items() if name != "events"}
                    for number in self.members[key]
                ]
                whole = inner | {"markets": msgspec.Raw(msgspec.json.encode(members))}
            events.append(Item.of(msgspec.json.encode(whole)))
        return GammaCatalogue(markets, events)


def records_of(file: Path, wrapper: str) -> Iterator[bytes]:
    """Yield the JSON text of every record in `file`.

    The file is NDJSON, an array of records, one page `{wrapper: [...]}`, or an array of such pages. Raises ReplayError.
    """
    for raw in _values(file):
        text = bytes(raw).strip()
        if text.startswith(b"["):
            for one in _ARRAY.decode(text):
                yield from _unwrapped(file, bytes(one).strip(), wrapper)
        else:
            yield from _unwrapped(file, text, wrapper)


def _unwrapped(file: Path, text: bytes, wrapper: str) -> Iterator[bytes]:
    try:
        record = _OBJECT.decode(text)
        if wrapper in record:
            for one in _ARRAY.decode(record[wrapper]):
                _OBJECT.decode(one)  # refuse a page of anything but objects now, not when it is served
                yield bytes(one)
        else:
            yield text
    except msgspec.MsgspecError as error:
        raise ReplayError(f"{file}: not a list of records: {error}") from error


def _values(file: Path) -> list[msgspec.Raw]:
    """Return the JSON values of a file: its one value, or one per line."""
    try:
        text = file.read_bytes().strip()
    except OSError as error:
        raise ReplayError(f"{file}: cannot be read: {error.strerror}") from error
    if not text:
        raise ReplayError(f"{file}: is empty")
    try:
        return [msgspec.json.decode(text, type=msgspec.Raw)]
    except msgspec.DecodeError:
        pass  # several values: one per line
    values = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                values.append(msgspec.json.decode(line, type=msgspec.Raw))
            except msgspec.DecodeError as error:
                raise ReplayError(f"{file}: line {number} is not JSON: {error}") from error
    return values


def _plain(raw: msgspec.Raw) -> object:
    """Return the value of `raw`, or None when it is no value a reader could hold (1e400)."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def _int(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
