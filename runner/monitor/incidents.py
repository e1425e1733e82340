"""When somebody is told: an incident is one check that is not OK, from when it was seen first until it is OK again.

It is told when it opens, when it gets worse, after a day, two, four and so on while it lasts, and once when it is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runner.monitor.checks import ORDER, Finding, Verdict
from runner.monitor.status import Status
from runner.monitor.text import clean
from runner.warehouse.monitored import IncidentEvent

_FIRST_REMINDER = timedelta(hours=23)
"""A day, less what a nightly run may start earlier than the night before."""
_LONGEST_PAUSE = 8
"""Days between two reminders, at most."""
_LONGEST_REASON = 1000
"""Characters of a reason in a message; the status has all of it."""


@dataclass(frozen=True)
class Message:
    """What is told at one time: all that is due, in one message."""

    verdict: Verdict
    subject: str
    events: tuple[IncidentEvent, ...]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The message as plain text."""
        return "\n".join([self.subject, "", *self.lines])


def due(status: Status, known: Iterable[IncidentEvent], least: Verdict) -> list[IncidentEvent]:
    """The events that have happened since the newest `known` ones; findings below `least` open no incident."""
    now = status.taken_at
    still_open = {(event.check_name, event.subject): event for event in known if event.event != "resolved"}
    found = {
        (finding.check, finding.subject): finding
        for finding in status.findings
        if ORDER.index(finding.verdict) >= ORDER.index(least)
    }
    events = []
    for key, finding in found.items():
        before = still_open.get(key)
        if before is None:
            opened = IncidentEvent("", *key, "opened", finding.verdict, finding.reason, now, now)
            events.append(replace(opened, incident_id=f"{':'.join(filter(None, key))}:{now:%Y%m%dT%H%M%SZ}"))
        elif ORDER.index(finding.verdict) > ORDER.index(Verdict(before.verdict)):
            events.append(_next(before, "worsened", finding, now))
        elif now - before.happened_at >= _pause(before.times_told):
            events.append(_next(before, "reminded", finding, now))
    # Over is only what was looked at and found good; if the checks could not be read, nothing is known to be over.
    if status.monitored.wallets or status.monitored.days or status.verdict is Verdict.OK:
        for key, before in still_open.items():
            if key not in found:
                events.append(replace(before, event="resolved", verdict=Verdict.OK, happened_at=now, told=""))
    return events


def _next(before: IncidentEvent, event: str, finding: Finding, now: datetime) -> IncidentEvent:
    return replace(before, event=event, verdict=finding.verdict, reason=finding.reason, happened_at=now, told="")


def _pause(times_told: int) -> timedelta:
    """Until the next reminder, after so many messages: a day, two, four, then eight."""
    days = min(_LONGEST_PAUSE, 2 ** max(0, times_told - 1))
    return _FIRST_REMINDER + timedelta(days=days - 1)


def message(status: Status, events: list[IncidentEvent], place: str) -> Message:
    """All events as one message, the new ones first."""
    order = ["opened", "worsened", "reminded", "resolved"]
    sorted_events = sorted(events, key=lambda event: (order.index(event.event), event.check_name))
    counts = [f"{count} {name}" for name in order if (count := sum(event.event == name for event in events))]
    remedies = {(finding.check, finding.subject): finding.remedy for finding in status.findings}
    lines = []
    for event in sorted_events:
        since = "" if event.event == "opened" else f" (since {event.opened_at:%Y-%m-%d %H:%M} UTC)"
        lines.append(f"{event.event.upper()} {event.verdict}: {clean(event.reason, _LONGEST_REASON)}{since}")
        if event.event != "resolved" and (remedy := remedies.get((event.check_name, event.subject))):
            lines.append(f"  → {remedy}")
    subject = f"polytrades {status.verdict}: {', '.join(counts)}"
    return Message(
        status.verdict,
        subject,
        tuple(sorted_events),
        (*lines, "", f"As of {status.taken_at:%Y-%m-%d %H:%M} UTC, {place}."),
    )
