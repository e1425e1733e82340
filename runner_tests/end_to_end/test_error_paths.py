"""What a user meets on a bad day: the right exit code, one paragraph that says what to do, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runner_tests.support import BIN, UNTIL, Home, Result, Running, launch, server, stop

ORDERS = "/polymarket/orders"
NOBODY = "http://127.0.0.1:9"
FOLLOWED = "0x" + "ab" * 20
SLEEP = 0.05
before_any_warehouse = pytest.mark.duckdb_only("what is wrong is found before any warehouse is asked")
about_the_upstream = pytest.mark.duckdb_only("the runner's answer to an upstream; no warehouse takes part in it")
about_the_file = pytest.mark.duckdb_only("it is about the DuckDB file")


@dataclass
class World:
    """A healthy upstream, the list of its wallets and its fills."""

    upstream: Running
    wallets_file: Path
    wallets: list[str]
    fills: int


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    file = tmp_path_factory.mktemp("world") / "wallets.csv"
    running = launch("--wallets", 3, "--fills", 60, "--until", UNTIL, "--write-wallets", file)
    yield World(running, file, sorted(file.read_text().split()[1:]), 60)
    stop(running)


@pytest.fixture
def at_world(home: Home, world: World) -> Home:
    """An empty home whose upstream is the healthy world."""
    home.uses(world.upstream)
    return home


@pytest.fixture
def one_wallet(home: Home) -> Path:
    """A list of one wallet."""
    file = home.folder / "one.csv"
    file.write_text(FOLLOWED + "\n")
    return file


def fails(home: Home, code: int, *arguments: object) -> str:
    """Run a command that must fail with `code`; gives its message, which it says in the same words on both streams."""
    result = home.polytrades(*arguments, "--json", check=False)
    assert result.code == code, result
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.endswith(line + "\n"), "it is one paragraph, and the last"
    message = line.removeprefix("Error: ")
    assert result.json == {"exit_code": code, "error": message}
    return message


def good_record(world: World) -> dict[str, Any]:
    record: dict[str, Any] = world.upstream.get(ORDERS, {"limit": 1}).json["orders"][0]
    return record


# What is wrong with the command or the settings: code 2, and nothing was done.


@before_any_warehouse
def test_a_wallet_that_is_no_address_is_refused_before_anything_is_done(at_world: Home, world: World) -> None:
    message = fails(at_world, 2, "sync", "--wallets", world.wallets_file, "--wallet", "0x12")
    assert message.startswith("--wallet is '0x12', which is no wallet address")
    assert not at_world.duckdb_file.exists()


@before_any_warehouse
def test_a_bad_line_in_the_list_is_named_before_anything_is_done(at_world: Home, world: World) -> None:
    file = at_world.folder / "list.csv"
    file.write_text(world.wallets_file.read_text() + "not a wallet\n")
    message = fails(at_world, 2, "sync", "--wallets", file)
    assert message.startswith(f"Line 5 of {file} is 'not a wallet', which is no wallet address")
    assert not at_world.duckdb_file.exists()


@before_any_warehouse
def test_no_wallets_says_where_to_put_them(at_world: Home) -> None:
    message = fails(at_world, 2, "sync")
    assert "No wallet is followed" in message
    assert "seeds/wallets.csv" in message
    assert "--wallets FILE" in message


@before_any_warehouse
def test_a_filter_for_a_wallet_that_is_not_followed_follows_nobody(at_world: Home, world: World) -> None:
    message = fails(at_world, 2, "sync", "--wallets", world.wallets_file, "--wallet", FOLLOWED)
    assert f"The wallet {FOLLOWED} is not followed" in message
    assert not at_world.duckdb_file.exists()


@before_any_warehouse
@pytest.mark.parametrize(
    ("since", "said"), [("lately", "'lately' is no date or time. Write 2026-01-31"), ("2999-01-01", "is not before")]
)
def test_a_bad_since_changes_nothing(at_world: Home, world: World, since: str, said: str) -> None:
    assert said in fails(at_world, 2, "sync", "--wallets", world.wallets_file, "--since", since)
    assert not at_world.duckdb_file.exists()


@before_any_warehouse
def test_an_unknown_setting_is_named(home: Home) -> None:
    (home.folder / "polytrades.toml").write_text("page_sise = 10\n")
    for command in ("sync", "status", "doctor"):
        message = fails(home, 2, command)
        assert "polytrades.toml has an unknown setting page_sise" in message


@before_any_warehouse
def test_a_bad_setting_is_named_with_the_places_looked_at(home: Home) -> None:
    home.variables["POLYTRADES_PAGE_SIZE"] = "many"
    message = fails(home, 2, "sync")
    assert message.startswith("The setting page_size is 'many'")
    assert "POLYTRADES_PAGE_SIZE" in message


@about_the_upstream
@pytest.mark.parametrize("key", [None, "wrong-key-0123456789"])
def test_no_key_and_a_bad_key_name_the_variable_and_show_no_key(
    start: Callable[..., Running], home: Home, one_wallet: Path, key: str | None
) -> None:
    home.uses(start("--fills", 1, "--api-key", "right"))
    if key:
        home.variables["POLYTRADES_DOME_API_KEY"] = key
    message = fails(home, 2, "sync", "--wallets", one_wallet)
    assert "refused the request (401" in message
    assert "Set POLYTRADES_DOME_API_KEY to a valid key" in message
    assert "wrong-key" not in message
    found = home.query("select exit_code, message from state.runs where status = 'finished'")
    assert found == [(2, message)]


@about_the_upstream
def test_a_base_url_with_nothing_below_it_names_the_setting(at_world: Home, one_wallet: Path) -> None:
    at_world.variables["POLYTRADES_DOME_BASE_URL"] += "/nowhere"
    message = fails(at_world, 2, "sync", "--wallets", one_wallet)
    assert "has no /polymarket/orders" in message
    assert "(404). Check POLYTRADES_DOME_BASE_URL" in message


@before_any_warehouse
def test_a_target_that_is_not_there_names_those_that_are(home: Home, one_wallet: Path) -> None:
    message = fails(home, 2, "sync", "--wallets", one_wallet, "--target", "nosuch")
    assert "has no target nosuch; it has duckdb" in message
    assert "--target or POLYTRADES_TARGET" in message
    assert not home.duckdb_file.exists()


@before_any_warehouse
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("other: {outputs: {duckdb: {type: duckdb}}}\n", "has no profile polytrades. Copy that block from"),
        ("", "has no profile polytrades"),
        ("a: [\n", "cannot be read"),
        ("polytrades: {outputs: {duckdb: {type: oracle}}}\n", "is of type oracle; polytrades knows duckdb and"),
    ],
)
def test_a_missing_or_broken_profile_is_named(home: Home, one_wallet: Path, content: str, said: str) -> None:
    (home.folder / "profiles.yml").write_text(content)
    assert said in fails(home, 2, "sync", "--wallets", one_wallet)
    assert not home.duckdb_file.exists()


@before_any_warehouse
def test_a_dbt_folder_that_cannot_be_written_is_found_before_anything_lands(at_world: Home, world: World) -> None:
    blocked = at_world.folder / "file"
    blocked.write_text("")
    at_world.variables["DBT_TARGET_PATH"] = str(blocked / "target")
    message = fails(at_world, 2, "sync", "--wallets", world.wallets_file)
    assert message.startswith(f"dbt's folder {blocked / 'target'} cannot be written")
    assert "DBT_TARGET_PATH" in message
    assert not at_world.duckdb_file.exists()


@before_any_warehouse
@pytest.mark.parametrize("content", [None, b"a,b\n1,2\n"])
def test_a_file_that_cannot_be_imported_is_named(home: Home, content: bytes | None) -> None:
    file = home.folder / "orders.json"
    if content is not None:
        file.write_bytes(content)
    assert fails(home, 2, "import", file).startswith(str(file))


# What is wrong elsewhere before anything landed: code 1.


@pytest.fixture
def refusing_offsets() -> Iterator[str]:
    """Serve the 401 that means that an offset is too large; gives the URL."""
    body = b'{"error":"Offset deprecated","message":"Offsets greater than 10,000 are no longer supported."}'
    with server(lambda _path, _query: (401, {}, body)) as (url, _):
        yield url


@about_the_upstream
def test_a_401_about_offsets_does_not_send_anyone_looking_for_a_key(
    home: Home, one_wallet: Path, refusing_offsets: str
) -> None:
    home.variables["POLYTRADES_DOME_BASE_URL"] = refusing_offsets
    message = fails(home, 1, "sync", "--wallets", one_wallet)
    assert "refuses offsets above 10,000" in message
    assert "--since" in message
    assert "API_KEY" not in message


@about_the_upstream
def test_an_unreachable_upstream_is_said_once_and_the_checkpoints_stay(home: Home, world: World) -> None:
    home.variables = {"POLYTRADES_DOME_BASE_URL": NOBODY, "POLYTRADES_REQUEST_ATTEMPTS": "2"}
    message = fails(home, 1, "sync", "--wallets", world.wallets_file)
    assert message == (
        f"The order API at {NOBODY} does not answer /polymarket/orders: Connection refused. Check the address in "
        "POLYTRADES_DOME_BASE_URL and the network, then run the same command again."
    )
    assert home.query("select * from state.checkpoints") == []
    assert home.query("select count(*) from state.followed_wallets") == [(3,)]


@about_the_upstream
def test_ten_wallets_without_an_answer_are_enough_to_give_up(start: Callable[..., Running], home: Home) -> None:
    running = start("--fills", 1, "--fault", "status:503")
    home.uses(running)
    home.variables |= {"POLYTRADES_REQUEST_ATTEMPTS": "1", "POLYTRADES_REQUESTS_IN_FLIGHT": "1"}
    file = home.folder / "many.csv"
    file.write_text("".join(f"0x{number:040x}\n" for number in range(200)))
    assert "with 503" in fails(home, 1, "sync", "--wallets", file)
    asked = running.get("/stats").json["requests"]
    # A worker may have sent one more before it was told to stop.
    assert asked.keys() == {ORDERS}
    assert 10 <= asked[ORDERS]["503"] <= 12
    assert home.query("select wallets, wallets_failed from state.runs where status = 'finished'") == [(200, 200)]


@about_the_upstream
def test_a_web_page_instead_of_json_is_called_one(start: Callable[..., Running], home: Home, one_wallet: Path) -> None:
    home.uses(start("--fills", 1, "--fault", "html"))
    message = fails(home, 1, "sync", "--wallets", one_wallet)
    assert "a web page (HTML) instead of JSON" in message
    assert "POLYTRADES_DOME_BASE_URL" in message


@about_the_file
def test_a_folder_that_cannot_be_written_is_named(home: Home, one_wallet: Path) -> None:
    home.variables["POLYTRADES_DUCKDB_PATH"] = str(one_wallet / "x.duckdb")
    message = fails(home, 1, "sync", "--wallets", one_wallet)
    assert message == f"There is no folder {one_wallet}. Create it, or set POLYTRADES_DUCKDB_PATH."


@before_any_warehouse
def test_a_demo_folder_that_cannot_be_made_is_named(home: Home, one_wallet: Path) -> None:
    message = fails(home, 1, "demo", "--folder", one_wallet / "demo")
    assert message.startswith(f"{one_wallet / 'demo'}: Not a directory.")


@about_the_file
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(home: Home, one_wallet: Path) -> None:
    closed = home.folder / "closed"
    closed.mkdir(mode=0o500)
    home.variables["POLYTRADES_DUCKDB_PATH"] = str(closed / "x.duckdb")
    message = fails(home, 1, "sync", "--wallets", one_wallet)
    assert str(closed / "x.duckdb") in message
    assert "POLYTRADES_DUCKDB_PATH" in message


@about_the_file
@pytest.mark.parametrize("command", ["sync", "status"])
def test_a_file_that_is_no_duckdb_file_is_named_and_kept(home: Home, one_wallet: Path, command: str) -> None:
    home.duckdb_file.write_text("precious\n" * 1_000)
    arguments = ["--wallets", one_wallet] if command == "sync" else []
    message = fails(home, 1, command, *arguments)
    assert message.startswith(f"The DuckDB file {home.duckdb_file} cannot be opened")
    assert "POLYTRADES_DUCKDB_PATH" in message
    assert home.duckdb_file.read_text() == "precious\n" * 1_000


# What to run again: code 3.


@about_the_file
@pytest.mark.parametrize("command", ["sync", "import", "status"])
def test_a_locked_warehouse_names_the_program_and_its_pid(home: Home, world: World, command: str) -> None:
    orders = home.records("orders.ndjson", [good_record(world)])
    duckdb.connect(str(home.duckdb_file)).close()
    home.variables["POLYTRADES_LOCK_WAIT_SECONDS"] = "0"
    holding = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(home.duckdb_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        arguments = {"sync": ["--wallets", world.wallets_file], "import": [orders], "status": []}[command]
        message = fails(home, 3, command, *arguments)
        holder.communicate(timeout=60)
    assert f"(PID {holder.pid})" in message
    assert f"held by another process: {Path(sys.executable).resolve()} (PID" in message
    assert "Wait for that process or end it, then run the same command again" in message


@about_the_file
def test_a_lock_that_is_let_go_in_time_is_waited_for(home: Home) -> None:
    duckdb.connect(str(home.duckdb_file)).close()
    home.variables["POLYTRADES_LOCK_WAIT_SECONDS"] = "60"
    held = duckdb.connect(str(home.duckdb_file))
    with subprocess.Popen(
        [str(BIN / "polytrades"), "status", "--json"], env=home.environment, stdout=subprocess.PIPE, text=True
    ) as waiting:
        time.sleep(1)
        assert waiting.poll() is None
        held.close()
        answer, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert json.loads(answer)["verdict"] == "WARN"


def was_built_before(home: Home) -> None:
    """As if a build of ours had been there: else a table of theirs is somebody's own, and refused."""
    home.land()
    home.query("create schema if not exists main")
    home.query("insert into state.recorded_settings (name, value) values ('missing_order_hash', 'distinct')")


