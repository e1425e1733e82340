"""The migration: of every key the newest row, once; nothing that was there is touched; a proof that can fail.

The staging tables are made by bench/legacy.py, which knows their winners without looking at them.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench.legacy import FULL_SCALE, Shape
from runner_tests.bigquery.proxy import Proxy
from runner_tests.bigquery.running import Emulator
from runner_tests.legacy_table import STAGING, LegacyTable, stored
from runner_tests.support import ONLY_FILLS, Home, home_on, order

SMALL = Shape(6_000, 2_000, 1_500, days=60)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LegacyTable:
    """A small staging table."""
    return LegacyTable(tmp_path_factory.mktemp("legacy"), SMALL)


def migrate(home: Home, *arguments: object, code: int = 0) -> dict[str, Any]:
    """Runs a part of the migration; gives its JSON."""
    done = home.polytrades("migrate", *arguments, "--json", check=False)
    assert done.code == code, done.stdout + done.stderr
    return dict(done.json)


def test_a_table_is_audited_copied_verified_dropped_and_brought_back(
    target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At a thousandth of the table that this project was begun for; on the emulator smaller."""
    rows, keys, before = FULL_SCALE
    shape = Shape(rows // 1000, keys // 1000, before // 1000) if target == "duckdb" else SMALL
    table = LegacyTable(tmp_path, shape)
    home = home_on(target, tmp_path, request)
    table.put_into(home)
    before_rows = sorted(stored(home), key=repr)

    page = tmp_path / "audit.html"
    audit = migrate(home, "audit", "--staging", STAGING, "--html", page)
    assert (audit["rows"], audit["production"]["keys_in_both"]) == (shape.rows, table.answer["in_production"])
    assert max(part["most"] for part in audit["natures"]) == 99
    assert sum(part["rows"] for part in audit["natures"]) == shape.rows
    assert "<svg" in page.read_text()
    assert migrate(home, "copy", "--staging", STAGING, "--dry-run")["migration_id"] is None
    assert sorted(stored(home), key=repr) == before_rows  # an audit and a dry run only read

    copied = migrate(home, "copy", "--staging", STAGING)
    assert (copied["copied"], copied["rejected"]) == (table.answer["to_copy"], sum(audit["rules"].values()))
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)
    assert migrate(home, "copy", "--staging", STAGING)["was_copied_before"]
    told = json.loads(home.polytrades("status", "--json", check=False).stdout)["migration"]
    assert (told["stage"], told["rows"], told["staging"]) == ("copied", table.answer["to_copy"], STAGING)
    kept = home.query("select count(*) from landing.rejected_records where source = 'legacy'")
    assert kept == [(copied["rejected"],)]

    assert "verify" in migrate(home, "drop", code=2)["error"]
    verdict = migrate(home, "verify")
    assert verdict["is_green"]
    assert verdict["production_state"]["rows"] == table.answer["production_after"]
    assert "--yes" in migrate(home, "drop", code=2)["error"]
    assert "not its name" in migrate(home, "drop", "--yes", "another", code=2)["error"]
    migrate(home, "drop", "--yes", verdict["verification_id"])
    assert "trades_staging" not in home.tables("old")

    assert migrate(home, "rollback", "--dry-run")["what"] == "drop"
    assert migrate(home, "rollback")["rows"] == shape.rows
    assert migrate(home, "drop", "--dry-run")["rows"] == shape.rows  # the verdict is about these very rows
    assert migrate(home, "rollback")["rows"] == table.answer["to_copy"]
    assert sorted(stored(home), key=repr) == before_rows
    assert migrate(home, "status")["stage"] == "rolled back"
    assert json.loads(home.polytrades("status", "--json", check=False).stdout)["migration"] is None
    migrate(home, "rollback", code=2)


