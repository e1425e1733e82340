"""Writes docs/reference/ and polytrades.example.toml from the project itself, so that they cannot drift from it.

`python docs/generate.py` writes; `python docs/generate.py --check` writes nothing, names the files that are not what
it would write, and then exits with 1. No network, no terminal, no warehouse: the command line, the settings, the errors
and the rules are imported, the tables are read from the models' YAML.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from runner.errors import ExitCode, PolytradesError
from runner.records import RULES
from runner.settings import SECRETS, SETTINGS_FILE, Settings

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = Path("docs/reference")
WIDTH = 100
"""Columns of the rendered help."""
_HEADER = "<!-- Written by docs/generate.py. Change what it reads, then run `make docs`. -->\n"

_LAYERS = (
    ("marts", "Marts", "What analysts read. In the schema `main` on DuckDB, `polytrades` on BigQuery."),
    ("landing", "Landing", "In the schema `landing` on DuckDB, `polytrades_landing` on BigQuery."),
    ("state", "State", "In the schema `state` on DuckDB, `polytrades_state` on BigQuery."),
    (
        "monitoring",
        "Monitoring",
        "What a person or a test should look at. In the schema `monitoring` (BigQuery: `polytrades_monitoring`).",
    ),
    ("staging", "Staging", "Views over landing, in the schema `staging`."),
    ("ledger", "Ledger", "In the schema `intermediate`."),
    ("intermediate", "Intermediate", "Tables of one build, in the schema `intermediate`."),
    (
        "snapshots",
        "History",
        "Versions, kept by dbt snapshots. In the schema `history`, `polytrades_history` on BigQuery.",
    ),
    ("seeds", "Seeds", "Small facts kept in the project, in the schema `reference`."),
    (
        "polygon_public",
        "Of others",
        "On BigQuery, read only by `polytrades backfill --public-logs` ([the chain](../guides/chain.md)).",
    ),
)
_CODES = {
    ExitCode.DONE: ("All done.", "Nothing."),
    ExitCode.FAILED: (
        "Failed, and nothing durable happened, except that a changed list of wallets is kept.",
        "Do what the message says, then run it again.",
    ),
    ExitCode.USAGE: (
        "A command line, a setting or the configuration is wrong, or the upstream refuses the key.",
        "Correct what the message names. Running it again unchanged gives the same answer.",
    ),
    ExitCode.PARTLY_DONE: (
        "Partly done or held back: some wallets or markets failed, dbt failed after landing, another run has the lease "
        "or another process the DuckDB file, a byte limit or quota is reached, or Ctrl-C. What has landed is kept.",
        "Run the same command again.",
    ),
    ExitCode.CHECK_FAILED: (
        "The run came to its end, but a check failed: a dbt test, the share of rejected records, an upstream that has "
        "nothing new for anybody, or the verdict of `polytrades status`.",
        "Look at `polytrades status`. Running it again does not mend it.",
    ),
}
"""What a person should know of a code; `_exit_codes` refuses to leave one out."""


def cli_page() -> str:
    """Every command's help, as the typer app renders it."""
    from typer import rich_utils
    from typer.testing import CliRunner

    from runner.cli.app import app

    # Whatever terminal, CI or width the caller has, the page is the same.
    rich_utils.MAX_WIDTH = WIDTH
    rich_utils.FORCE_TERMINAL = False
    rich_utils.COLOR_SYSTEM = None
    runner = CliRunner(env={"TERM": None, "COLUMNS": None, "NO_COLOR": "1"})

    def help_of(*command: str) -> str:
        result = runner.invoke(app, [*command, "--help"], prog_name="polytrades")
        if result.exit_code != 0:
            raise SystemExit(f"polytrades {' '.join(command)} --help ended with {result.exit_code}: {result.output}")
        lines = [line.rstrip() for line in result.output.splitlines()]
        return "```text\n" + "\n".join(lines).strip("\n") + "\n```\n"

    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    parts = [
        _HEADER,
        "# Command line\n",
        "What `--help` prints. Exit codes: [exit-codes.md](exit-codes.md).\n",
        help_of(),
    ]
    for name in names:
        parts += [f"## polytrades {name}\n", help_of(name)]
    for group in app.registered_groups:
        name = group.name or ""
        parts += [f"## polytrades {name}\n", help_of(name)]
        for command in group.typer_instance.registered_commands if group.typer_instance else ():
            parts += [f"### polytrades {name} {command.name}\n", help_of(name, command.name or "")]
    return "\n".join(parts)


