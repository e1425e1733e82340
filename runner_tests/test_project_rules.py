"""The house rules, read from the manifest of a real `dbt parse`, from an empty build and from the files themselves.

Each test collects every offender, so that one run names them all.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.main import get_command

from runner.cli.app import app
from runner.errors import ExitCode
from runner.monitor.checks import CHECKS
from runner.settings import SECRETS, Settings
from runner_tests.support import ROOT, Home

PROJECT = "polytrades"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
READS_SOURCES = {"staging", "ledger", "monitoring"}
MAY_READ_STATE = {"traders"}
"""Marts that read a state table: who is followed is known nowhere else."""


@dataclass
class Parsed:
    """A manifest, and what dbt said while it made it."""

    manifest: dict[str, Any]
    code: int
    said: str

    def nodes(self, *kinds: str) -> list[dict[str, Any]]:
        """The project's own enabled nodes of these kinds."""
        return [
            node
            for node in self.manifest["nodes"].values()
            if node["resource_type"] in kinds and node["package_name"] == PROJECT
        ]

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The source tables."""
        return list(self.manifest["sources"].values())

    @property
    def macros(self) -> list[dict[str, Any]]:
        """The project's public macros: without the forms for one warehouse."""
        return [
            macro
            for macro in self.manifest["macros"].values()
            if macro["package_name"] == PROJECT and not re.match(r"[a-z]+__", macro["name"])
        ]


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    """The project, parsed from nothing with warnings as errors."""
    home = Home(tmp_path_factory.mktemp("parsed"))
    result = home.dbt("parse", "--no-partial-parse", "--warn-error", check=False)
    file = home.target_path / "manifest.json"
    if not file.is_file():
        pytest.fail(f"dbt parse wrote no manifest: {result.stdout}{result.stderr}")
    return Parsed(json.loads(file.read_text()), result.code, result.stdout + result.stderr)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """What an analyst's build makes in an empty folder."""
    home = Home(tmp_path_factory.mktemp("built"))
    home.dbt("build", "--exclude-resource-type", "unit_test")
    return home


def sql_files() -> list[Path]:
    return sorted(
        file
        for folder in ("models", "macros", "analyses", "tests", "snapshots")
        for file in ROOT.glob(f"{folder}/**/*.sql")
    )


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_the_project_parses_without_a_warning(parsed: Parsed) -> None:
    assert parsed.code == 0, parsed.said
    assert "warning" not in parsed.said.lower(), parsed.said


def test_lineage_runs_from_the_sources_to_whoever_looks_at_the_data(parsed: Parsed) -> None:
    exposures = {each["name"]: each for each in parsed.manifest["exposures"].values()}
    parents = parsed.manifest["parent_map"]
    needed = {"landing.trades", "landing.batches", "state.runs", "state.checkpoints", "state.coverage"}
    for name in ("polytrades_status", "polytrades_report", "polytrades_alerts"):
        above: set[str] = set()
        waiting = [exposures[name]["unique_id"]]
        while waiting:
            new = set(parents[waiting.pop()]) - above
            above |= new
            waiting += new
        sources = {".".join(node.split(".")[2:]) for node in above if node.startswith("source.")}
        assert needed <= sources, name


def test_every_model_has_a_yaml_of_its_name_beside_it(parsed: Parsed) -> None:
    models = parsed.nodes("model")
    assert models
    wrong = [
        model["original_file_path"]
        for model in models
        if model["patch_path"] != f"{PROJECT}://{Path(model['original_file_path']).with_suffix('.yml').as_posix()}"
    ]
    assert wrong == []


def test_everything_is_described(parsed: Parsed) -> None:
    described = [*parsed.nodes("model", "seed", "snapshot"), *parsed.sources]
    wrong = [node["unique_id"] for node in [*described, *parsed.macros] if not node["description"].strip()]
    for node in described:
        wrong += [
            f"{node['unique_id']}.{name}"
            for name, column in node["columns"].items()
            if not column["description"].strip()
        ]
    assert wrong == []