@pytest.mark.duckdb_first("what is said of it is the runner's")
def test_a_warehouse_that_fails_after_landing_is_not_called_a_run_without_effect(at_world: Home, world: World) -> None:
    """Code 1 promises that nothing durable happened."""
    was_built_before(at_world)
    at_world.query("create view markets as select 1 as theirs")
    message = fails(at_world, 3, "sync", "--wallets", world.wallets_file)
    refused = {
        "duckdb": f"DuckDB refused a statement on {at_world.duckdb_file}: Binder Error",
        "emulator": "The statement tokens_to_fetch failed in BigQuery: ",
    }
    assert message.startswith(refused[at_world.target])
    assert message.endswith("What had landed before is kept and will be merged by the next run.")
    assert at_world.query("select sum(row_count) from landing.batches") == [(60,)]
    assert at_world.query("select exit_code, message is not null from state.runs where status = 'finished'") == [
        (3, True)
    ]


@pytest.mark.duckdb_first("what is said of it is the runner's")
def test_a_model_that_fails_is_named_with_dbt_s_reason_and_nothing_is_lost(at_world: Home, world: World) -> None:
    """Somebody's own table stands where ours must go."""
    was_built_before(at_world)
    at_world.query("create table trades (wallet_address integer, timestamp timestamptz)")
    result = at_world.polytrades("sync", "--wallets", world.wallets_file, "--json", check=False)
    assert result.code == result.json["exit_code"] == 3
    assert "Traceback" not in result.stderr
    (message,) = result.json["messages"]
    assert "\n" not in message
    assert message.startswith("dbt could not build everything: int_trades_stored failed (")
    assert "tx_hash" in message
    assert "will be merged by the next run" in message
    assert result.json["models_failed"].keys() == {"int_trades_stored"}
    assert result.json["pending_batches"] == 1
    assert at_world.query("select sum(row_count) from landing.batches where landing_table = 'trades'") == [(60,)]

    at_world.query("drop table trades")
    assert at_world.polytrades("sync", "--json").json["pending_batches"] == 0
    assert at_world.query("select count(*) from trades") == [(60,)]


