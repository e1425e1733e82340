"""Promise: one writer of production at a time; the second is told who is first, and a dead one keeps nobody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from runner.engine.writer import writing
from runner.errors import HeldBack
from runner.warehouse.protocol import Warehouse
from runner_tests.night import Night, Notes


def expire(place: Any, warehouse: Warehouse) -> None:
    """As if the holder had not renewed it for long."""
    place.rows(warehouse, "update {state}.lease set expires_at = timestamp '2026-01-01 00:00:00+00' where true")


def pretend(place: Any, warehouse: Warehouse, pid: int, host: str | None = None) -> None:
    """As if another process held it."""
    change = f"pid = {pid}" + (f", host = '{host}'" if host else "")
    place.rows(warehouse, f"update {{state}}.lease set {change} where true")


def test_the_second_writer_is_told_who_is_first(on: Any) -> None:
    first, second = on.open(), on.open()
    assert first.acquire_lease("run-1", "polytrades sync (run run-1)", 10) is None
    with pytest.raises(HeldBack, match=r"held by polytrades sync \(run run-1\) since .*Nothing was changed"):
        second.acquire_lease("run-2", "polytrades import (run run-2)", 10)
    first.release_lease()
    assert second.acquire_lease("run-2", "polytrades import (run run-2)", 10) is None
    holder = second.lease()
    assert holder is not None
    assert (holder.run_id, holder.pid, holder.token) == ("run-2", os.getpid(), 2)


def test_who_cannot_learn_whether_it_got_the_lease_keeps_nobody_waiting(bigquery: Any) -> None:
    bigquery.proxy.fault("quotaExceeded", label="model=read_lease", nth=2)
    with pytest.raises(HeldBack, match="met a quota"):
        bigquery.open().acquire_lease("run-1", "polytrades sync (run run-1)", 10)
    bigquery.proxy.clear_faults()
    assert bigquery.open().acquire_lease("run-2", "polytrades sync (run run-2)", 10) is None


def test_of_several_that_ask_at_once_one_gets_it(on: Any) -> None:
    got: list[str] = []
    told: list[str] = []
    start = threading.Barrier(4)

    def ask(name: str) -> None:
        warehouse = on.open()
        start.wait()
        try:
            warehouse.acquire_lease(name, name, 10)
            got.append(name)
        except HeldBack as held:
            told.append(str(held))

    threads = [threading.Thread(target=ask, args=(f"run-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1, (got, told)
    assert len(told) == 3
    holder = on.open().lease()
    assert holder is not None
    assert holder.run_id == got[0]


def test_an_expired_lease_is_taken_over_and_the_old_holder_can_neither_renew_nor_free_it(on: Any) -> None:
    first, second = on.open(), on.open()
    first.acquire_lease("run-1", "a test", 10)
    assert first.renew_lease(10)
    expire(on, first)
    assert second.acquire_lease("run-2", "another test", 10) == "run-1"
    assert not first.renew_lease(10)
    first.release_lease()
    holder = second.lease()
    assert holder is not None
    assert holder.run_id == "run-2"


def test_a_process_of_this_machine_that_is_gone_keeps_nobody_waiting(on: Any) -> None:
    first, second = on.open(), on.open()
    first.acquire_lease("run-1", "a test", 10)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pretend(on, first, gone.pid)
    assert second.acquire_lease("run-2", "another test", 10) == "run-1"


def test_a_process_of_another_machine_is_waited_for(on: Any) -> None:
    first, second = on.open(), on.open()
    first.acquire_lease("run-1", "a test", 10)
    pretend(on, first, 999_999, "elsewhere")
    with pytest.raises(HeldBack):
        second.acquire_lease("run-2", "another test", 10)


def test_a_lease_is_renewed_while_its_holder_works(bigquery: Any) -> None:
    """Renewed by a thread of its own every third of its time; here a time of three seconds."""
    warehouse = bigquery.open()
    warehouse.names_jobs("test", "run-1")
    warehouse.acquire_lease("run-1", "a test", 0.05)
    before = warehouse.lease()
    with warehouse.keeping_lease(0.05):
        for _ in range(200):
            threading.Event().wait(0.1)
            after = warehouse.lease()
            if after.expires_at != before.expires_at:
                break
    renewals = [job for job in bigquery.proxy.jobs if job.labels.get("model") == "renew_lease"]
    assert renewals
    assert renewals[0].labels["run_id"] == "run-1"


def test_a_job_that_a_dead_run_left_is_waited_for_then_ended_before_anything_is_written(bigquery: Any) -> None:
    """Dbt was killed with its run; its statement works on in BigQuery."""
    dead = bigquery.open()
    dead.names_jobs("sync", "run-1")
    dead.acquire_lease("run-1", "a test", 10)
    bigquery.proxy.fault("slow", label="model=orphan", seconds=3)
    dead.jobs._client.query("select 1", job_config=dead.jobs._config("orphan", {}))  # sent, and nobody waits for it
    expire(bigquery, dead)
    notes = Notes()
    with writing(bigquery.settings, bigquery.open(), "sync", "run-2", notes):
        assert bigquery.open().jobs.working("run-1") == []
    assert notes.lines[0] == "The lease was taken over from run-1, which did not end properly."


def test_a_run_that_fails_gives_the_lease_back(on: Any) -> None:
    with pytest.raises(HeldBack, match="on purpose"), writing(on.settings, on.open(), "sync", "run-1", Notes()):
        raise HeldBack("on purpose")
    Night(1).run(on.settings, on.spool, "run-2")
    assert Night(1).what_stands(on.open()) == Night(1).expected
