"""Templates that dbt has compiled once, for the dbt of all tests: a third of a small build goes into compiling them.

A dbt that has just begun compiles each macro that it calls, and each model's own SQL, from text to Python's bytecode.
The text is the same in every home, so the bytecode is too; it is kept beside the parsed project (see parsed.py). What
is rendered from it is rendered each time.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import threading
from pathlib import Path
from types import CodeType
from typing import Any


def share(folder: Path) -> None:
    """Makes jinja, in this process, keep in `folder` what it compiles and take from there what it finds."""
    import jinja2

    folder.mkdir(exist_ok=True)
    compile_template: Any = jinja2.Environment.compile

    def compiled(self: jinja2.Environment, source: Any, *arguments: Any, **named: Any) -> Any:
        if not isinstance(source, str) or arguments or named:
            return compile_template(self, source, *arguments, **named)
        kind = f"{type(self).__name__} {sorted(self.extensions)}"
        file = folder / hashlib.sha256(f"{kind}\0{source}".encode()).hexdigest()
        if file.exists():
            return marshal.loads(file.read_bytes())  # noqa: S302 - our own, of this session
        code: CodeType = compile_template(self, source)
        unfinished = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        unfinished.write_bytes(marshal.dumps(code))
        unfinished.replace(file)
        return code

    jinja2.Environment.compile = compiled  # type: ignore[method-assign]
