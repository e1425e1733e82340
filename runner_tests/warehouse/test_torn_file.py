"""Promise: a DuckDB file whose writer was killed within a write can be opened again, with everything in it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import duckdb
import pytest

from runner.errors import Failed
from runner.settings import load
from runner.warehouse import duckdb_torn
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Warehouse

_BLOCKS_BEGIN, _BLOCK, _PAGE = 12_288, 262_144, 4_096
_FIRST, _SINCE = "select count(*), sum(hash(t)) from t7 as t", "select count(*) from t3"


def _blocks(file: Path) -> list[bytes]:
    whole = file.read_bytes()[_BLOCKS_BEGIN:]
    return [whole[start : start + _BLOCK] for start in range(0, len(whole), _BLOCK)]


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """A file as kill -9 leaves it: a checkpoint was under way, a block is half written, the header is the old one."""
    file, work = tmp_path / "w.duckdb", tmp_path / "work.duckdb"
    with duckdb.connect(str(work)) as connection:
        for number in range(12):
            connection.execute(
                f"create table t{number} as select range as a, sha256(range::varchar) as b from range(9)"
            )
    before = _blocks(work)
    shutil.copy(work, file)
    with duckdb.connect(str(work)) as connection:
        connection.execute("insert into t3 select range, 'since' from range(1000)")
        shutil.copy(f"{work}.wal", f"{file}.wal")
    after = _blocks(work)
    in_place = [n for n, block in enumerate(before) if block[:8] != after[n][:8] and block[8:200] != bytes(192)]
    cuts = [
        (number, cut)
        for number in in_place
        for cut in range(_PAGE, _BLOCK, _PAGE)
        if before[number][cut:] != after[number][cut:]
    ]
    assert cuts, "DuckDB no longer writes metadata in place: this and duckdb_torn.py can go"
    number, cut = random.Random(7).choice(cuts)
    with file.open("r+b") as opened:
        opened.seek(_BLOCKS_BEGIN + number * _BLOCK)
        opened.write(after[number][:cut])
    with pytest.raises(duckdb.IOException, match="checksum"), duckdb.connect(str(file)) as connection:
        connection.execute(_FIRST).fetchall()
    return file


def _open(file: Path) -> Warehouse:
    return connect(load(target="duckdb", duckdb_path=file))


def test_a_block_that_a_kill_has_cut_off_is_mended_and_nothing_is_lost(
    torn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(torn.parent)
    warehouse = _open(torn)
    assert warehouse._query("test", _SINCE) == [(1009,)]  # type: ignore[attr-defined]
    assert warehouse._query("test", _FIRST)[0][0] == 9  # type: ignore[attr-defined]
    said = capsys.readouterr()
    assert (said.out + said.err).count("mended") == 1
    assert list(torn.parent.glob("w.duckdb.torn-*"))
    with duckdb.connect(str(torn)) as connection:  # and for everybody else
        assert connection.execute(_SINCE).fetchall() == [(1009,)]


def test_a_block_is_not_mended_where_nobody_was_killed(torn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(torn.parent)
    Path(f"{torn}.wal").unlink()
    before = torn.read_bytes()
    with pytest.raises(Failed, match="no writer was killed"):
        _open(torn)._query("test", _SINCE)  # type: ignore[attr-defined]
    assert torn.read_bytes() == before


def test_a_run_that_did_not_end_is_a_death_too(torn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DuckDB would write a very large log, it writes none, and makes the checkpoint at once."""
    monkeypatch.chdir(torn.parent)
    Path(f"{torn}.wal").unlink()
    duckdb_torn.mark(torn, is_written=True)
    assert _open(torn)._query("test", _FIRST)[0][0] == 9  # type: ignore[attr-defined]


def test_a_run_leaves_its_mark_only_if_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    warehouse = _open(tmp_path / "w.duckdb")
    warehouse.prepare()
    warehouse.acquire_lease("r", "a test", 10)
    assert (tmp_path / "w.duckdb.written").exists()
    warehouse.release_lease()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.duckdb"]


def test_what_somebody_else_has_written_since_is_not_put_back(torn: Path) -> None:
    block = duckdb_torn.TornBlock(_BLOCKS_BEGIN, computed=1, stored=2)
    kept = torn.with_name("kept")
    kept.write_bytes(bytes(_BLOCK))
    before = torn.read_bytes()
    assert isinstance(duckdb_torn.put_back(torn, block, kept, "and so on"), Failed)
    assert torn.read_bytes() == before


def test_a_block_that_is_no_metadata_is_left_as_it_is(torn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(torn.parent)
    with torn.open("r+b") as opened:
        opened.seek(_BLOCKS_BEGIN + 8)
        opened.write(random.Random(1).randbytes(_BLOCK - 8))
    before = torn.read_bytes()
    with pytest.raises(Failed, match="more than that is wrong"):
        _open(torn)._query("test", _SINCE)  # type: ignore[attr-defined]
    assert torn.read_bytes() == before
