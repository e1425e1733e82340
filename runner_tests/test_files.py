"""Files of order records: every form gives the same records with their place, or one sentence about what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.errors import UsageError
from runner.records import read_order
from runner.sources.files import records

ONE, TWO, THREE = ({"id": name, "price": 0.35000000077872, "n": n} for n, name in enumerate(("a", "b", "c")))
BOM = b"\xef\xbb\xbf"


def dumped(*values: Any, between: str = "\n", **how: Any) -> bytes:
    return between.join(json.dumps(value, **how) for value in values).encode()


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Return a function that writes bytes to a file and gives (record, place) of all that is read from it."""

    def run(content: bytes, name: str = "orders.json") -> list[tuple[Any, str]]:
        file = tmp_path / name
        file.write_bytes(content)
        return [(json.loads(record.raw), record.place) for record in records(file)]

    return run


@pytest.mark.parametrize("name", ["orders.ndjson", "orders.jsonl", "orders.json", "orders"])
def test_ndjson_is_told_by_its_content_and_not_by_its_name(read: Any, name: str) -> None:
    assert read(dumped(ONE, TWO), name) == [(ONE, "line 1"), (TWO, "line 2")]


def test_one_record_alone_is_a_file_of_one(read: Any) -> None:
    assert read(dumped(ONE)) == [(ONE, "line 1")]
    assert read(dumped(ONE, indent=2)) == [(ONE, "record 1")]


def test_blank_lines_and_windows_line_ends_are_skipped_and_counted(read: Any) -> None:
    assert read(b"\r\n" + dumped(ONE) + b"\r\n\r\n  \r\n" + dumped(TWO) + b"\r\n") == [(ONE, "line 2"), (TWO, "line 5")]


def test_a_byte_order_mark_is_no_part_of_the_first_record(read: Any) -> None:
    assert read(BOM + dumped(ONE, TWO)) == [(ONE, "line 1"), (TWO, "line 2")]
    assert read(BOM + dumped(ONE)) == [(ONE, "line 1")]
    assert read(BOM + dumped([ONE, TWO])) == [(ONE, "record 1"), (TWO, "record 2")]
    assert read(BOM + dumped({"orders": [ONE]}, indent=1)) == [(ONE, "record 1")]
    assert read(BOM) == []


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_of_records(read: Any, indent: int | None) -> None:
    assert read(dumped([ONE, TWO], indent=indent)) == [(ONE, "record 1"), (TWO, "record 2")]


def test_one_page_as_the_api_gives_it(read: Any) -> None:
    page = {"orders": [ONE, TWO], "pagination": {"has_more": False}}
    assert read(dumped(page)) == [(ONE, "line 1, record 1"), (TWO, "line 1, record 2")]
    assert read(dumped(page, indent=2)) == [(ONE, "record 1"), (TWO, "record 2")]


def test_one_page_a_line(read: Any) -> None:
    pages = dumped({"orders": [ONE, TWO]}, {"orders": []}, {"orders": [THREE]})
    assert read(pages) == [(ONE, "line 1, record 1"), (TWO, "line 1, record 2"), (THREE, "line 3, record 1")]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_of_pages_is_numbered_through(read: Any, indent: int | None) -> None:
    content = dumped([{"orders": [ONE, TWO]}, {"orders": []}, {"orders": [THREE]}], indent=indent)
    assert read(content) == [(ONE, "record 1"), (TWO, "record 2"), (THREE, "record 3")]


def test_a_list_may_mix_records_and_pages(read: Any) -> None:
    assert read(dumped([ONE, {"orders": [TWO]}, THREE])) == [(ONE, "record 1"), (TWO, "record 2"), (THREE, "record 3")]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"[]", b'{"orders":[]}', b'{\n"orders":[]\n}'])
def test_a_file_without_records_gives_none(read: Any, content: bytes) -> None:
    assert read(content) == []


def raw(tmp_path: Path, content: bytes) -> list[tuple[bytes, str]]:
    file = tmp_path / "orders.ndjson"
    file.write_bytes(content)
    return [(record.raw, record.place) for record in records(file)]


def test_a_broken_line_is_a_record_of_its_own_wherever_it_stands(tmp_path: Path) -> None:
    one, two = dumped(ONE), dumped(TWO)
    broken = one[:20]
    for lines in ([broken, one, two], [one, broken, two], [one, two, broken], [one, b"\xff", two]):
        expected = [(line, f"line {number}") for number, line in enumerate(lines, start=1)]
        assert raw(tmp_path, b"\n".join(lines)) == expected


def test_a_line_that_is_no_object_is_a_record_of_its_own(tmp_path: Path) -> None:
    assert raw(tmp_path, dumped(ONE, 5, "x", None))[1:] == [(b"5", "line 2"), (b'"x"', "line 3"), (b"null", "line 4")]


def test_elements_of_a_list_that_are_no_objects_are_records_of_their_own(tmp_path: Path) -> None:
    assert raw(tmp_path, b'[5, {"orders": 7}]') == [(b"5", "record 1"), (b'{"orders": 7}', "record 2")]