@pytest.mark.duckdb_only("BigQuery loads files into a table first")
def test_files_of_csv_are_moved_as_the_same_rows_of_parquet_are(
    target: str, table: LegacyTable, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home = home_on(target, tmp_path, request)
    table.put_into(home)
    files = tmp_path / "files"
    files.mkdir()
    half = f"from '{table.file('staging')}' where hash(id) % 2"
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'Asia/Kolkata'")  # instants carry their offset, whatever it is
        for number in (0, 1):
            connection.execute(f"copy ({half} = {number}) to '{files}/{number}.csv' (header)")
    copied = migrate(home, "copy", "--staging", f"{files}/*.csv")
    assert copied["copied"] == table.answer["to_copy"]
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)
    assert migrate(home, "verify")["is_green"]
    assert "deletes no files" in migrate(home, "drop", "--dry-run", code=2)["error"]

    (files / "2.csv").write_text("id,wallet_address\n")
    assert "the same header" in migrate(home, "audit", "--staging", f"{files}/*.csv", code=2)["error"]
    with (files / "1.csv").open("a") as file:
        file.write("a,line,that,is,too,short\n")
    refused = migrate(home, "audit", "--staging", f"{files}/1.csv", code=2)["error"]
    assert "cannot be read as CSV" in refused
    assert "a,line,that,is,too,short" in refused


# A verdict that can be red.


@dataclass(frozen=True)
class Fault:
    """What somebody does to a verified production or staging table, and what verification has to say."""

    name: str
    sql: tuple[str, ...]
    kind: str


ONE = "(select min(rowid) from trades where source = 'legacy')"
A_KEY = "(wallet_address, tx_hash, order_hash) = (select (wallet_address, tx_hash, order_hash) from victim)"
FAULTS = (
    Fault("a lost fill", (f"delete from trades where rowid = {ONE}",), "lost"),
    Fault("a doubled row", (f"insert into trades from trades where rowid = {ONE}",), "doubled"),
    Fault(
        "a pair of doubled rows, which an XOR would not see",
        (
            f"insert into trades from trades where rowid = {ONE}",
            "insert into trades from trades where " + A_KEY + " limit 1",
        ),
        "doubled",
    ),
    Fault(
        "a price changed in its last decimal",
        (f"update trades set price = price + 1e-16 where rowid = {ONE} and price < 0.5",),
        "changed",
    ),
    Fault(
        "an older version kept",
        ("update trades set timestamp = timestamp - interval 1 minute, usdc_raw = usdc_raw + 2 where " + A_KEY,),
        "changed",
    ),
    Fault("a production row overwritten", ("update trades set title = 'x' where rowid = 5",), "changed"),
    Fault(
        "a fill from nowhere",
        ("insert into trades by name select * replace ('0x' || repeat('9', 64) as tx_hash) from victim",),
        "unknown",
    ),
)


@dataclass
class Verified:
    """A home with a green verdict, put back to that before each fault."""

    home: Home
    verification_id: str
    saved: Path

    def before_the_copy(self, folder: Path) -> Home:
        """Another home, as this one was when nothing had been copied."""
        home = Home(folder)
        shutil.copyfile(self.saved, home.duckdb_file)
        home.query("delete from trades where source = 'legacy'")
        home.query("delete from state.migration_steps")
        home.query("delete from landing.rejected_records")
        return home

    def put_back(self) -> None:
        """The file as it was when the verdict was given."""
        shutil.copyfile(self.saved, self.home.duckdb_file)


@pytest.fixture(scope="module")
def verified(table: LegacyTable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verified]:
    """A migration that is proven."""
    home = Home(tmp_path_factory.mktemp("verified"))
    table.put_into(home)
    migrate(home, "copy", "--staging", STAGING)
    home.query("create table victim as from trades where source = 'legacy' and price < 0.5 order by all limit 1")
    verdict = migrate(home, "verify")
    saved = home.folder / "saved"
    shutil.copyfile(home.duckdb_file, saved)
    yield Verified(home, verdict["verification_id"], saved)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_and_named_and_the_table_is_not_dropped(verified: Verified, fault: Fault) -> None:
    home = verified.home
    verified.put_back()
    for sql in fault.sql:
        home.query(sql.replace(ONE, "(select min(rowid) from trades where " + A_KEY + ")"))
    assert "has changed since" in migrate(home, "drop", "--yes", verified.verification_id, code=2)["error"]
    verdict = migrate(home, "verify", code=4)
    assert [(found["kind"], found["keys"]) for found in verdict["differences"]] == [(fault.kind, 1)]
    assert [month for month in verdict["months"] if month["expected"] != month["actual"]]
    assert verdict["examples"] or fault.kind == "lost"
    assert "found that production does not hold" in migrate(home, "drop", code=2)["error"]
    assert "trades_staging" in home.tables("old")


