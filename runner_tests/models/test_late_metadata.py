"""Promise: a fill that came before its market was known gets its facts when the market is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runner_tests.compiled import MERGES, Compiled, Record

CONDITION = "0x" + "c" * 64
FACTS = ("condition_id", "token_label", "market_slug", "title")


def facts(project: Compiled) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in FACTS) for row in project.rows("trades")]


def waiting(project: Compiled) -> list[str]:
    return [row["missing"] for row in project.rows("awaiting_metadata")]


def test_late_facts_reach_an_old_fill(project: Compiled) -> None:
    project.land([Record(condition_id=CONDITION), Record(order_hash="0x" + "3" * 64, token_id="2")])
    project.build()
    assert sorted(waiting(project)) == ["condition_id token_label market_slug title", "token_label market_slug title"]

    project.know_market(CONDITION, "1", "2", "Rain")
    assert project.build()["trades"] == 2
    assert facts(project) == [(CONDITION, "Yes", "rain", "Rain"), (CONDITION, "No", "rain", "Rain")]
    assert waiting(project) == []
    assert project.build() == dict.fromkeys(MERGES, 0)


def test_a_record_of_the_fill_wins_over_the_market(project: Compiled) -> None:
    project.land([Record(condition_id=CONDITION, title="Said by the record")])
    project.build()
    project.know_market(CONDITION, "1", "2", "Rain")
    project.build()
    assert facts(project) == [(CONDITION, "Yes", "rain", "Said by the record")]

    project.land([Record(condition_id=CONDITION, title="Said by the record", market_slug="its-own")])
    project.build()
    assert facts(project) == [(CONDITION, "Yes", "its-own", "Said by the record")]


def test_a_fill_waits_on_where_the_market_does_not_know_either(project: Compiled) -> None:
    project.land([Record(condition_id=CONDITION, token_id="3")])
    project.build()
    project.know_market(CONDITION, "1", "2", "Rain")
    project.build()
    assert facts(project) == [(CONDITION, None, "rain", "Rain")]
    assert waiting(project) == ["token_label"]
    assert project.build() == dict.fromkeys(MERGES, 0)


def test_a_fill_that_is_gone_waits_no_more(project: Compiled) -> None:
    stand_in = Record(order_hash=None)
    project.land([stand_in])
    project.build()
    assert len(waiting(project)) == 1
    project.land([Record(condition_id=CONDITION, token_label="Yes", market_slug="rain", title="Rain")])
    project.build()
    assert waiting(project) == []


def test_a_build_completes_the_newest_days_first(project: Compiled) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = [first + timedelta(days=number) for number in range(40)]
    project.land([Record(tx_hash=f"0x{number:064x}", traded_at=day) for number, day in enumerate(days)])
    project.build()
    project.know_market(CONDITION, "1", "2", "Rain")
    project.build()
    completed = [row["timestamp"] for row in project.rows("trades") if row["title"]]
    assert sorted(completed) == days[-30:]
    project.build()
    assert waiting(project) == []