def test_a_macro_is_described_with_the_arguments_that_it_takes(parsed: Parsed) -> None:
    wrong = []
    for macro in parsed.macros:
        signature = re.search(rf"{{%-?\s*macro\s+{macro['name']}\s*\((.*?)\)\s*-?%}}", macro["macro_sql"], re.DOTALL)
        if signature is None:
            continue  # a generic test: dbt keeps no list of its arguments
        names = [name.partition("=")[0].strip() for name in signature[1].split(",") if name.strip()]
        if [argument["name"] for argument in macro["arguments"]] != names:
            wrong.append(macro["name"])
        wrong += [
            f"{macro['name']}.{argument['name']}"
            for argument in macro["arguments"]
            if not argument["type"] or not argument["description"].strip()
        ]
    assert wrong == []


def test_what_is_built_has_exactly_the_columns_that_are_described(parsed: Parsed, built: Home) -> None:
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in built.query(
        "select table_schema, table_name, column_name from information_schema.columns"
    ):
        columns.setdefault((schema, table), []).append(column)
    wrong = []
    ours = [source for source in parsed.sources if source["source_name"] in ("landing", "state")]
    for node in [*parsed.nodes("model", "seed"), *ours]:
        if node.get("config", {}).get("materialized") == "ephemeral":
            continue
        name = (node["schema"], node.get("identifier") or node["alias"])
        if sorted(columns.get(name, [])) != sorted(node["columns"]):
            wrong.append((name, sorted(set(columns.get(name, [])) ^ set(node["columns"]))))
    assert wrong == []


def test_every_mart_is_an_enforced_contract(parsed: Parsed) -> None:
    wrong = []
    for model in parsed.nodes("model"):
        if Path(model["original_file_path"]).parent.name != "marts":
            continue
        config = model["config"]
        if not config["contract"]["enforced"] or not all(c["data_type"] for c in model["columns"].values()):
            wrong.append(f"{model['name']}: contract")
        if config["materialized"] != "incremental":
            continue
        key = config["unique_key"]
        keys = [key] if isinstance(key, str) else key or []
        if not keys or any(part not in model["columns"] for part in keys):
            wrong.append(f"{model['name']}: unique_key")
        wrong += [
            f"{model['name']}.{part}: not_null"
            for part in keys
            if {"not_null"} - {constraint["type"] for constraint in model["columns"][part]["constraints"]}
        ]
        if config["full_refresh"] is not False:
            wrong.append(f"{model['name']}: full_refresh")
    assert wrong == []


def test_sql_that_differs_by_warehouse_stands_in_one_folder() -> None:
    wrong = [
        relative(file)
        for file in sql_files()
        if file.parent != ROOT / "macros" / "adapters"
        and re.search(r"target\.type|\b(duckdb|bigquery|default)__\w+", file.read_text())
    ]
    assert wrong == []


def test_sources_are_read_by_staging_ledger_and_monitoring_only(parsed: Parsed) -> None:
    """Post-hooks aside: they write the ledger, and speak of it through a macro."""
    wrong = []
    for model in parsed.nodes("model"):
        read = set(re.findall(r"source\(\s*'(\w+)'", model["raw_code"]))
        layer = Path(model["original_file_path"]).parent.name
        if read and layer not in READS_SOURCES and not (model["name"] in MAY_READ_STATE and read == {"state"}):
            wrong.append(f"{model['original_file_path']} reads {', '.join(sorted(read))}")
    assert wrong == []


def test_the_generated_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_example_settings_are_the_defaults() -> None:
    lines = (ROOT / "polytrades.example.toml").read_text().splitlines()
    values = tomllib.loads("\n".join(line[2:] for line in lines if re.match(r"# \w+ = ", line)))
    expected = {name: setting.default for name, setting in Settings.model_fields.items() if name not in SECRETS}
    assert {**values, "duckdb_path": Path(values["duckdb_path"])} == expected


