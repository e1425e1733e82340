"""Everything that commands print: the result on stdout, all else on stderr, JSON or text."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from runner import log
from runner.errors import ExitCode

_SECONDS_BETWEEN_LINES = 10.0


def printable(text: str) -> str:
    """`text` without control characters: a title from an upstream must not move the cursor of a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def shortened(rows: Sequence[str], most: int, rest: str = "more") -> list[str]:
    """At most `most` of the rows, and a line about how many there are beside them, called `rest`."""
    return [*rows[:most], *([f"  … and {len(rows) - most:,} {rest}"] if len(rows) > most else [])]


class Output:
    """Prints for one command. With `as_json`, stdout carries one JSON object and nothing else."""

    def __init__(self, as_json: bool) -> None:
        log.configure()
        self.as_json = as_json
        self._stdout = Console(soft_wrap=True, highlight=False)
        self._stderr = Console(stderr=True, soft_wrap=True, highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}

    def note(self, text: str) -> None:
        """A line on stderr."""
        self._stderr.print(escape(printable(text)))

    def progress(self, phase: str, done: int, total: int, detail: str) -> None:
        """A bar on a terminal; elsewhere a line now and then, and one at the end of the phase."""
        if self._stderr.is_terminal:
            self._bar(phase, done, total, detail)
            return
        now = time.monotonic()
        if (total and done >= total) or now - self._last_line.get(phase, now - 1e9) >= _SECONDS_BETWEEN_LINES:
            self._last_line[phase] = now
            self.note(f"{phase}: {done}/{total} {detail}".rstrip() if total else phase)

    def _bar(self, phase: str, done: int, total: int, detail: str) -> None:
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description:<20}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[detail]}"),
                console=self._stderr,
            )
            self._bars.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=total or None, detail="")
        self._bars.update(
            self._tasks[phase], completed=done, total=total or None, detail=escape(printable(detail)[:40])
        )

    def clear(self) -> None:
        """Empties the terminal, if there is one."""
        if self._stdout.is_terminal:
            self._stdout.clear()

    def end_progress(self) -> None:
        """Leaves the bars as they are."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks = {}

    def result(self, content: dict[str, Any], text: str) -> None:
        """The command's result: `content` as JSON, or `text` (rich markup; values in it already escaped)."""
        self.end_progress()
        if self.as_json:
            sys.stdout.write(json.dumps(content) + "\n")
        else:
            self._stdout.print(text)

    def error(self, message: str, exit_code: ExitCode) -> None:
        """What went wrong, as one paragraph on stderr; with JSON also on stdout."""
        self.end_progress()
        # What a library said may be broken into lines.
        message = " ".join(message.split())
        if self.as_json:
            sys.stdout.write(json.dumps({"exit_code": int(exit_code), "error": message}) + "\n")
        self._stderr.print(f"[bold red]Error:[/] {escape(printable(message))}")
