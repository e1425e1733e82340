"""The dbt project that this package belongs to: where it is, its variables, its source tables."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runner.errors import UsageError

PROFILE = "polytrades"


@cache
def project_dir() -> Path:
    """The folder with dbt_project.yml, absolute.

    Raises:
        UsageError: the package was installed without the project around it.
    """
    folder = Path(__file__).resolve().parent.parent
    if not (folder / "dbt_project.yml").is_file():
        raise UsageError(
            f"There is no dbt_project.yml in {folder}: polytrades was installed without its dbt project. Install it "
            "from a clone with `make install`, which keeps both together."
        )
    return folder


@cache
def variables() -> dict[str, Any]:
    """The vars of dbt_project.yml."""
    loaded = yaml.safe_load((project_dir() / "dbt_project.yml").read_text())["vars"]
    return dict(loaded)


def production_schema(default: str) -> str:
    """The schema of the marts, or `default`: the same rule as the macro of that name."""
    return str(variables()["production_schema"] or default)


def layer_schema(layer: str, production: str) -> str:
    """The schema of a layer (`intermediate`, …) when production is built: the rule of generate_schema_name."""
    return layer if production == "main" else f"{production}_{layer}"


@dataclass(frozen=True)
class SourceTable:
    """A table that the runner writes: its schema's key (`landing` or `state`), its name and its columns.

    `columns` maps name to type in the words of the sources' YAML (string, bigint, float64, timestamp, …).
    """

    source: str
    schema: str
    name: str
    columns: dict[str, str]


@cache
def source_tables() -> tuple[SourceTable, ...]:
    """The landing and state tables, from the same YAML files that dbt creates them from."""
    tables = []
    for source in ("landing", "state"):
        path = project_dir() / "models" / "staging" / f"_{source}__sources.yml"
        for table in yaml.safe_load(path.read_text())["sources"][0]["tables"]:
            columns = {column["name"]: column["data_type"] for column in table["columns"]}
            tables.append(SourceTable(source, variables()[f"{source}_schema"], table["name"], columns))
    return tuple(tables)


def source_table(source: str, name: str) -> SourceTable:
    """One of `source_tables`."""
    return next(table for table in source_tables() if (table.source, table.name) == (source, name))


@dataclass(frozen=True)
class Profiles:
    """Which profiles file dbt is given. `is_example` if it is the project's own example."""

    file: Path
    is_example: bool


def find_profiles() -> Profiles:
    """Looks where dbt looks, the project's folder first; else the example, which works as it stands.

    ~/.dbt/profiles.yml is everybody's: without our profile in it, it is none of ours.
    """
    places = [project_dir(), Path.cwd()]
    if configured := os.environ.get("DBT_PROFILES_DIR"):
        places.insert(1, Path(configured))
    for place in places:
        if (place / "profiles.yml").is_file():
            return Profiles((place / "profiles.yml").absolute(), is_example=False)
    everybodys = Path.home() / ".dbt" / "profiles.yml"
    if everybodys.is_file() and f"{PROFILE}:" in everybodys.read_text(errors="replace"):
        return Profiles(everybodys, is_example=False)
    return Profiles(project_dir() / "profiles.example.yml", is_example=True)


def check_target(profiles: Profiles, target: str) -> dict[str, Any]:
    """The output `target` of our profile, as written (not rendered).

    Raises:
        UsageError: the file is no YAML, or lacks the profile or the output.
    """
    try:
        content = yaml.safe_load(profiles.file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{profiles.file} cannot be read: {error}. Mend it, or copy profiles.example.yml.") from None
    profile = content.get(PROFILE) if isinstance(content, dict) else None
    if not isinstance(profile, dict):
        raise UsageError(
            f"{profiles.file} has no profile {PROFILE}. Copy that block from {project_dir() / 'profiles.example.yml'}."
        )
    outputs = profile.get("outputs")
    outputs = outputs if isinstance(outputs, dict) else {}
    if not isinstance(outputs.get(target), dict):
        raise UsageError(
            f"The profile {PROFILE} in {profiles.file} has no target {target}; it has {', '.join(outputs) or 'none'}. "
            "Name one of them with --target or POLYTRADES_TARGET, or add it there."
        )
    return dict(outputs[target])


def check_output(output: dict[str, Any], profiles: Profiles, duckdb_file: Path) -> None:
    """Refuses a DuckDB output that would build elsewhere than the runner lands.

    Raises:
        UsageError: another file, or another schema than the production schema, is written into the profile.
    """
    if output.get("type") != "duckdb":
        return
    path = str(output.get("path", ""))
    if "POLYTRADES_DUCKDB_PATH" not in path and Path(path).expanduser().absolute() != duckdb_file:
        raise UsageError(
            f"{profiles.file} builds into {path}, but the runner lands into {duckdb_file}. Let the profile's path be "
            "env_var('POLYTRADES_DUCKDB_PATH', …), as in profiles.example.yml."
        )
    schema = str(output.get("schema", "main"))
    if "{{" not in schema and schema != production_schema(default="main"):
        raise UsageError(
            f"{profiles.file} builds into the schema {schema}, where the marts are views over production; the runner "
            f"merges into production ({production_schema(default='main')}). Name a target with that schema, or set the "
            "var production_schema in dbt_project.yml."
        )
