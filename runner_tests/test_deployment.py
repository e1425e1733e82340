"""Promise: each deployment example can be read by what it is for, and every command in it exists."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from runner.cli.app import app
from runner.settings import SECRETS, Settings
from runner_tests.support import ROOT

DEPLOY = ROOT / "deploy"
FILES = sorted(file for file in DEPLOY.rglob("*") if file.is_file() and file.suffix not in (".md", ".pyc"))
READ_BY_PROFILE = {"POLYTRADES_BIGQUERY_PROJECT"}


def commands_of(text: str) -> Iterator[list[str]]:
    """Calls of the command line in a text: its words from `polytrades` on."""
    for found in re.finditer(r"\.venv/bin/polytrades ([^\n|&>\"]+)", text):
        yield shlex.split(found[1])
    for tree in [ast.parse(text)] if text.startswith('"""') else []:
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "polytrades":
                yield [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(DEPLOY).as_posix())
def test_every_command_and_setting_in_it_exists_and_no_secret(file: Path) -> None:
    text = file.read_text()
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for words in commands_of(text):
        options = {option for parameter in commands[words[0]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words
    names = set(re.findall(r"POLYTRADES_\w+", text)) - READ_BY_PROFILE - {"POLYTRADES_", "POLYTRADES_SERVICE_ACCOUNT"}
    assert {name.removeprefix("POLYTRADES_").lower() for name in names} <= set(Settings.model_fields)
    for secret in SECRETS:  # from where secrets are kept, never a value
        for value in re.findall(rf"POLYTRADES_{secret.upper()}\s*[:=]\s*(.*)", text):
            assert value.startswith("${{ secrets."), value


def test_the_crontab_has_five_fields_a_user_and_a_command_that_a_shell_reads() -> None:
    lines = [line for line in (DEPLOY / "cron" / "polytrades").read_text().splitlines() if re.match(r"[\d*]", line)]
    assert len(lines) == 3
    for line in lines:
        *fields, user, command = line.split(maxsplit=6)
        assert all(re.fullmatch(r"[\d*,/-]+", field) for field in fields)
        assert user == "polytrades"
        assert "%" not in command  # cron ends a command there
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0


def test_systemd_starts_it_again_after_3_counts_4_as_done_and_tells_of_the_rest() -> None:
    units: dict[str, Any] = {}
    for file in (DEPLOY / "systemd").iterdir():
        unit = configparser.ConfigParser(interpolation=None, strict=True)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(file)
        units[file.name] = unit
    service = units["polytrades.service"]
    assert service["Unit"]["OnFailure"] in units
    assert service["Service"]["SuccessExitStatus"] == "4"
    assert service["Service"]["RestartPreventExitStatus"] == "1 2"
    assert units["polytrades.timer"]["Timer"]["OnCalendar"].endswith("UTC")


def test_the_workflow_and_the_job_are_yaml_of_their_kind() -> None:
    workflow = yaml.safe_load((DEPLOY / "github-actions" / "nightly.yml").read_text())
    steps = workflow["jobs"]["sync"]["steps"]
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        assert subprocess.run(["sh", "-n", "-c", step.get("run", "true")], check=False).returncode == 0
    assert workflow["concurrency"]["cancel-in-progress"] is False
    job = yaml.safe_load((DEPLOY / "cloud-run" / "job.yaml").read_text())
    inner = job["spec"]["template"]["spec"]
    assert (job["kind"], inner["parallelism"], inner["taskCount"]) == ("Job", 1, 1)
    assert inner["template"]["spec"]["containers"][0]["args"] == ["sync"]
    assert inner["template"]["spec"]["maxRetries"] == 0


def test_the_image_is_made_of_targets_and_files_that_exist_and_is_written_once() -> None:
    text = (DEPLOY / "cloud-run" / "Dockerfile").read_text()
    steps = [line.split(maxsplit=1) for line in text.splitlines() if re.match("[A-Z]", line)]
    assert steps[0][0] == "FROM"
    targets = re.findall(r"make ([a-z-]+)", " ".join(rest for name, rest in steps if name == "RUN" and "make " in rest))
    assert targets
    assert set(targets) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert ["USER", "polytrades"] in steps
    assert ["CMD", '["sync"]'] in steps
    again = [file for file in (ROOT / "docs").rglob("*.md") if "FROM python" in file.read_text()]
    assert again == []


@pytest.mark.parametrize(("code", "is_done"), [(0, True), (4, True), (3, False), (1, False)])
def test_dagster_takes_a_complete_night_for_done(tmp_path: Path, code: int, is_done: bool) -> None:
    command = tmp_path / ".venv" / "bin" / "polytrades"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\nexit {code}\n")
    command.chmod(0o755)
    tree = ast.parse((DEPLOY / "dagster" / "polytrades_nightly.py").read_text())
    parts: list[ast.stmt] = []
    for node in tree.body:  # all but what needs Dagster itself
        if isinstance(node, ast.FunctionDef) and node.name in ("polytrades", "sync"):
            node.decorator_list = []
            parts.append(node)
        elif isinstance(node, ast.Import) or (isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call)):
            parts.append(node)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(parts, []), "polytrades_nightly.py", "exec"), names)  # noqa: S102 - our own example
    names["HOME"] = str(tmp_path)
    if is_done:
        names["sync"]()
    else:
        with pytest.raises(RuntimeError, match=f"ended with {code}"):
            names["sync"]()


@pytest.mark.parametrize(("code", "outcome"), [(0, 0), (4, 0), (3, 1), (1, 1)])
def test_airflow_takes_a_complete_night_for_done(code: int, outcome: int) -> None:
    tree = ast.parse((DEPLOY / "airflow" / "polytrades_nightly.py").read_text())
    texts = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    command = str(texts["SYNC"]).replace(".venv/bin/polytrades sync", f"(exit {code})")
    assert subprocess.run(["sh", "-c", command], check=False).returncode == outcome
