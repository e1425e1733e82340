"""The dbt project that this package belongs to: where it is, its variables, its source tables."""

import os
import re
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


def newest_change() -> int:
    """When a file that SQL is compiled from was last changed, in nanoseconds."""
    files = [project_dir() / "dbt_project.yml", find_profiles().file]
    for folder in ("models", "macros", "analyses"):
        files += (project_dir() / folder).rglob("*.*")
    return max(file.stat().st_mtime_ns for file in files)


@dataclass(frozen=True)
class Schemas:
    """Where things are in a warehouse: the same rules as the sources' YAML and the macros."""

    landing: str
    state: str
    production: str
    intermediate: str
    monitoring: str
    reference: str
    migration: str
    """Work tables of a migration; on DuckDB they are files."""


def schemas(warehouse: str) -> Schemas:
    """The schemas on a type of warehouse (`duckdb` or `bigquery`), when production is built."""
    chosen = variables()
    prefix = "polytrades_" if warehouse == "bigquery" else ""
    production = str(chosen["production_schema"] or ("polytrades" if warehouse == "bigquery" else "main"))
    layers = "" if production == "main" else f"{production}_"
    return Schemas(
        landing=str(chosen["landing_schema"] or f"{prefix}landing"),
        state=str(chosen["state_schema"] or f"{prefix}state"),
        production=production,
        intermediate=f"{layers}intermediate",
        monitoring=f"{layers}monitoring",
        reference=f"{layers}reference",
        migration=f"{prefix}migration",
    )


@dataclass(frozen=True)
class SourceTable:
    """A table that the runner writes: its source (`landing` or `state`), its name, its columns and its layout.

    `columns` maps name to type in the words of the sources' YAML (string, bigint, float64, timestamp, …). `only_row`
    holds SQL values of the one row that the table has from its creation on.
    """

    source: str
    name: str
    columns: dict[str, str]
    partition_by: str | None
    cluster_by: tuple[str, ...]
    only_row: dict[str, object] | None


@cache
def source_tables() -> tuple[SourceTable, ...]:
    """The landing and state tables, from the same YAML files that dbt creates them from."""
    tables = []
    for source in ("landing", "state"):
        path = project_dir() / "models" / "staging" / f"_{source}__sources.yml"
        for table in yaml.safe_load(path.read_text())["sources"][0]["tables"]:
            columns = {column["name"]: column["data_type"] for column in table["columns"]}
            meta = table["config"]["meta"]
            tables.append(
                SourceTable(
                    source,
                    table["name"],
                    columns,
                    meta.get("partition_by"),
                    tuple(meta.get("cluster_by", ())),
                    meta.get("only_row"),
                )
            )
    return tuple(tables)


def source_table(source: str, name: str) -> SourceTable:
    """One of `source_tables`."""
    return next(table for table in source_tables() if (table.source, table.name) == (source, name))


@cache
def mart_columns(mart: str) -> dict[str, str]:
    """Name → type of a mart's columns in the words of the sources' YAML, from its contract."""
    content = yaml.safe_load((project_dir() / "models" / "marts" / f"{mart}.yml").read_text())
    return {column["name"]: _plain_type(column["data_type"]) for column in content["models"][0]["columns"]}


def _plain_type(declared: str) -> str:
    """`{{ 'float64' if target.type == 'bigquery' else 'double' }}` → float64."""
    found = re.search(r"'(\w+)'", declared)
    return found[1] if found else declared


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


@dataclass(frozen=True)
class Output:
    """An output of our profile with its values rendered: what dbt is going to connect to."""

    target: str
    file: Path
    written: dict[str, Any]
    values: dict[str, Any]

    @property
    def type(self) -> str:
        """`duckdb` or `bigquery`."""
        return str(self.values.get("type"))


def read_output(profiles: Profiles, target: str) -> Output:
    """The output `target` of our profile.

    Raises:
        UsageError: the file is no YAML, lacks the profile or the output, or a value needs an environment variable that
            is not set.
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
    written = dict(outputs[target])
    where = f"The target {target} in {profiles.file}"
    return Output(target, profiles.file, written, {name: _rendered(value, where) for name, value in written.items()})


def _rendered(value: Any, where: str) -> Any:
    """A value of a profile as dbt would read it."""
    if isinstance(value, dict):
        return {name: _rendered(part, where) for name, part in value.items()}
    if not isinstance(value, str) or "{" not in value:
        return value
    import jinja2  # here, because `--help` has no use for it

    def env_var(name: str, default: str | None = None) -> str:
        found = os.environ.get(name, default)
        if found is None:
            raise UsageError(
                f"{where} needs the environment variable {name}, which is not set. Set it, then try again."
            )
        return found

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701  it is no HTML
    environment.filters |= {name: lambda given: given for name in ("as_number", "as_bool", "as_native", "as_text")}
    try:
        text = environment.from_string(value).render(env_var=env_var)
    except jinja2.TemplateError as error:
        raise UsageError(f"{where} has a value that cannot be read: {value!r} ({error}).") from None
    return yaml.safe_load(text) if re.search(r"\|\s*as_(number|bool|native)", value) else text


def check_output(output: Output, duckdb_file: Path) -> None:
    """Refuses an output that would build elsewhere than the runner lands, or spend without a limit.

    Raises:
        UsageError: another file or another schema than the production schema is written into the profile, or BigQuery
            jobs have no limit there.
    """
    if output.type == "duckdb":
        path = str(output.written.get("path", ""))
        if "POLYTRADES_DUCKDB_PATH" not in path and Path(path).expanduser().absolute() != duckdb_file:
            raise UsageError(
                f"{output.file} builds into {path}, but the runner lands into {duckdb_file}. Let the profile's path be "
                "env_var('POLYTRADES_DUCKDB_PATH', …), as in profiles.example.yml."
            )
    if output.type == "bigquery" and not output.values.get("maximum_bytes_billed"):
        raise UsageError(
            f"The target {output.target} in {output.file} has no maximum_bytes_billed, so one query of dbt could bill "
            "anything. Add the line that profiles.example.yml has."
        )
    production = schemas(output.type).production
    schema = str(output.values.get("schema") or output.values.get("dataset") or "main")
    if schema != production:
        raise UsageError(
            f"{output.file} builds into the schema {schema}, where the marts are views over production; the runner "
            f"merges into production ({production}). Name a target with that schema, or set the var production_schema "
            "in dbt_project.yml."
        )
