"""Other processes, other projects and other files around a run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner_tests.support import BIN, ROOT, Home, Running, order


def started(home: Home, said: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """A command that goes on in the background; what it says goes to `said`."""
    with said.open("w") as out:
        return subprocess.Popen(
            [str(BIN / "polytrades"), *map(str, arguments)],
            cwd=home.folder,
            env=home.environment,
            stdout=out,
            stderr=out,
        )


@pytest.fixture
def at_world(home: Home, tmp_path: Path, start: Callable[..., Running]) -> Home:
    home.uses(start("--wallets", 4, "--fills", 200, "--write-wallets", tmp_path / "wallets.csv"))
    return home


@pytest.mark.duckdb_only("elsewhere nobody who looks has to wait")
def test_whoever_looks_while_a_sync_is_running_does_not_cost_the_night(at_world: Home) -> None:
    said = at_world.folder / "said"
    running = started(at_world, said, "sync", "--wallets", at_world.folder / "wallets.csv")
    looks = 0
    while running.poll() is None:
        assert at_world.polytrades("status", "--json", check=False).code in (0, 3)
        looks += 1
        time.sleep(0.2)
    assert running.returncode == 0, said.read_text()
    assert looks > 3
    assert at_world.query("select count(*) from trades") == [(200,)]


@pytest.mark.duckdb_first("signals are the runner's")
def test_a_run_that_is_told_to_end_takes_dbt_with_it_and_the_next_one_completes(at_world: Home) -> None:
    said = at_world.folder / "said"
    running = started(at_world, said, "sync", "--wallets", at_world.folder / "wallets.csv")
    while running.poll() is None and "dbt build" not in said.read_text():
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 3, said.read_text()
    assert "Interrupted" in said.read_text()
    # Nobody holds the file any more.
    assert at_world.query("select count(*) from landing.batches where landing_table = 'trades'") == [(1,)]
    at_world.polytrades("sync")
    assert at_world.query("select count(*) from trades") == [(200,)]


@pytest.mark.duckdb_only("it is about dbt's files")
def test_a_dbt_that_did_not_run_is_not_taken_for_one_that_did(home: Home) -> None:
    """Results of another invocation lie where ours should be."""
    home.polytrades("import", home.records("a.ndjson", [order()]))
    good = (home.target_path / "run_results.json").read_text()
    home.variables["DBT_PARTIAL_PARSE"] = "no boolean"
    said = home.folder / "said"
    running = started(home, said, "import", home.records("b.ndjson", [order(tx_hash="0x" + "9" * 64)]))
    while running.poll() is None:
        (home.target_path / "run_results.json").write_text(good)
        time.sleep(0.05)
    assert running.returncode == 3, said.read_text()
    assert "before it built anything" in said.read_text()
    assert home.query("select count(*) from trades") == [(1,)]


@pytest.mark.duckdb_only("the demo is on DuckDB")
def test_the_demo_never_takes_the_user_s_own_file(home: Home, tmp_path: Path) -> None:
    home.variables["POLYTRADES_DUCKDB_PATH"] = str(tmp_path / "demo.duckdb")
    (tmp_path / "demo.duckdb").write_text("mine")
    refused = home.polytrades("demo", "--folder", tmp_path, check=False)
    assert refused.code == 2
    assert (tmp_path / "demo.duckdb").read_text() == "mine"


@pytest.mark.duckdb_only("it is about dbt's files")
def test_profiles_of_other_projects_in_the_home_folder_are_none_of_ours(home: Home, tmp_path: Path) -> None:
    (tmp_path / ".dbt").mkdir()
    (tmp_path / ".dbt" / "profiles.yml").write_text("theirs: {target: dev, outputs: {dev: {type: duckdb}}}\n")
    done = home.polytrades("import", home.records("orders.ndjson", [order()]))
    assert "dbt used profiles.example.yml" in done.stderr


@pytest.mark.duckdb_only("a project has no path")
def test_a_profile_that_builds_into_another_file_is_refused_before_anything_lands(home: Home) -> None:
    written = "{{ env_var('POLYTRADES_DUCKDB_PATH', 'polytrades.duckdb') }}"
    assert_refused(home, written, "other.duckdb", "builds into other.duckdb")


def test_a_profile_that_builds_into_another_schema_is_refused_before_anything_lands(home: Home) -> None:
    name = "schema: main" if home.target == "duckdb" else "dataset: polytrades"
    assert_refused(home, f"{name} ", f"{name.split()[0]} anna ", "builds into the schema anna")


def assert_refused(home: Home, written: str, instead: str, says: str) -> None:
    profile = (ROOT / "profiles.example.yml").read_text()
    assert written in profile
    (home.folder / "profiles.yml").write_text(profile.replace(written, instead))
    refused = home.polytrades("import", home.records("orders.ndjson", [order()]), check=False)
    assert refused.code == 2
    assert says in " ".join(refused.stderr.split())
    assert home.is_untouched


@pytest.mark.duckdb_only("it is about the DuckDB file")
def test_a_file_name_that_duckdb_cannot_tell_from_a_schema_is_refused(home: Home, tmp_path: Path) -> None:
    home.variables["POLYTRADES_DUCKDB_PATH"] = str(tmp_path / "state.duckdb")
    refused = home.polytrades("status", check=False)
    assert refused.code == 2
    assert "confuses a file of this name with a schema" in refused.stderr


@pytest.mark.duckdb_only("it is about the DuckDB file")
def test_status_reads_a_file_that_somebody_else_reads_too(home: Home, tmp_path: Path) -> None:
    home.polytrades("import", home.records("orders.ndjson", [order()]))
    holds = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(); input()"
    reader = subprocess.Popen(
        [sys.executable, "-c", holds, str(home.duckdb_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    # Not the line of a reader that failed: it must still be there.
    assert reader.stdout.readline() == b"\n"
    found = home.polytrades("status", "--json")
    reader.communicate(b"\n")
    assert found.json["totals"]["fills"] == 1
    assert "last status" not in found.stderr
