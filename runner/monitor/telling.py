"""After a run, whatever became of it: status kept, incidents told, metrics written. Never fails a run."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from runner.errors import PolytradesError
from runner.monitor import channels, metrics, status
from runner.monitor.checks import Verdict
from runner.monitor.incidents import Message, due, message
from runner.monitor.status import Status
from runner.settings import Settings
from runner.warehouse.monitored import IncidentEvent
from runner.warehouse.protocol import Warehouse

Note = Callable[[str], None]


def after_run(settings: Settings, warehouse: Warehouse, is_complete: bool, note: Note) -> None:
    """Keeps, tells and writes; what does not work is noted. `is_complete`: the night's data is there."""
    try:
        _tell(settings, warehouse, note)
    except (OSError, PolytradesError) as error:
        note(f"The status could not be kept or told: {error}")
    if is_complete:
        try:
            channels.ping(settings)
        except channels.NotTaken as error:
            note(f"The dead man's switch was not told: {error}.")


def after_failure(settings: Settings, warehouse: Warehouse, note: Note) -> None:
    """The same for a run that ended early. What stood in its way may stand here too; its own error says so."""
    with suppress(OSError, PolytradesError):
        _tell(settings, warehouse, note)


def _tell(settings: Settings, warehouse: Warehouse, note: Note) -> None:
    found = status.look(settings, warehouse)
    if warehouse.name == "duckdb" and settings.duckdb_file.exists():  # others can be asked while dbt runs
        status.save(settings, found)
    send(settings, warehouse, found, note)
    if settings.metrics_file:
        metrics.write(Path(settings.metrics_file), found)


def send(settings: Settings, warehouse: Warehouse, found: Status, note: Note) -> list[IncidentEvent]:
    """Tells what is due on every channel and records it; gives the events.

    What no channel took is not recorded and is due again at the next look; without any channel it is recorded as told
    to nobody.
    """
    known = warehouse.incident_events()
    if known is None:  # a warehouse in which nothing has run yet
        return []
    events = due(found, known, Verdict(settings.alert_from))
    if not events:
        return []
    told = deliver(settings, message(found, events, warehouse.place), note)
    if told is None:
        return []
    events = [replace(event, told=", ".join(told)) for event in events]
    warehouse.record_incidents(events)
    return events


def deliver(settings: Settings, text: Message, note: Note) -> list[str] | None:
    """Sends a message on every channel; gives the names of those that took it, None if all of them failed."""
    taken, failed = [], 0
    for name, sender in channels.channels(settings):
        try:
            sender(text)
            taken.append(name)
        except channels.NotTaken as error:
            failed += 1
            note(f"The alert was not taken by {name}: {error}.")
    return None if failed and not taken else taken
