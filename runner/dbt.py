"""The one caller of dbt. A subprocess: it can be killed, and its memory and its lock on the file end with it."""

import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import project
from runner.errors import Failed, HeldBack, UsageError
from runner.settings import SECRETS, Settings
from runner.warehouse.monitored import NodeResult

_SECRET_VARIABLES = frozenset(f"POLYTRADES_{name.upper()}" for name in SECRETS)
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

# What BigQuery and the way to it say when trying again may help. dbt itself does not repeat a job that ended.
_TRANSIENT = (
    "backendError",
    "internalError",
    "Retrying the job may solve the problem",
    "Retrying may solve the problem",
    "rateLimitExceeded",
    "jobRateLimitExceeded",
    "Exceeded rate limits",
    "Could not serialize access",
    "due to concurrent update",
    "The job encountered an error during execution",
    "Service Unavailable",
    "502 ",
    "503 ",
    "Connection aborted",
    "Connection reset",
    "RemoteDisconnected",
    "Remote end closed connection",
)

Progress = Callable[[int, int, str], None]
"""Called with nodes done, nodes in all, name of the node that ended."""


@dataclass
class BuildResult:
    """What `dbt build` did. Names are models and tests as dbt calls them."""

    seconds: float = 0.0
    built: int = 0
    tests_passed: int = 0
    failed_nodes: dict[str, str] = field(default_factory=dict)
    failed_tests: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    used_example_profile: bool = False
    nodes: list[NodeResult] = field(default_factory=list)

    @property
    def may_pass(self) -> bool:
        """True if something failed, and all that failed is of a kind that passes by itself."""
        said = list(self.failed_nodes.values())
        return bool(said) and all(any(known in message for known in _TRANSIENT) for message in said)

    def add(self, other: "BuildResult") -> None:
        """Adds what a further build of the same run did."""
        self.seconds += other.seconds
        self.built += other.built
        self.tests_passed += other.tests_passed
        self.failed_nodes |= other.failed_nodes
        self.failed_tests |= other.failed_tests
        self.skipped += other.skipped
        self.nodes += other.nodes

    @property
    def is_complete(self) -> bool:
        """True if every model, seed and snapshot was built."""
        return not self.failed_nodes and not self.skipped


@dataclass(frozen=True)
class Job:
    """What a build is part of: the run that holds the lease, what is selected, and what one job of it may bill.

    Each `part` has a folder of artifacts: dbt parses everything again when the limit in the profile has changed.
    `variables` are set in dbt's environment.
    """

    command: str
    run_id: str
    selection: tuple[str, ...] = ()
    maximum_bytes_billed: int | None = None
    part: str = ""
    variables: tuple[tuple[str, str], ...] = ()


def artifacts_dir(settings: Settings, part: str = "") -> Path:
    """Where dbt's target and logs go: DBT_TARGET_PATH, or in the project a folder for each target and DuckDB file.

    Two warehouses must not share one: each would read the other's results.
    """
    if configured := os.environ.get("DBT_TARGET_PATH"):
        return Path(configured).absolute() / part
    file = hashlib.sha256(str(settings.duckdb_file).encode()).hexdigest()[:8]
    return project.project_dir() / "target" / f"runner-{settings.target}-{file}" / part


def prepare(settings: Settings) -> tuple[project.Profiles, Path]:
    """Finds the profile and makes the target folder, so that `build` will not stumble over them after landing.

    Returns:
        The profiles file, and the folder to give dbt as its own.

    Raises:
        UsageError: the profile is wrong, or the target folder cannot be written.
    """
    profiles = project.find_profiles()
    project.check_output(project.read_output(profiles, settings.target), settings.duckdb_file)
    target_path = artifacts_dir(settings)
    try:
        return profiles, _profiles_dir(profiles, target_path)
    except OSError as error:
        raise UsageError(
            f"dbt's folder {target_path} cannot be written ({error.strerror}). Set DBT_TARGET_PATH to a folder that "
            "can."
        ) from None