def _default(value: object) -> str:
    """A default as TOML writes it."""
    if isinstance(value, str | Path):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:_}" if isinstance(value, int) and value >= 10_000 else str(value)


def _bounds(metadata: Sequence[Any]) -> str:
    """Limits of a number in words: `0 to 1`, `at least 1`, `above 0`; empty without limits."""
    low = next((f"at least {rule.ge:g}" for rule in metadata if hasattr(rule, "ge")), "")
    low = low or next((f"above {rule.gt:g}" for rule in metadata if hasattr(rule, "gt")), "")
    high = next((f"{rule.le:g}" for rule in metadata if hasattr(rule, "le")), "")
    return f"{low.removeprefix('at least ')} to {high}" if high else low


def settings_page() -> str:
    """Every setting with its default, its limits, its variable and its meaning."""
    rows = []
    for name, setting in Settings.model_fields.items():
        default = "none" if setting.default is None else f"`{_default(setting.default)}`"
        limits = _bounds(setting.metadata)
        meaning = f"{setting.description}" + (f" Range: {limits}." if limits else "")
        rows.append([f"`{name}`", default, f"`POLYTRADES_{name.upper()}`", meaning])
    return "\n".join(
        [
            _HEADER,
            "# Settings\n",
            f"A flag wins over the environment, the environment over `{SETTINGS_FILE}` in the current folder, the file "
            "over the default. A secret is read from the environment only; in the file it is refused, as is a name "
            "that does not stand here.\n",
            f"[polytrades.example.toml](../../polytrades.example.toml) is the same list as a file: copy it to "
            f"`{SETTINGS_FILE}` and uncomment what you change.\n",
            _table(["setting", "default", "environment variable", "meaning"], rows),
        ]
    )


def example_toml() -> str:
    """The settings file with every setting at its default, commented out."""
    lines = [
        f"# Every setting of polytrades at its default. Copy to {SETTINGS_FILE} and uncomment what you change.",
        "# The environment variable that is named wins over the file. Written by docs/generate.py.",
    ]
    for name, setting in Settings.model_fields.items():
        limits = _bounds(setting.metadata)
        lines += ["", f"# {setting.description}" + (f" Range: {limits}." if limits else "")]
        if name in SECRETS:
            lines.append(f"# A secret: set POLYTRADES_{name.upper()} in the environment; in this file it is refused.")
        else:
            lines += [f"# POLYTRADES_{name.upper()}", f"# {name} = {_default(setting.default)}"]
    return "\n".join(lines) + "\n"


def exit_codes_page() -> str:
    """The exit codes and the errors that lead to them."""
    order = str(ExitCode.__doc__).rpartition("the order is ")[2].strip().rstrip(".")
    codes = [[str(int(code)), f"`{code.name}`", *_CODES[code]] for code in ExitCode]
    errors = [
        [f"`{error.__name__}`", str(int(error.exit_code)), _one_line(str(error.__doc__))]
        for error in _family(PolytradesError)
    ]
    return "\n".join(
        [
            _HEADER,
            "# Exit codes\n",
            "Every command ends with one of these.\n",
            _table(["code", "name", "meaning", "what to do"], codes),
            f"Where several apply, the first of this order counts: {order}.\n",
            "## The errors behind them\n",
            "Each prints one paragraph on stderr: what happened, to what, what to do next. With `--json` the same "
            'paragraph is also on stdout, as `{"exit_code": …, "error": …}`.\n',
            _table(["error", "code", "when"], errors),
        ]
    )


def _family(error: type[PolytradesError]) -> Iterator[type[PolytradesError]]:
    """The error and everything below it, in the order of the code."""
    for child in error.__subclasses__():
        yield child
        yield from _family(child)


def rejection_reasons_page() -> str:
    """Every reason for which a record is rejected."""
    rows = [[f"`{name}`", meaning] for name, meaning in RULES.items()]
    return "\n".join(
        [
            _HEADER,
            "# Rejection reasons\n",
            "A record that breaks a rule is not dropped: it stands in `landing.rejected_records`, once a reason, with "
            "this name, the offending value in words, its text as received and where it came from. The other records "
            "of its wallet or file are landed.\n",
            _table(["reason", "meaning"], rows),
        ]
    )


