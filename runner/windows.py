"""Time windows: half-open [start, end), UTC. Converted only at the edge to an upstream."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runner.errors import UsageError


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


def utc_now() -> datetime:
    """Now, UTC, on the whole second."""
    return datetime.now(UTC).replace(microsecond=0)


def window_to_fetch(checkpoint: datetime | None, since: datetime | None, until: datetime, overlap: timedelta) -> Window:
    """From the checkpoint minus the overlap to `until`; without a checkpoint from `since`, or everything."""
    start = checkpoint - overlap if checkpoint else since
    return Window(start, until)


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
