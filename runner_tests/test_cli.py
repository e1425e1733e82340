"""What holds for every command: quick help, an example, --json, and the exit codes of the table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from runner.cli import output
from runner.cli.app import app
from runner.engine.migration.drop import NotProven
from runner.engine.record import Summary
from runner.errors import (
    BudgetSpent,
    ExitCode,
    Failed,
    HeldBack,
    KeyRefused,
    PolytradesError,
    Throttled,
    TooLong,
    Unavailable,
    UpstreamError,
    UsageError,
)
from runner.failpoints import Injected
from runner.windows import utc_now
from runner_tests.support import ROOT, Home

COMMANDS = ["sync", "backfill", "import", "status", "report", "alerts", "duplicates", "gaps", "checkpoints"]
COMMANDS += ["reconcile", "cost", "adopt", "repair", "lease", "doctor", "demo", "simulate", "rejected list"]
COMMANDS += [
    "rejected replay",
    *(f"migrate {step}" for step in ("audit", "copy", "verify", "drop", "rollback", "status")),
]
HEAVY = {"dbt", "google", "pyarrow", "duckdb", "aiohttp", "pydantic_settings", "structlog", "yaml", "msgspec"}

# What stands there before: an installed .pth file makes the namespace `google` at the start of every Python.
_PROGRAM = """
import atexit, json, sys
there = set(sys.modules)
loaded = lambda: sorted({name.partition('.')[0] for name in set(sys.modules) - there})
atexit.register(lambda: print(json.dumps(loaded()), file=sys.stderr))
from runner.cli.app import main
sys.argv[:] = ["polytrades", *sys.argv[1:]]
main()
"""


def run(*arguments: str) -> tuple[int, str, set[str]]:
    """Run the command line in a fresh interpreter; gives exit code, stdout, and the top-level modules it loaded."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def helped() -> dict[str, tuple[int, str, set[str]]]:
    """Run each `--help` once; "" is that of the program."""
    return {command: run(*command.split(), "--help") for command in ["", *COMMANDS]}


def command_named(name: str) -> Any:
    """The command of a name such as `sync` or `rejected list`."""
    found = typer.main.get_command(app)
    for part in name.split():
        found = found.commands[part]  # type: ignore[attr-defined]
    return found


def test_the_commands_are_those_of_the_table() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    parts = [[f"{name} {part}" for part in getattr(command, "commands", ())] for name, command in commands.items()]
    assert [name for name, inside in zip(commands, parts, strict=True) for name in inside or [name]] == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_neither_dbt_nor_a_warehouse_nor_a_client(command: str, helped: dict[str, Any]) -> None:
    code, text, modules = helped[command]
    assert code == 0
    assert "Usage" in text
    assert "typer" in modules
    # Typer itself loads pydantic to show the options of one command.
    assert modules & (HEAVY if command else HEAVY | {"pydantic"}) == set()


