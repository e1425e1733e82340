"""Files of order records: NDJSON, JSON (a list, `{"orders": […]}`, a list of such pages) or Parquet."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from runner.errors import UsageError

SOURCE = "file"


@dataclass(frozen=True)
class FileRecord:
    """A record as it stands in the file; `place` is its line or number."""

    raw: bytes
    place: str


class _Page(msgspec.Struct):
    orders: list[msgspec.Raw]


def records(path: Path) -> Iterator[FileRecord]:
    """Yields the records of one file. Text that is no JSON comes as a record too: the intake rejects it, by line.

    Raises:
        UsageError: the file cannot be read, or is none of the forms above as a whole.
    """
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif _is_one_value(path):
            yield from _from_value(path, path.read_bytes().removeprefix(BOM_UTF8), "record", iter(range(1, 2**62)))
        else:
            yield from _lines(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}. Check its name and its rights.") from None


def _is_one_value(path: Path) -> bool:
    """True if the file is one JSON value: a list, or an object over several lines.

    Told by the first two lines that are not empty, so that a broken first line does not hide an NDJSON file.
    """
    with path.open("rb") as file:
        texts = (text for line in file if (text := line.removeprefix(BOM_UTF8).strip()))
        first, second = next(texts, b""), next(texts, b"")
    if first.startswith(b"["):
        return True
    return first != b"" and not _is_json(first) and not _is_json(second)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _lines(path: Path) -> Iterator[FileRecord]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(BOM_UTF8).strip()
            if not text:
                continue
            page = _page(text)
            if page is None:
                yield FileRecord(text, f"line {number}")
            else:
                for count, raw in enumerate(page.orders, start=1):
                    yield FileRecord(bytes(raw), f"line {number}, record {count}")


def _from_value(path: Path, text: bytes, word: str, numbers: Iterator[int]) -> Iterator[FileRecord]:
    """Walks a JSON value: a list of records or pages, a page, or one record."""
    page = _page(text)
    if page is not None:
        values = page.orders
    else:
        try:
            values = msgspec.json.decode(text, type=list[msgspec.Raw])
        except msgspec.DecodeError:
            if not _is_json(text):
                raise UsageError(
                    f"{path} is neither NDJSON nor one JSON value (a list of orders, or a page with orders). Nothing "
                    "was imported from it. Check that it is complete."
                ) from None
            yield FileRecord(text, f"{word} {next(numbers)}")
            return
    for raw in values:
        if _page(bytes(raw)) is not None:
            yield from _from_value(path, bytes(raw), word, numbers)
        else:
            yield FileRecord(bytes(raw), f"{word} {next(numbers)}")


def _page(text: bytes) -> _Page | None:
    if b'"orders"' not in text:
        return None
    try:
        return msgspec.json.decode(text, type=_Page)
    except msgspec.DecodeError:
        return None


def _parquet(path: Path) -> Iterator[FileRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for group in file.iter_batches(batch_size=10_000):
                for row in group.to_pylist():
                    number += 1
                    record = {name: _plain(value) for name, value in row.items() if value is not None}
                    yield FileRecord(msgspec.json.encode(record), f"row {number}")
    except (pa.ArrowException, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as Parquet, after row {number}: {error}. Mend the file, then import it again."
        ) from None


def _plain(value: Any) -> Any:
    """A Parquet value as the order API would write it: instants in Unix seconds (milliseconds if they have a part)."""
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        milliseconds = round(value.timestamp() * 1000)
        return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        return str(value)
    return value