def build(settings: Settings, progress: Progress, job: Job) -> BuildResult:
    """Runs `dbt build` on the settings' target.

    Raises:
        UsageError: as `prepare`.
        HeldBack: dbt ended before it built anything, and says why.
    """
    profiles, profiles_dir = prepare(settings)
    target_path = artifacts_dir(settings, job.part)
    target_path.mkdir(parents=True, exist_ok=True)
    (target_path / "run_results.json").unlink(missing_ok=True)
    # Unit tests check the SQL, not the data: they belong to development.
    command = _command(settings, profiles_dir, target_path, "build", "--exclude-resource-type", "unit_test")
    heard, code = _run([*command, *job.selection], _environment(settings, job), progress)
    results = _results_of(heard, target_path / "run_results.json")
    if results is None:
        why = "\n".join(heard.errors or heard.other)
        if holder := _HOLDER.search(why):
            why = f"the DuckDB file {settings.duckdb_file} is held by {holder['program']} (PID {holder['pid']})."
        raise HeldBack(
            f"dbt ended with code {code} before it built anything: {_paragraph([why])} What has landed "
            "is kept and will be merged by the next run."
        )
    result = _read(results)
    result.used_example_profile = profiles.is_example
    return result


def compiled(settings: Settings, job: Job, folder: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The analyses in analyses/`folder` as SQL of the settings' target, by name; nothing is run and nothing asked.

    `variables` are added to dbt's environment.

    Raises:
        UsageError: as `prepare`.
        Failed: dbt cannot compile them, and says why.
    """
    _, profiles_dir = prepare(settings)
    target_path = artifacts_dir(settings, job.part)
    # What was compiled from the same files for the same variables is used again: dbt takes seconds to say the same.
    name = hashlib.sha256(repr((sorted(variables.items()), project.newest_change())).encode()).hexdigest()[:16]
    kept = target_path / "statements" / f"{folder}-{name}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    place = target_path / "compiled" / project.PROFILE / "analyses" / folder
    shutil.rmtree(place, ignore_errors=True)
    command = _command(settings, profiles_dir, target_path, "compile", "--no-introspect", "--no-populate-cache")
    command += ["--select", f"path:analyses/{folder}"]
    heard, code = _run(command, _environment(settings, job) | dict(variables), lambda done, total, node: None)
    if code or not place.is_dir():
        raise Failed(f"dbt could not compile analyses/{folder}: {_paragraph(heard.errors or heard.other)}")
    found = {file.stem: file.read_text().strip() for file in sorted(place.glob("*.sql"))}
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def seed(settings: Settings, job: Job) -> None:
    """Runs `dbt seed`: what statements read of the project's own small tables is there.

    Raises:
        UsageError: as `prepare`.
        Failed: dbt says why.
    """
    _, profiles_dir = prepare(settings)
    target_path = artifacts_dir(settings, job.part)
    command = _command(settings, profiles_dir, target_path, "seed")
    heard, code = _run(command, _environment(settings, job), lambda done, total, node: None)
    if code:
        raise Failed(f"dbt could not write the project's seeds: {_paragraph(heard.errors or heard.other)}")


def _command(settings: Settings, profiles_dir: Path, target_path: Path, *command: str) -> list[str]:
    return [
        *(sys.executable, "-W", "ignore", "-m", "dbt.cli.main", *command),
        *("--project-dir", str(project.project_dir()), "--profiles-dir", str(profiles_dir)),
        *("--target", settings.target, "--target-path", str(target_path), "--log-path", str(target_path / "logs")),
        *("--log-format", "json", "--log-level", "info", "--no-use-colors"),
    ]


def _environment(settings: Settings, job: Job) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _SECRET_VARIABLES}
    return {
        **inherited,
        "POLYTRADES_DUCKDB_PATH": str(settings.duckdb_file),
        "POLYTRADES_TARGET": settings.target,
        "POLYTRADES_COMMAND": job.command,
        "POLYTRADES_RUN_ID": job.run_id,
        "POLYTRADES_LEASE": job.run_id,
        "POLYTRADES_MAXIMUM_BYTES_BILLED": str(job.maximum_bytes_billed or settings.maximum_bytes_billed),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        **dict(job.variables),
    }


def _run(command: list[str], environment: dict[str, str], progress: Progress) -> tuple["_Heard", int]:
    """What dbt said, and its exit code; dbt ends with us."""
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=_dying_with_us(),
    ) as process:
        try:
            heard = _follow(process, progress)
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return heard, process.returncode


def _profiles_dir(profiles: project.Profiles, target_path: Path) -> Path:
    """The folder to give dbt: it wants the file to be called profiles.yml, which the example is not."""
    target_path.mkdir(parents=True, exist_ok=True)
    if not profiles.is_example:
        return profiles.file.parent
    folder = target_path / "profiles"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(profiles.file, folder / "profiles.yml")
    return folder


@dataclass
class _Heard:
    """What dbt said: the name of its invocation, its errors, and lines that are no event."""

    invocation_id: str = ""
    errors: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def _dying_with_us() -> Callable[[], None] | None:
    """What makes a child die with this process, however that dies: a dbt left alone would go on writing.

    Linux only; elsewhere such a dbt is refused by the lease once another run has it.
    """
    if sys.platform != "linux":
        return None
    set_option, us, parent_death_signal = ctypes.CDLL(None).prctl, os.getpid(), 1

    def ask() -> None:
        set_option(parent_death_signal, signal.SIGKILL)
        if os.getppid() != us:
            os._exit(1)

    return ask


def _follow(process: subprocess.Popen[str], progress: Progress) -> _Heard:
    """Reads dbt's JSON lines while it runs."""
    done = 0
    heard = _Heard()
    for line in process.stdout or ():
        try:
            event = json.loads(line)
            info, data = event["info"], event["data"]
        except (ValueError, KeyError, TypeError):
            heard.other.append(line.strip())
            continue
        heard.invocation_id = info.get("invocation_id") or heard.invocation_id
        if info["name"] in ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"):
            done += 1
            node = data.get("node_info", {}).get("node_name") or data.get("name") or ""
            progress(done, int(data.get("total", 0)), node)
        if info["level"] == "error":
            heard.errors.append(info["msg"])
    return heard


def _results_of(heard: _Heard, file: Path) -> dict[str, Any] | None:
    """The results of this very invocation; None if it left none (another's may lie there)."""
    try:
        results: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return results if results["metadata"]["invocation_id"] == heard.invocation_id else None


def _read(results: dict[str, Any]) -> BuildResult:
    summary = BuildResult(seconds=float(results["elapsed_time"]))
    for result in results["results"]:
        kind, _, name = result["unique_id"].split(".", 2)
        is_test = kind in ("test", "unit_test")
        status = result["status"]
        if kind != "operation":
            summary.nodes.append(_node(kind, _short(name, is_test), result))
        if status in ("error", "fail", "runtime error"):
            kept = summary.failed_tests if is_test else summary.failed_nodes
            kept[_short(name, is_test)] = _paragraph([result["message"] or status])
        elif status == "skipped":
            if not is_test:
                summary.skipped.append(name)
        elif is_test:
            summary.tests_passed += 1
        elif kind != "operation":
            summary.built += 1
    return summary


def _node(kind: str, name: str, result: dict[str, Any]) -> NodeResult:
    is_good = result["status"] in ("success", "pass", "no-op")
    message = None if is_good else _paragraph([result["message"] or ""])
    return NodeResult(kind, name, result["status"], float(result["execution_time"]), result.get("failures"), message)


def _short(name: str, is_test: bool) -> str:
    """A generic test's unique id ends in a hash."""
    return re.sub(r"\.[0-9a-f]{10}$", "", name) if is_test else name


def _paragraph(said: list[str]) -> str:
    """Dbt's words as one paragraph, without colours, file listings and empty lines, at most 600 characters."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join(said))
    text = re.sub(r"\s+", " ", text).strip()
    return (text[:597] + "...") if len(text) > 600 else text or "it gave no reason."
