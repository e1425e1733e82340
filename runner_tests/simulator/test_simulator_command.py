"""The command line: ready line, files, clean end, errors in one line."""

from __future__ import annotations

import inspect
import json
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.cli.simulate import simulate as polytrades_simulate
from runner_tests.support import Running, stop

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
UNTIL = ("--until", "2026-01-31T00:00:00Z")


def test_the_ready_line_names_everything(world: Running) -> None:
    ready = world.ready
    assert ready["url"] == f"http://127.0.0.1:{ready['port']}" and ready["pid"] == world.process.pid
    assert (ready["wallets"], ready["fills"]) == (5, 400) and ready["markets"] > 12


def test_people_are_told_what_to_export() -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--fills", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == process.stderr.read() == ""
    assert "1 fills of 5 wallets" in lines[0]
    assert lines[1].strip().startswith("export POLYTRADES_DOME_BASE_URL=http://127.0.0.1:")
    assert lines[2].strip().startswith("export POLYTRADES_GAMMA_BASE_URL=http://127.0.0.1:")
    assert lines[3].strip().startswith("export POLYTRADES_POLYGON_RPC_URLS=http://127.0.0.1:")
    assert lines[3].strip().endswith("/rpc")
    assert "Ctrl-C" in lines[4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0_even_during_a_request(start: Callable[..., Running], number: int) -> None:
    running = start("--fault", "slow:600@/orders")
    with socket.create_connection(("127.0.0.1", running.ready["port"])) as waiting:
        waiting.sendall(b"GET /polymarket/orders HTTP/1.1\r\nHost: simulator\r\n\r\n")
        assert running.get("/healthz").status == 200
        running.process.send_signal(number)
        assert running.process.wait(timeout=30) == 0
    assert running.process.stderr is not None and running.process.stderr.read() == ""


def test_equal_arguments_write_equal_files(simulate: Callable[..., Any], tmp_path: Path) -> None:
    def write(name: str, *arguments: str) -> list[bytes]:
        files = {what: tmp_path / f"{name}-{what}" for what in ("wallets", "fills", "malformed")}
        options = [part for what, file in files.items() for part in (f"--write-{what}", file)]
        done = simulate(*UNTIL, "--write-only", "--malformed", "0.05", *options, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return [file.read_bytes() for file in files.values()]

    first, second, other = write("a"), write("b"), write("c", "--seed", "8")
    assert first == second
    assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))
    assert [text.count(b"\n") for text in first] == [6, 400, 20]


def test_two_servers_with_equal_arguments_answer_alike(world: Running, start: Callable[..., Running]) -> None:
    twin = start(*UNTIL)
    for path, params in (
        ("/polymarket/orders", {"limit": 1000}),
        ("/polymarket/markets", {"limit": 100}),
        ("/polymarket/events", {"limit": 100, "include_markets": "true"}),
        ("/markets", {"limit": 100, "closed": "true"}),
        ("/events", {"limit": 100}),
    ):
        assert twin.get(path, params).body == world.get(path, params).body


def test_malformed_records_are_served_among_the_others_and_written_apart(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    fills, bad, wallets = tmp_path / "fills.ndjson", tmp_path / "bad.ndjson", tmp_path / "wallets.csv"
    running = start(
        *UNTIL, "--fills", 200, "--malformed", 0.2,
        "--write-fills", fills, "--write-malformed", bad, "--write-wallets", wallets,
    )  # fmt: skip
    good_lines, bad_lines = fills.read_text().splitlines(), bad.read_text().splitlines()
    assert (len(good_lines), len(bad_lines)) == (200, 40)
    served = []
    for wallet in wallets.read_text().splitlines()[1:]:
        for page in running.walk(user=wallet, limit=30):
            served += page["orders"]
    assert sorted(map(json.dumps, served)) == sorted(json.dumps(json.loads(line)) for line in good_lines + bad_lines)


def test_the_latest_world_ends_now(start: Callable[..., Running]) -> None:
    running = start("--days", 1, "--fills", 50)
    answer = running.get("/polymarket/orders", {"limit": 1000})
    times = [order["timestamp"] for order in answer.json["orders"]]
    assert len(times) == 50 and max(times) - min(times) < 86_400


def test_a_port_in_use_is_one_line_and_exit_2(world: Running, simulate: Callable[..., Any]) -> None:
    done = simulate("--port", world.ready["port"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "in use" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--port"),
        (("--port", "70000"), "between 0 and 65535"),
        (("--port", "x"), "invalid port value"),
        (("--port", "0", "--fills", "-1"), "must not be negative"),
        (("--port", "0", "--wallets", "0"), "must be 1 or more"),
        (("--port", "0", "--malformed", "2"), "between 0 and 1"),
        (("--port", "0", "--late", "-0.1"), "between 0 and 1"),
        (("--port", "0", "--rate-limit", "0"), "must be 1 or more"),
        (("--port", "0", "--clock-skew", "1e9"), "at most ten years"),
        (("--port", "0", "--clock-skew", "nan"), "at most ten years"),
        (("--port", "0", "--until", "tomorrow"), "no instant like"),
        (("--port", "0", "--until", "9999-12-31"), "between 2010 and 2100"),
        (("--port", "0", "--days", "100000"), "between 1 and 3650"),
        (("--port", "0", "--what"), "unrecognized"),
        (("--port", "0", "--write-fills", "no/such/folder/fills.ndjson"), "cannot be written"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(
    simulate: Callable[..., Any], arguments: tuple[str, ...], says: str
) -> None:
    done = simulate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_the_simulator_knows_nothing_of_the_runner() -> None:
    for file in (ROOT / "simulator").glob("*.py"):
        text = file.read_text()
        assert "import runner" not in text and "from runner" not in text


def test_polytrades_simulate_has_the_same_options_and_passes_them_on(simulate: Callable[..., Any]) -> None:
    ours = set(re.findall(r"--[a-z-]+(?=[ \]])", simulate("--help").stdout.split("\n\n")[0])) - {"--host"}
    theirs = {f"--{name.replace('_', '-')}" for name in inspect.signature(polytrades_simulate).parameters}
    assert theirs == ours
    code = "import sys; from runner.cli.app import main; sys.argv = ['polytrades', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "simulate", "--list-faults", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout) == json.loads(simulate("--list-faults", "--json").stdout)
    asked = ["--late", "1", "--clock-skew", "-86400", "--no-compression", "--prerender", "--fault", "status:503@events"]
    serving = [*command[:4], "--port", "0", *asked, "--json"]
    process = subprocess.Popen(serving, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    running = Running(process, json.loads(process.stdout.readline()))
    try:
        answer = running.get("/polymarket/orders")
        assert answer.json["orders"] == [] and running.get("/events").status == 503
        assert parsedate_to_datetime(answer.headers["date"]) < datetime.now(UTC) - timedelta(hours=23)
        assert "content-encoding" not in running.get("/markets", **{"accept-encoding": "gzip"}).headers
    finally:
        stop(running)