def test_a_staging_table_that_changed_after_its_verification_is_not_dropped(verified: Verified) -> None:
    verified.put_back()
    verified.home.query(f"update {STAGING} set side = 'SELL' where rowid = 0 and side = 'BUY' or rowid = 1")
    refused = migrate(verified.home, "drop", "--yes", verified.verification_id, code=2)
    assert "has changed since" in refused["error"]
    assert "trades_staging" in verified.home.tables("old")


# Interrupted, and rolled back after other things have happened.


@pytest.mark.parametrize("site", ["work.kept:kill:3", "month.copied:kill:1", "month.recorded:raise:2"])
def test_a_copy_that_is_struck_goes_on_where_it_was(
    table: LegacyTable, tmp_path: Path, site: str, verified: Verified
) -> None:
    home = verified.before_the_copy(tmp_path)
    home.variables["POLYTRADES_FAULT"] = site
    struck = home.polytrades("migrate", "copy", "--staging", STAGING, check=False)
    assert struck.code in (-9, 1, 3)
    del home.variables["POLYTRADES_FAULT"]
    assert migrate(home, "status")["stage"] == "copying"
    assert migrate(home, "copy", "--staging", STAGING)["copied"] == table.answer["to_copy"]
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)
    assert migrate(home, "verify")["is_green"]


def test_a_copy_behind_the_terminal_is_followed_by_status(
    table: LegacyTable, tmp_path: Path, verified: Verified
) -> None:
    home = verified.before_the_copy(tmp_path)
    started = migrate(home, "copy", "--staging", STAGING, "--background")
    is_alive = True
    while is_alive:
        is_alive = Path(f"/proc/{started['pid']}").exists()
        found = migrate(home, "status")
    assert found["stage"] == "copied"
    assert found["log"][-1] == "Next: polytrades migrate verify"
    assert sorted(stored(home), key=repr) == sorted(table.expected(), key=repr)


def test_what_came_since_a_copy_is_there_after_its_rollback_and_the_next_build(verified: Verified) -> None:
    """A record without a hash came while the copied fill was known with its hash, and so was not added."""
    home = verified.home
    verified.put_back()
    ((wallet, transaction, token, side, price, shares, seconds),) = home.query(
        "select wallet_address, tx_hash, token_id, side, price, shares_raw, cast(epoch(timestamp) as bigint) "
        "from trades where source = 'legacy' and key_quality = 'repaired' order by all limit 1"
    )
    size = {"shares": shares, "shares_normalized": shares / 1e6, "price": price}
    same = order(
        user=wallet, tx_hash=transaction, order_hash=None, token_id=token, side=side, timestamp=seconds, **size
    )
    home.land(same, order())
    home.dbt("build", *ONLY_FILLS)
    since = "select source, key_quality from trades where tx_hash = ? and wallet_address = ?"
    assert ("dome", "stand_in") not in home.query(since, [transaction, wallet])
    verdict = migrate(home, "verify")
    assert verdict["is_green"] and verdict["came_since"] == 2
    assert migrate(home, "rollback")["batches_reopened"] == 1
    home.dbt("build", *ONLY_FILLS)
    assert ("dome", "stand_in") in home.query(since, [transaction, wallet])
    assert home.query("select count(*) from trades where source = 'legacy'") == [(0,)]
    assert home.query("select count(*) from trades where tx_hash = ?", ["0x" + "1" * 64]) == [(1,)]


