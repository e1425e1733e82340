"""Time windows: half-open [start, end), UTC. Converted only at the edge to an upstream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runner.errors import UsageError

EVER = datetime(2020, 1, 1, tzinfo=UTC)
"""Before the first fill on any exchange contract; a window without a start begins here."""


@dataclass(frozen=True)
class Window:
    """start <= t < end, both UTC on whole seconds; `start` None means since ever."""

    start: datetime | None
    end: datetime

    def inclusive_seconds(self) -> tuple[int | None, int]:
        """First and last Unix second inside, for upstreams whose bounds are both inclusive."""
        first = int(self.start.timestamp()) if self.start else None
        return first, int(self.end.timestamp()) - 1

    @property
    def is_askable(self) -> bool:
        """Upstreams refuse a window whose first second is not before its last one."""
        first, last = self.inclusive_seconds()
        return first is None or first < last

    @property
    def begins(self) -> datetime:
        """`start` as an instant; nothing is asked for before EVER."""
        return max(self.start, EVER) if self.start else EVER

    @property
    def length(self) -> timedelta:
        """From start to end; not below zero."""
        return max(timedelta(), self.end - self.begins)


def union(windows: Iterable[Window]) -> list[Window]:
    """The same instants as windows that neither overlap nor touch, oldest first."""
    joined: list[Window] = []
    for window in sorted((w for w in windows if w.begins < w.end), key=lambda w: (w.begins, w.end)):
        if joined and window.begins <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return joined


def holes(target: Window, covered: Iterable[Window]) -> list[Window]:
    """What of `target` no window in `covered` holds, oldest first. A hole that begins with `target` keeps its start."""
    found = []
    start, begins = target.start, target.begins
    for window in union(covered):
        if window.begins > begins and begins < target.end:
            found.append(Window(start, min(window.begins, target.end)))
        if window.end > begins:
            start = begins = window.end
    if begins < target.end:
        found.append(Window(start, target.end))
    return found


def intersection(parts: Iterable[Iterable[Window]]) -> list[Window]:
    """The instants that lie in a window of each part, oldest first."""
    common: list[Window] | None = None
    for part in parts:
        if common is None:
            common = union(part)
            continue
        other = union(part)
        met = []
        for one in common:
            for two in other:
                begins, end = max(one.begins, two.begins), min(one.end, two.end)
                if begins < end:
                    met.append(Window(None if one.start is None and two.start is None else begins, end))
        common = met
    return common or []


def askable(window: Window) -> Window:
    """`window`, begun a second earlier where upstreams would refuse it as too short."""
    if window.is_askable or window.start is None:
        return window
    return Window(window.end - timedelta(seconds=2), window.end)


def slices(window: Window, length: timedelta) -> Iterator[Window]:
    """`window` cut into pieces of at most `length`, oldest first; since ever begins with EVER."""
    start = window.begins
    while start < window.end:
        end = min(window.end, start + length)
        yield Window(start, end)
        start = end


def months(window: Window) -> Iterator[Window]:
    """`window` cut where a month begins (UTC), oldest first; since ever begins with EVER."""
    start = window.begins
    while start < window.end:
        later = start.replace(day=1) + timedelta(days=32)
        end = min(window.end, later.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        yield Window(start, end)
        start = end


def utc_now() -> datetime:
    """Now, UTC, on the whole second."""
    return datetime.now(UTC).replace(microsecond=0)


def parse_instant(text: str) -> datetime:
    """An instant from `2026-01-31` or ISO 8601; UTC where no zone is given.

    Raises:
        UsageError: it is neither.
    """
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no date or time. Write 2026-01-31 or 2026-01-31T18:00:00Z (UTC).") from None
    return instant.replace(microsecond=0)
