"""The project as dbt has parsed it once, for the homes of all tests: parsing takes as long as a small build.

dbt keeps what it has parsed in its target folder and takes it up again where the connection is the same. Homes differ
in nothing else that the parsed project holds: on BigQuery in the name of their project, and everywhere in the hash of
the connection, so these two are exchanged. What does not fit all the same, dbt parses again.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pprint
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_FILE = "partial_parse.msgpack"
_HASH = re.compile(rb"(profile_hash.{0,40}checksum\xd9\x40)([0-9a-f]{64})", re.DOTALL)
_FOLDER = "POLYTRADES_TESTS_PARSED"
"""Variable that names the folder which the workers of one session share."""


def begin_session() -> None:
    """Makes the folder that all workers share."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="polytrades-parsed-")


def end_session() -> None:
    """Removes it; workers leave it to who started them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ.pop(_FOLDER), ignore_errors=True)


def environment() -> dict[str, str]:
    """The variable that says where to look for what is parsed."""
    return {_FOLDER: os.environ[_FOLDER]}


def shared_folder() -> Path | None:
    """What the workers of one session share, where there is a session."""
    return Path(os.environ[_FOLDER]) if _FOLDER in os.environ else None


@dataclass(frozen=True)
class Parsed:
    """Where one kind of home finds the parsed project: all with the same target, schema and name of the database.

    `database` is the part of that name which differs between homes of a kind, always of the same length; or nothing.
    """

    kept: Path
    file: Path
    database: str

    def plant(self, connection_hash: str) -> None:
        """Puts the parsed project where dbt looks for it."""
        content = self.kept.read_bytes()
        if self.database:
            length = content[0]
            content = content[1 + length :].replace(content[1 : 1 + length], self.database.encode())
        content, found = _HASH.subn(rb"\g<1>" + connection_hash.encode(), content)
        if found == 1:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(content)

    def keep(self) -> None:
        """Keeps what dbt has parsed for the next home of this kind."""
        if self.kept.exists() or not self.file.exists():
            return
        name = self.database.encode()
        unfinished = self.kept.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes((bytes([len(name)]) + name if name else b"") + self.file.read_bytes())
        unfinished.replace(self.kept)


def plant(arguments: list[str], project: Path) -> Parsed | None:
    """Spares the dbt that is to be called in this process parsing this project, if another has done so.

    Returns:
        Where that dbt keeps what it parses itself; None where nothing can be shared.
    """
    given = dict(itertools.pairwise(arguments))
    target_path = given.get("--target-path") or os.environ.get("DBT_TARGET_PATH")
    profile = Path(given.get("--profiles-dir", ".")) / "profiles.yml"
    if _FOLDER not in os.environ or given.get("--project-dir") != str(project) or not target_path:
        return None
    target = given["--target"]
    kind = hashlib.sha256(profile.read_bytes()).hexdigest()[:8]
    stem = Path(os.environ.get("POLYTRADES_DUCKDB_PATH", "none")).stem
    kept = Path(os.environ[_FOLDER]) / f"{target}-{kind}-{stem}.msgpack"
    database = os.environ["POLYTRADES_BIGQUERY_PROJECT"] if target == "emulator" else ""
    found = Parsed(kept, Path(target_path) / _FILE, database)
    if kept.exists() and not found.file.exists():
        found.plant(_connection_hash(profile, target))
    return found


def _connection_hash(profile_file: Path, target: str) -> str:
    """What dbt compares: the hash of the connection that a target of this profile means here and now."""
    import yaml
    from dbt.adapters.factory import load_plugin
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    set_invocation_context(os.environ)
    written = yaml.safe_load(profile_file.read_text())["polytrades"]["outputs"][target]
    output = ProfileRenderer({}).render_data(written)
    kind = load_plugin(output.pop("type"))
    connection = kind.from_dict(kind.translate_aliases(output)).connection_info()
    return hashlib.sha256(pprint.pformat(sorted(connection)).encode()).hexdigest()