def test_a_production_table_in_disorder_is_repaired_and_adopted(table: LegacyTable, home: Home) -> None:
    table.put_disorder_into(home)
    refused = home.polytrades("adopt", "--dry-run", check=False)
    assert refused.code == 2 and "polytrades repair" in refused.stderr
    found = json.loads(home.polytrades("repair", "--dry-run", "--json").stdout)["defects"]
    assert found["rows"] == table.shape.rows and found["null_keys"] and found["double_keys"]
    repaired = json.loads(home.polytrades("repair", "--json").stdout)
    assert (repaired["is_green"], repaired["rows_after"]) == (True, table.shape.keys)
    assert sorted(stored(home), key=repr) == sorted(table.winners(), key=repr)
    assert json.loads(home.polytrades("repair", "--json").stdout)["kept_as"] is None  # nothing is left to do
    assert "nothing to adopt" in home.polytrades("adopt").stdout
    assert migrate(home, "rollback")["what"] == "repair"
    assert home.query("select count(*) from main.trades") == [(table.shape.rows,)]


# What it costs.


def test_a_copy_on_bigquery_reads_the_old_table_once_and_whatever_is_wrong_with_it_is_named(
    emulator: Emulator, table: LegacyTable, tmp_path: Path
) -> None:
    with Proxy(emulator.url) as proxy:
        home = Home(tmp_path, target="emulator", url=proxy.url, project=emulator.new_project())
        table.put_into(home)
        proxy.forget()
        before = len(proxy.jobs)
        copied = migrate(home, "copy", "--staging", STAGING)
        jobs = proxy.jobs[before:]
        each_fault_is_named(home)
    assert not [job for job in jobs if job.unparsed]

    def size(dataset: str, name: str, *columns: str) -> int:
        found = proxy.catalog.table((home.project, dataset, name))
        assert found is not None
        return sum(part.sizes[column] for part in found.partitions.values() for column in columns or part.sizes)

    reading = {job.labels["model"]: job.bytes for job in jobs if "trades_staging" in job.statement and job.bytes}
    keys = size("polytrades_migration", f"m{place(copied)}_before", "key_1", "key_2")
    assert reading == {"migration_winners": size("old", "trades_staging") + keys}

    months = [job.bytes for job in jobs if job.labels["model"] == "migration_month"]
    rows = size("polytrades_migration", f"m{place(copied)}_winners")
    production = size("polytrades", "trades", "timestamp", "wallet_address", "tx_hash", "order_hash")
    assert len(months) == len(copied["months"]) == 3
    # Each month's part of both, and a day more of production on both sides.
    assert sum(months) <= 1.1 * (rows + production)


def place(copied: dict[str, Any]) -> str:
    """What the work tables of a migration have in their names."""
    return str(copied["migration_id"]).replace("-", "_")


def each_fault_is_named(home: Home) -> None:
    """All at once, each on a key of its own: a verification there takes as long as ten here."""
    assert migrate(home, "verify")["is_green"]
    victims = home.query(
        "select wallet_address, tx_hash, order_hash from main.trades "
        "where source = 'legacy' and price < 0.5 order by 1, 2, 3 limit 6"
    )
    lost, doubled, doubled_too, price, older, copied_from = (one_key(victim) for victim in victims)
    for sql in (
        f"delete from main.trades where {lost}",
        f"insert into main.trades select * from main.trades where {doubled} or {doubled_too}",
        f"update main.trades set price = price + 1e-16 where {price}",
        f"update main.trades set timestamp = timestamp - interval 1 minute, usdc_raw = usdc_raw + 2 where {older}",
        "update main.trades set title = 'x' where source = 'dome' and concat(tx_hash, order_hash) = "
        "(select min(concat(tx_hash, order_hash)) from main.trades where source = 'dome')",
        f"insert into main.trades select * replace ('0x{'9' * 64}' as tx_hash) from main.trades where {copied_from}",
    ):
        home.query(sql)
    verdict = migrate(home, "verify", code=4)
    found: Counter[str] = Counter()
    for part in verdict["differences"]:
        found[part["kind"]] += part["keys"]
    assert found == {"lost": 1, "doubled": 2, "changed": 3, "unknown": 1}
    assert "found that production does not hold" in migrate(home, "drop", code=2)["error"]
    assert "trades_staging" in home.tables("old")


def one_key(key: tuple[Any, ...]) -> str:
    """A condition that only this fill meets."""
    wallet, transaction, order_hash = key
    return f"wallet_address = '{wallet}' and tx_hash = '{transaction}' and order_hash = '{order_hash}'"
