"""Which markets and events are asked for tonight: new ones, open ones, and closed ones that still owe their winner."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.landing.intake import Intake
from runner.warehouse.protocol import Wanted
from runner.windows import utc_now
from runner_tests.support import order

COLUMNS = {
    "markets": {
        "condition_id": "string",
        "event_slug": "string",
        "status": "string",
        "winning_id": "string",
        "winning_label": "string",
        "close_time": "timestamp",
        "completed_time": "timestamp",
        "as_of": "timestamp",
    },
    "events": {"event_slug": "string", "status": "string"},
}
SINCE = datetime(2026, 1, 10, tzinfo=UTC)
LATER, EARLIER = SINCE + timedelta(days=1), SINCE - timedelta(days=1)
NEW = "0x" + "c" * 64


def land_fill(on: Any, warehouse: Any) -> None:
    intake = Intake(warehouse, "dome", on.spool, "run", batch_rows=10)
    intake.add([json.dumps(order(condition_id=NEW)).encode()], None, "test")
    intake.flush()


def make(warehouse: Any, mart: str, *rows: dict[str, Any]) -> None:
    """A mart with these rows, as dbt would have left it."""
    warehouse._create_schema(warehouse._schemas.production)
    columns = COLUMNS[mart]
    listed = ", ".join(f"{name} {warehouse._type(kind)}" for name, kind in columns.items())
    warehouse._execute("test", f"create table {warehouse._mart(mart)} ({listed})")
    for row in rows:
        values = ", ".join(
            "null" if row.get(name) is None else f"cast('{row[name]}' as {warehouse._type(kind)})"
            for name, kind in columns.items()
        )
        warehouse._execute("test", f"insert into {warehouse._mart(mart)} values ({values})")


def names(wanted: list[Wanted], *, new: bool) -> set[str]:
    return {one.name for one in wanted if one.is_new is new}


def test_new_and_open_markets_are_asked_for_and_closed_ones_until_their_winner_is_known(on: Any) -> None:
    warehouse = on.open()
    land_fill(on, warehouse)
    assert warehouse.conditions_to_fetch(SINCE) == [Wanted(NEW, True, None)]
    closed = {"status": "closed", "as_of": LATER}
    make(
        warehouse,
        "markets",
        {"condition_id": "open", "status": "open"},
        {"condition_id": "nobody-knows", "status": None},
        {"condition_id": "no-winner", "close_time": LATER, **closed},
        {"condition_id": "no-winner-for-ever", "close_time": EARLIER, **closed},
        {"condition_id": "no-winner-completed", "completed_time": LATER, **closed},
        {"condition_id": "no-winner-found-late", **closed},
        {"condition_id": "no-winner-found-long-ago", **closed, "as_of": EARLIER},
        {"condition_id": "winner", "close_time": LATER, "winning_id": "1", **closed},
        {"condition_id": "winner-by-name", "close_time": LATER, "winning_label": "Yes", **closed},
    )
    wanted = warehouse.conditions_to_fetch(SINCE)
    assert names(wanted, new=True) == {NEW}
    assert names(wanted, new=False) == {
        "open",
        "nobody-knows",
        "no-winner",
        "no-winner-completed",
        "no-winner-found-late",
    }
    assert len(wanted) == 6


def test_new_and_open_events_are_asked_for(on: Any) -> None:
    warehouse = on.open()
    assert warehouse.events_to_fetch([]) == []
    assert warehouse.events_to_fetch(["of-tonight"]) == [Wanted("of-tonight", True, None)]
    market = {"status": "open", "condition_id": "x"}
    make(
        warehouse,
        "markets",
        *({**market, "event_slug": slug} for slug in ("of-market", "of-market", "shut", "up", None)),
    )
    assert names(warehouse.events_to_fetch([]), new=True) == {"of-market", "shut", "up"}
    make(
        warehouse, "events", {"event_slug": "up", "status": "open"}, {"event_slug": "shut", "status": "closed"},
        {"event_slug": "nobody-knows"},
    )  # fmt: skip
    wanted = warehouse.events_to_fetch({"of-tonight", "of-market"})
    assert names(wanted, new=True) == {"of-market", "of-tonight"}
    assert names(wanted, new=False) == {"up", "nobody-knows"}
    assert len(wanted) == 4


def test_when_it_was_asked_last_is_remembered_by_kind_and_what_is_too_old_is_forgotten(on: Any) -> None:
    warehouse = on.open()
    now = utc_now().replace(microsecond=0)
    ago = timedelta(days=on.settings.landing_retention_days + 2)
    for at in (now - ago, now - timedelta(days=1), now, now):
        warehouse.note_asked("events", ["a"], at)
    warehouse.note_asked("events", ["b"], now - ago)
    warehouse.note_asked("markets", ["c", "d"], now)
    warehouse.note_asked("markets", [], now)
    wanted = {one.name: one.asked_at for one in warehouse.events_to_fetch(["a", "b", "c"])}
    assert wanted == {"a": now, "b": None, "c": None}
    kept = on.rows(warehouse, "select kind, name, asked_at from {state}.metadata_asked order by 1, 2, 3")
    assert kept == [
        ("events", "a", now - timedelta(days=1)),
        ("events", "a", now),
        ("markets", "c", now),
        ("markets", "d", now),
    ]