def test_numbers_are_handed_on_as_they_were_written(tmp_path: Path) -> None:
    line = b'{"price":0.1000000000000000055511151231257827,"big":' + b"9" * 78 + b',"huge":1e400}'
    assert raw(tmp_path, line) == [(line, "line 1")]
    assert raw(tmp_path, b"[" + line + b"]") == [(line, "record 1")]


@pytest.mark.parametrize(
    "content",
    [
        b"wallet,price\n0x1,0.5\n",
        b"<!DOCTYPE html>",
        b"[1, 2",
        b'{"orders": [\n{"a": 1,',
        b"PAR1",
        b"[1]\n[2]",
        b"\x00\x01",
    ],
)
def test_a_file_that_is_no_json_at_all_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match=r"orders\.ndjson is neither NDJSON nor one JSON value") as caught:
        raw(tmp_path, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_folder_or_a_missing_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    for path in (folder, tmp_path / f"missing{suffix}"):
        with pytest.raises(UsageError, match=f"{path.name} cannot be read: "):
            list(records(path))


def parquet(tmp_path: Path, **columns: pa.Array) -> list[tuple[Any, str]]:
    file = tmp_path / "orders.parquet"
    pq.write_table(pa.table(columns), file)
    return [(json.loads(record.raw), record.place) for record in records(file)]


def test_a_row_of_a_parquet_file_is_a_record_and_a_null_is_a_missing_field(tmp_path: Path) -> None:
    found = parquet(
        tmp_path,
        tx_hash=pa.array(["0x1", None]),
        price=pa.array([0.3500000007787229, 0.5]),
        shares=pa.array([2**53 + 1, None], pa.int64()),
        flag=pa.array([True, False]),
    )
    assert found == [
        ({"tx_hash": "0x1", "price": 0.3500000007787229, "shares": 2**53 + 1, "flag": True}, "row 1"),
        ({"price": 0.5, "flag": False}, "row 2"),
    ]


def test_parquet_instants_become_seconds_or_milliseconds(tmp_path: Path) -> None:
    whole = datetime(2026, 1, 26, 22, 30, 33, tzinfo=UTC)
    part = whole.replace(microsecond=7000)
    second = 1_769_466_633
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("ns", "America/New_York")):
        found = parquet(tmp_path, timestamp=pa.array([whole, part], kind))
        assert [record["timestamp"] for record, _ in found] == [second, second * 1000 + 7]
    naive = pa.array([whole.replace(tzinfo=None)], pa.timestamp("us"))
    assert parquet(tmp_path, timestamp=naive)[0][0] == {"timestamp": second}
    assert parquet(tmp_path, timestamp=pa.array([date(2026, 1, 26)]))[0][0] == {"timestamp": "2026-01-26"}


def test_parquet_decimals_and_integers_beyond_64_bits_stay_exact(tmp_path: Path) -> None:
    wide = 10**37 + 1
    found = parquet(
        tmp_path,
        shares=pa.array([Decimal(5_000_000)], pa.decimal128(38, 0)),
        price=pa.array([Decimal("0.65")], pa.decimal128(10, 2)),
        token_id=pa.array([Decimal(wide)], pa.decimal128(38, 0)),
        nonce=pa.array([2**64 - 1], pa.uint64()),
    )
    assert found[0][0] == {"shares": 5_000_000, "price": 0.65, "token_id": str(wide), "nonce": str(2**64 - 1)}


def test_a_recorded_file_says_the_same_in_every_form(tmp_path: Path, data: Path) -> None:
    lines = (data / "dome" / "orders.ndjson").read_bytes().splitlines()
    orders = [json.loads(line) for line in lines]
    now = datetime(2026, 2, 1, tzinfo=UTC)
    forms = {
        "a.ndjson": b"\n".join(lines),
        "b.json": dumped(orders),
        "c.json": dumped(orders, indent=1),
        "d.json": dumped({"orders": orders}),
        "e.json": dumped([{"orders": orders[:50]}, {"orders": orders[50:]}], indent=1),
    }
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
    table = pa.Table.from_pylist([order | {"shares_normalized": float(order["shares_normalized"])} for order in orders])
    pq.write_table(table, tmp_path / "f.parquet")
    read = {
        name: [read_order(record.raw, None, now) for record in records(tmp_path / name)]
        for name in [*forms, "f.parquet"]
    }
    assert len(read["a.ndjson"]) == 200
    for name, rows in read.items():
        assert rows == read["a.ndjson"], name


@pytest.mark.parametrize("damage", ["start", "middle", "end"])
def test_a_damaged_parquet_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"price": pa.array([n / 7 for n in range(5_000)])}), file, use_dictionary=False)
    content = file.read_bytes()
    half = len(content) // 2
    damaged = {
        "start": b"no parquet at all",
        "middle": content[:100] + b"\xff" * (half - 100) + content[half:],
        "end": content[:half],
    }
    file.write_bytes(damaged[damage])
    with pytest.raises(UsageError, match=r"orders\.parquet cannot be read") as caught:
        list(records(file))
    assert "\n" not in str(caught.value)