def test_the_version_loads_nothing_heavy_either() -> None:
    code, text, modules = run("--version")
    assert code == 0
    assert re.fullmatch(r"polytrades \d+\.\d+\.\d+\n", text)
    assert modules & (HEAVY | {"pydantic"}) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_help_for_all_it_takes_an_example_and_json(command: str) -> None:
    found = command_named(command)
    assert found.help
    assert re.search(rf"Examples?: .*polytrades {command}\b", found.epilog)
    assert "--json" in {option for parameter in found.params for option in parameter.opts}
    for parameter in found.params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_shows_only_options_that_there_are(command: str) -> None:
    found = command_named(command)
    options = {option for parameter in found.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", found.epilog)) <= options


def test_the_help_tells_every_exit_code() -> None:
    text = app.info.epilog or ""
    for code in ExitCode:
        assert re.search(rf"\b{int(code)} [a-z]", text), code


def test_each_error_has_the_exit_code_of_the_table() -> None:
    table = {
        PolytradesError: 1,
        UsageError: 2,
        KeyRefused: 2,
        NotProven: 2,
        UpstreamError: 1,
        Unavailable: 1,
        Throttled: 1,
        TooLong: 1,
        BudgetSpent: 1,
        Injected: 1,
        HeldBack: 3,
        Failed: 1,
    }
    assert {error: int(error.exit_code) for error in table} == table

    def family(error: type[PolytradesError]) -> set[type[PolytradesError]]:
        return {error}.union(*map(family, error.__subclasses__()))

    assert family(PolytradesError) == set(table)


def test_of_several_findings_the_gravest_decides() -> None:
    order = [ExitCode.USAGE, ExitCode.FAILED, ExitCode.PARTLY_DONE, ExitCode.CHECK_FAILED]
    for place, worse in enumerate(order):
        for better in order[place:]:
            for codes in ((worse, better), (better, worse)):
                summary = Summary("sync", "x", utc_now())
                assert summary.exit_code == ExitCode.DONE
                for code in codes:
                    summary.worsen(code, f"code {code}")
                assert summary.exit_code == worse
                assert len(summary.messages) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["sync", "--bogus"], "No such option: --bogus"),
        (["sync", "--wallets"], "Option '--wallets' requires an argument"),
        (["import"], "Missing argument"),
        (["simulate", "--port", "99999"], "Invalid value for '--port'"),
        (["simulate", "--wallets", "few"], "Invalid value for '--wallets'"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_command_line_that_cannot_be_read_is_one_paragraph_and_code_2(
    home: Home, arguments: list[str], said: str, as_json: bool
) -> None:
    result = home.polytrades(arguments[0], *(["--json"] if as_json else []), *arguments[1:], check=False)
    assert result.code == 2
    assert said in result.stderr
    assert "--help` lists" in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    if as_json:
        assert result.json["exit_code"] == 2
        assert said in result.json["error"]
    else:
        assert result.stdout == ""


def test_bare_polytrades_shows_the_help_and_is_code_2(home: Home) -> None:
    result = home.polytrades(check=False)
    assert result.code == 2
    assert "Commands" in result.stdout + result.stderr
    assert "Error" not in result.stdout + result.stderr


def test_a_command_s_own_exit_code_reaches_the_shell(home: Home) -> None:
    """Doctor finds no upstream: 2. An empty warehouse is no failure of status: 0."""
    home.variables = dict.fromkeys(("POLYTRADES_DOME_BASE_URL", "POLYTRADES_GAMMA_BASE_URL"), "http://127.0.0.1:9")
    home.variables["POLYTRADES_REQUEST_ATTEMPTS"] = "1"
    result = home.polytrades("doctor", "--json", check=False)
    assert result.code == result.json["exit_code"] == 2
    status = home.polytrades("status", "--json")
    assert (status.code, status.json["verdict"]) == (0, "WARN")
    assert not home.duckdb_file.exists(), "both only look"


def test_a_dry_run_writes_nothing(home: Home) -> None:
    wallets = home.folder / "wallets.csv"
    wallets.write_text("0x" + "ab" * 20 + "\n")
    orders = home.records("orders.ndjson", [{"user": "0x12"}])
    plan = home.polytrades("sync", "--wallets", wallets, "--dry-run", "--json").json
    assert plan["wallets_to_follow"] == ["0x" + "ab" * 20]
    assert [window["start"] for window in plan["windows"]] == [None]
    checked = home.polytrades("import", orders, "--dry-run", "--json").json
    assert (checked["records_received"], checked["rejected_by_reason"]) == (1, {"missing_size": 1})
    assert sorted(path.name for path in home.folder.iterdir()) == ["orders.ndjson", "wallets.csv"]


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x00", "\r", "\x9b", "\u202e", "\u200b", "\x7f"])
def test_a_control_character_is_never_printed(character: str) -> None:
    assert output.printable(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_text_and_line_ends_are_printed_as_they_are() -> None:
    assert output.printable("Größe → 5 °C\n日本") == "Größe → 5 °C\n日本"


def test_what_a_file_says_cannot_move_the_cursor_of_a_terminal(home: Home) -> None:
    orders = home.folder / "orders.ndjson"
    orders.write_text('{"side":"\\u001b[2J","user":"0x\\u0007[red]"}\n\x1b[31mno json\n')
    result = home.polytrades("import", orders, "--dry-run")
    assert "orders.ndjson, line 1: " in result.stderr
    for text in (result.stdout, result.stderr):
        assert text.replace("\n", "").isprintable()
    missing = home.polytrades("import", home.folder / "no[bold]\x1b[2Jfile", check=False)
    assert missing.code == 2
    assert "no[bold]\N{REPLACEMENT CHARACTER}[2Jfile" in missing.stderr
    assert missing.stderr.replace("\n", "").isprintable()
