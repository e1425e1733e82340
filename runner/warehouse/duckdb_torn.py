"""A DuckDB file whose writer was killed in the middle of a block of metadata, and how it is made readable again.

A checkpoint writes blocks of metadata in place: 256 KB in one call, although parts of such a block belong to the state
that is still valid. Then the header follows that makes the new state valid, and last the log (`.wal`) goes. A process
that is killed within that one call leaves a block whose first pages are new and whose others are old. What the valid
state points at is the same in both, and the log has everything since; only the checksum over the whole block fits
neither, so DuckDB refuses the file. Giving the block the checksum of what stands in it loses nothing.

Seen with DuckDB 1.5.6 on tmpfs, where kill -9 cuts a write short between two pages; 2.0.1 writes in place as well.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from runner.errors import Failed

_TORN = re.compile(
    r"computed checksum (?P<computed>\d+) does not match stored checksum (?P<stored>\d+) "
    r"in block at location (?P<at>\d+)"
)
_BLOCK = 262_144
"""Bytes; what DuckDB makes files with."""
_CHECKSUM = 8
"""Bytes at the start of a block, little-endian."""
_MARK = ".written"
"""What the name of the mark ends in."""


@dataclass(frozen=True)
class TornBlock:
    """What DuckDB says of a block that its checksum does not fit: where it stands in the file, and both sums."""

    at: int
    computed: int
    stored: int


def torn_block(error: duckdb.Error) -> TornBlock | None:
    """The block that the error is about; None if it is about something else."""
    found = _TORN.search(str(error))
    return TornBlock(int(found["at"]), int(found["computed"]), int(found["stored"])) if found else None


def mark(file: Path, is_written: bool) -> None:
    """Notes beside the file that a run is writing, or that it has ended."""
    beside = file.with_name(file.name + _MARK)
    if is_written:
        beside.touch()
    else:
        beside.unlink(missing_ok=True)


def was_left_by_a_dead_writer(file: Path) -> bool:
    """True while a log or our own mark lies beside the file: who ends properly takes them away.

    The mark, because DuckDB writes no log where it would be very large, and makes a checkpoint at once.
    """
    return has_log(file) or file.with_name(file.name + _MARK).exists()


def has_log(file: Path) -> bool:
    """True while a log lies beside the file: somebody is writing, or was killed."""
    return file.with_name(file.name + ".wal").exists()


def mend(file: Path, block: TornBlock) -> Path:
    """Gives the block its checksum; what stood there before is kept beside the file. Gives the copy's path.

    Raises:
        Failed: nobody has died here, so the block was not torn but damaged; or the file cannot be written.
        BlockingIOError: another process has the file open.
    """
    if not was_left_by_a_dead_writer(file):
        raise Failed(_beyond_us(file, block, "and no writer was killed, so the disk or a copy of the file is damaged"))
    kept = file.with_name(f"{file.name}.torn-{block.at}")
    try:
        with file.open("r+b") as opened:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes
            opened.seek(block.at)
            before = opened.read(_BLOCK)
            if before[:_CHECKSUM] != block.stored.to_bytes(_CHECKSUM, "little"):
                raise BlockingIOError("somebody has written there since")
            kept.write_bytes(before)
            opened.seek(block.at)
            opened.write(block.computed.to_bytes(_CHECKSUM, "little"))
            opened.flush()
            os.fsync(opened.fileno())
    except PermissionError:
        raise Failed(
            f"The last writer of {file} was killed while it wrote. Whoever may write the file has to open it first: "
            "run `polytrades doctor` as the user of the nightly job."
        ) from None
    return kept


def put_back(file: Path, block: TornBlock, kept: Path, why: str) -> Failed:
    """Undoes `mend`, as what stands there is no metadata; gives the error to raise.

    Raises:
        BlockingIOError: another process has the file open.
    """
    with file.open("r+b") as opened:
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened.seek(block.at)
        if opened.read(_CHECKSUM) == block.computed.to_bytes(_CHECKSUM, "little"):
            opened.seek(block.at)
            opened.write(kept.read_bytes())
    return Failed(_beyond_us(file, block, why))


def check_metadata(connection: duckdb.DuckDBPyConnection) -> None:
    """Reads all metadata of the file, and no data.

    Raises:
        duckdb.Error: some of it cannot be read.
    """
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
    ).fetchall()
    for schema, table in tables:
        name = '"' + schema.replace('"', '""') + '"."' + table.replace('"', '""') + '"'
        connection.execute("select count(*) from pragma_storage_info(?)", [name]).fetchall()


def _beyond_us(file: Path, block: TornBlock, why: str) -> str:
    return (
        f"The DuckDB file {file} is damaged: the block at {block.at:,} does not fit its checksum, {why}. It was left "
        "as it is. Put back a copy of the file and run the same command again, which fetches what the copy lacks."
    )
