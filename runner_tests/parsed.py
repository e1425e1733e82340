"""The project as dbt has parsed it once, for the homes of all tests: parsing takes as long as a small build.

dbt keeps what it has parsed in its target folder and takes it up again where the connection is the same. Homes differ
in nothing else that the parsed project holds: on BigQuery in the name of their project, and everywhere in the hash of
the connection, so these two are exchanged. What does not fit all the same, dbt parses again.
"""

from __future__ import annotations

import hashlib
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


def place_of(kind: str) -> Path:
    """Where what was parsed for homes of one kind is kept in this session."""
    return Path(os.environ[_FOLDER]) / f"{kind}.msgpack"


@dataclass(frozen=True)
class Parsed:
    """Where one kind of home finds the parsed project: all with the same target, schema and name of the database.

    `database` is the part of that name which differs between homes of a kind, always of the same length; or nothing.
    """

    kept: Path
    database: str = ""

    def is_wanted(self, target_path: Path) -> bool:
        """True if dbt would have to parse, and need not."""
        return self.kept.exists() and not (target_path / _FILE).exists()

    def plant(self, target_path: Path, profile: Path, target: str) -> None:
        """Puts the parsed project where dbt looks for it. In a process that has dbt loaded, and dbt's environment."""
        content = self.kept.read_bytes()
        if self.database:
            length = content[0]
            content = content[1 + length :].replace(content[1 : 1 + length], self.database.encode())
        content, found = _HASH.subn(rb"\g<1>" + _connection_hash(profile, target).encode(), content)
        if found == 1:
            target_path.mkdir(parents=True, exist_ok=True)
            (target_path / _FILE).write_bytes(content)

    def keep(self, target_path: Path) -> None:
        """Keeps what dbt has parsed for the next home of this kind."""
        file = target_path / _FILE
        if self.kept.exists() or not file.exists():
            return
        name = self.database.encode()
        unfinished = self.kept.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes((bytes([len(name)]) + name if name else b"") + file.read_bytes())
        unfinished.replace(self.kept)


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