def tables_page() -> str:
    """Every source table, model and seed with its columns, as described in the YAML beside the SQL."""
    tables = _described_tables()
    parts = [
        _HEADER,
        "# Tables\n",
        "Types of landing and state are the project's words: `string` is `varchar` on DuckDB, `timestamp` an instant "
        "in UTC (`timestamptz`), `float64` a `double`. Types of marts are those of their contract on DuckDB. The "
        "other models declare none.\n",
    ]
    for layer, title, _ in _LAYERS:
        links = ", ".join(f"[{table['name']}](#{_anchor(layer, table)})" for table in tables[layer])
        parts.append(f"- {title}: {links}")
    parts.append("")
    for layer, title, about in _LAYERS:
        parts += [f"## {title}\n", f"{about}\n"]
        for table in tables[layer]:
            parts += [f"### {_title(layer, table)}\n", f"{_one_line(table['description'])}\n", _columns(table)]
    return "\n".join(parts)


def _title(layer: str, table: dict[str, Any]) -> str:
    return f"{layer}.{table['name']}" if layer in ("landing", "state", "polygon_public") else str(table["name"])


def _anchor(layer: str, table: dict[str, Any]) -> str:
    return _title(layer, table).replace(".", "")


def _columns(table: dict[str, Any]) -> str:
    types = {column["name"]: column.get("data_type") for column in table["columns"]}
    types |= table.get("config", {}).get("column_types", {})
    if any(types.values()):
        rows = [
            [f"`{column['name']}`", types[column["name"]] or "text", _one_line(column["description"])]
            for column in table["columns"]
        ]
        return _table(["column", "type", "meaning"], rows)
    return _table(
        ["column", "meaning"],
        [[f"`{column['name']}`", _one_line(column["description"])] for column in table["columns"]],
    )


def _described_tables() -> dict[str, list[dict[str, Any]]]:
    """Layer → tables as their YAML has them, with doc blocks and types rendered for DuckDB."""
    tables: dict[str, list[dict[str, Any]]] = {layer: [] for layer, _, _ in _LAYERS}
    render = _renderer()
    for path in sorted(
        [file for folder in ("models", "seeds", "snapshots") for file in ROOT.glob(f"{folder}/**/*.yml")]
    ):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for source in content.get("sources", []):
            tables[source["name"]] += _rendered(source["tables"], render)
        for kind, layer in (("models", path.parent.name), ("seeds", "seeds"), ("snapshots", "snapshots")):
            tables[layer] += _rendered(content.get(kind, []), render)
    return tables


def _renderer() -> Callable[[str], str]:
    """Renders what the YAML's descriptions and types use of dbt's Jinja: doc(), var() and target."""
    blocks: dict[str, str] = {}
    for path in sorted(ROOT.glob("models/**/*.md")):
        for name, text in re.findall(
            r"{%-? *docs +(\w+) *-?%}(.*?){%-? *enddocs *-?%}", path.read_text(encoding="utf-8"), re.DOTALL
        ):
            blocks[name] = text.strip()
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    # What is rendered is the project's own YAML, and the result is Markdown.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.globals.update(
        doc=blocks.__getitem__,
        var=lambda name, default=None: project["vars"].get(name, default),
        target={"type": "duckdb", "schema": "main"},
    )

    def render(text: str) -> str:
        return environment.from_string(text).render() if "{{" in text else text

    return render


def _rendered(value: Any, render: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return render(value)
    if isinstance(value, list):
        return [_rendered(item, render) for item in value]
    if isinstance(value, dict):
        return {key: _rendered(item, render) for key, item in value.items()}
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


PAGES: dict[Path, Callable[[], str]] = {
    REFERENCE / "cli.md": cli_page,
    REFERENCE / "settings.md": settings_page,
    REFERENCE / "tables.md": tables_page,
    REFERENCE / "exit-codes.md": exit_codes_page,
    REFERENCE / "rejection-reasons.md": rejection_reasons_page,
    Path("polytrades.example.toml"): example_toml,
}
"""File, relative to the project → what writes its text."""


def main(arguments: Sequence[str]) -> int:
    """Writes or, with --check, compares; gives the exit code."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    stale = []
    for path, text in {path: page() for path, page in PAGES.items()}.items():
        file = ROOT / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            sys.stderr.write(f"wrote {path}\n")
    if arguments and stale:
        sys.stderr.write(f"Stale: {', '.join(map(str, stale))}. Run `make docs` and commit what it writes.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