@about_the_upstream
def test_a_failing_wallet_keeps_its_checkpoint_while_the_others_go_on(
    start: Callable[..., Running], home: Home, world: World
) -> None:
    home.uses(start("--wallets", 3, "--fills", 60, "--until", UNTIL, "--fault", "status:400@orders#2"))
    home.variables["POLYTRADES_REQUESTS_IN_FLIGHT"] = "1"
    first = home.polytrades("sync", "--wallets", world.wallets_file, "--json", check=False)
    assert first.code == first.json["exit_code"] == 3
    ((failed, why),) = first.json["wallets_failed"].items()
    assert failed == world.wallets[1]
    assert "with 400 (Simulated 400" in why
    (message,) = first.json["messages"]
    assert message.startswith("1 of 3 wallets could not be fetched and keep their checkpoint; the first is " + failed)
    others = {wallet for wallet in world.wallets if wallet != failed}
    assert {row[0] for row in home.query("select wallet_address from state.checkpoints")} == others
    assert {row[0] for row in home.query("select distinct wallet_address from trades")} == others

    second = home.polytrades("sync", "--json").json
    assert second["wallets_failed"] == {}
    assert {row[0] for row in home.query("select wallet_address from state.checkpoints")} == set(world.wallets)
    assert home.query("select count(*) from trades") == [(60,)]