def headings(page: Path) -> set[str]:
    """Anchors of a page, as a forge makes them from its headings."""
    titles = re.findall(r"^#+ +(.+?)\s*$", without_fences(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_every_link_between_pages_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", without_fences(page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in headings(target)):
                wrong.append(f"{relative(page)}: {link}")
    assert wrong == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"]({page})" not in index] == []


def shown_commands(page: Path, word: str) -> Iterator[list[str]]:
    """The commands beginning with `word` in a page's code, as lists of arguments without what the shell adds."""
    text = page.read_text()
    fences = [
        body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if kind != "mermaid"
    ]
    spans = re.findall(r"`([^`\n]+)`", without_fences(text))
    for line in [*"\n".join(fences).replace("\\\n", " ").splitlines(), *spans]:
        for found in re.finditer(rf"(?:^|[\s/=(]){word}((?: [^|&;#>()]*)?)(?=[|&;#>()]|$)", line):
            yield shlex.split(found[1].split("  ")[0].replace("…", "").replace("'", ""))


def misread(command: Any, arguments: list[str]) -> str:
    """What the command line would say of these arguments; nothing if it takes them. Values are not looked at."""
    context = command.context_class(command, resilient_parsing=True)
    arguments = [argument for argument in arguments if argument not in ("-h", "--help")]
    try:
        _, left, _ = command.make_parser(context).parse_args(arguments)
    except Exception as error:  # the classes are those of the click that typer brings along
        return str(getattr(error, "message", "") or error)
    takes = hasattr(command, "commands") or any(parameter.nargs == -1 for parameter in command.params)
    return "" if takes or not left else f"takes no {left[0]}"


def test_every_polytrades_command_that_is_shown_exists() -> None:
    groups = get_command(app).commands  # type: ignore[attr-defined]
    commands = {**groups}
    for group, command in groups.items():
        commands |= {f"{group} {name}": part for name, part in getattr(command, "commands", {}).items()}
    general = {"-h", "--help", "--version"}
    wrong, seen = [], set()
    shown: list[tuple[str, list[str]]] = []
    for page in PAGES:
        if page.name == "cli.md":
            continue  # generated from the commands themselves
        shown += [(relative(page), arguments) for arguments in shown_commands(page, "polytrades")]
    for name, words in CHECKS.items():
        shown += [(name, shlex.split(said)) for said in re.findall("`polytrades ([^`]+)`", words.remedy)]
    for place, arguments in shown:
        name = next(iter(arguments), "--help")
        if " ".join(arguments[:2]) in commands:
            name = " ".join(arguments[:2])
        if name not in commands and name not in (*general, "COMMAND"):
            wrong.append(f"{place}: polytrades {name}")
        elif name in commands and (trouble := misread(commands[name], arguments[len(name.split()) :])):
            wrong.append(f"{place}: polytrades {' '.join(arguments)}: {trouble}")
        seen.add(name)
    assert wrong == []
    assert seen >= set(commands), f"no page shows {sorted(set(commands) - seen)}"


def test_every_query_that_is_shown_runs(built: Home) -> None:
    wrong, ran = [], 0
    for page in PAGES:
        for block in re.findall(r"^```sql\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for query in filter(None, (part.strip() for part in block.split(";"))):
                if "…" in query:
                    continue  # an excerpt
                ran += 1
                try:
                    built.query(query)
                except duckdb.Error as error:
                    wrong.append(f"{relative(page)}: {error}")
    assert wrong == []
    assert ran


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = [
        f"{relative(page)}: make {argument}"
        for page in PAGES
        if page.name != "cli.md"  # generated from the commands themselves
        for arguments in shown_commands(page, "make")
        for argument in arguments
        if "=" not in argument and argument not in targets
    ]
    assert wrong == []


def test_the_readme_has_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


def project_files() -> list[Path]:
    """What git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "hub.get" + "dbt.com", "registry.npm" + "js.org"]
    folders = [rf"(?<![\w.~-])/{name}/\w" for name in ("work", "root", "home")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *folders]))
    wrong = []
    for file in project_files():
        text = file.read_bytes().decode("utf-8", "replace")
        wrong += [f"{relative(file)}: {found[0]}" for found in pattern.finditer(text)]
    assert wrong == []