def interrupted(home: Home, *arguments: object, when: Callable[[str], bool]) -> Result:
    """Send SIGINT to a command, as Ctrl-C does, once `when` is true of the last line on its stderr (or of "")."""
    command = [str(BIN / "polytrades"), *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=home.folder,
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background the shell has them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        if not when(""):
            for line in process.stderr:
                said += line
                if when(line):
                    break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    return Result(process.returncode, stdout, said + stderr)


def assert_interrupted(result: Result) -> None:
    assert result.code == 3, result
    assert "Traceback" not in result.stderr
    assert result.json["exit_code"] == 3
    assert result.json["error"] == "Interrupted. What had landed is kept; run the same command again to go on."


@pytest.mark.duckdb_only("test_neighbours has the same on every target, by another signal")
def test_ctrl_c_while_fetching_and_while_building_loses_nothing(
    start: Callable[..., Running], home: Home, world: World
) -> None:
    slow = start("--wallets", 3, "--fills", 60, "--until", UNTIL, "--latency-ms", 100)
    home.uses(slow)
    home.variables |= {"POLYTRADES_PAGE_SIZE": "1", "POLYTRADES_REQUESTS_IN_FLIGHT": "1"}

    def fetched_some(_: str) -> bool:
        while sum(slow.get("/stats").json["requests"].get(ORDERS, {}).values()) < 4:
            time.sleep(SLEEP)
        return True

    assert_interrupted(interrupted(home, "sync", "--wallets", world.wallets_file, "--json", when=fetched_some))
    landed = home.query("select coalesce(sum(row_count), 0) from landing.batches where landing_table = 'trades'")
    assert 1 <= landed[0][0] < 60
    assert home.query("select * from state.checkpoints") == []
    assert home.query("select exit_code, message from state.runs where status = 'finished'") == [(3, "Interrupted.")]

    home.uses(world.upstream)
    home.variables["POLYTRADES_PAGE_SIZE"] = "1000"
    result = interrupted(home, "sync", "--json", when=lambda line: line.startswith("dbt build: "))
    assert_interrupted(result)
    assert home.query("select count(*) from state.checkpoints") == [(3,)]

    done = home.polytrades("sync", "--json").json
    assert (done["exit_code"], done["pending_batches"], done["duplicate_keys"]) == (0, 0, 0)
    assert home.query("select count(*) from trades") == [(60,)]


# Complete, but a check failed: code 4.


@about_the_upstream
def test_many_rejected_records_are_code_4_and_kept_with_their_reasons(at_world: Home, world: World) -> None:
    record = good_record(world)
    file = at_world.records("orders.ndjson", [record, record | {"price": 1.7}])
    result = at_world.polytrades("import", file, "--json", check=False)
    assert result.code == result.json["exit_code"] == 4
    assert result.json["rejected_by_reason"] == {"bad_price": 1}
    (message,) = result.json["messages"]
    assert "1 of 2 records were rejected, more than max_rejected_share (1%) allows" in message
    assert at_world.query("select reason, origin from landing.rejected_records") == [
        ("bad_price", "orders.ndjson, line 2")
    ]
    assert at_world.query("select count(*) from trades") == [(1,)]
