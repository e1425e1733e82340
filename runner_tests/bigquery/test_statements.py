"""Every statement that the project sends to BigQuery: seen, analysed, repeated, bounded by bare columns, labelled.

One history (`scenario.py`) sends them all; it takes minutes, so one test looks at it from all sides. What
cannot be covered stands in the lists below with its reason, and an entry that covers nothing fails.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runner_tests.bigquery.googlesql import Analyzer
from runner_tests.bigquery.proxy import Proxy
from runner_tests.bigquery.repeats import Exempt, Repeats
from runner_tests.bigquery.running import Emulator
from runner_tests.bigquery.scenario import live
from runner_tests.bigquery.statements import (
    Analysis,
    names_in_runner,
    names_in_source,
    nodes_of_manifest,
    unlabelled,
    wrapped_partition_columns,
)

NOT_SEEN: dict[str, str] = {}
"""Nodes of the manifest and names of the runner's statements that the history does not send, and why."""

A_SCRIPT = r"^if \(select format"
NOT_ANALYSED = {
    A_SCRIPT: "`drop_staging` is a script. Its queries are analysed where they are asked for themselves, as "
    "`staging_state` and `production_state`."
}
"""Regular expressions of statements that the analyzer does not know, and why."""

A_LOG = "A log, of which readers take the newest row or the union: "
LOOKED_UP = "What is there already is looked up before it: "
NOT_REPEATED = [
    Exempt(r"^record_run: ", A_LOG + "done twice as `record_run`."),
    Exempt(r"^record_nodes: ", A_LOG + "the last result of a test in a run counts."),
    Exempt(r"^record_incidents: ", A_LOG + "of an incident the newest event counts."),
    Exempt(r"^record_coverage: ", A_LOG + "done twice as `land`."),
    Exempt(r"^move_checkpoints: ", A_LOG + "done twice as `land`."),
    Exempt(r"^set_checkpoints: ", A_LOG + "done twice as `set_checkpoints`."),
    Exempt(r"^note_rpc_limits: ", A_LOG + "done twice as `note_rpc_limits`."),
    Exempt(r"^note_reconciliation: ", A_LOG + "done twice as `note_reconciliation`."),
    Exempt(r"^note_chain_blocks: ", A_LOG + "done twice as `note_chain_blocks`."),
    Exempt(r"^mark_replayed: ", A_LOG + "done twice as `mark_replayed`."),
    Exempt(r"^inherit_coverage: ", A_LOG + "the adoption of a table, which is done once."),
    Exempt(r"^record_adoption: ", A_LOG + "it ends the adoption, which is done once."),
    Exempt(r"^record_step: ", A_LOG + "of two rows for a month the copy takes the last."),
    Exempt(r"^record_verification: ", A_LOG + "the newest verdict counts."),
    Exempt(r"^(save_staging|drop_snapshot|drop_staging|restore_staging): ", LOOKED_UP + "the table or its snapshot."),
    Exempt(r"^(set_trades_aside|rename_to_trades): ", LOOKED_UP + "which of the names is there."),
    Exempt(r"^keep_rejections: ", LOOKED_UP + "done twice as `land`."),
    Exempt(r"^record_costs: ", LOOKED_UP + "done twice as `collect_costs`."),
    Exempt(
        r"^follow_wallets: ", "`forget_unfollowed_wallets` goes before it: done twice as `change_followed_wallets`."
    ),
    Exempt(r"^reconcile_costs: ", "The emulator lacks the view; it would be the same literals of the proxy again."),
    Exempt(r'"kind": "unit_test"', "It reads no table: the same literals again."),
    Exempt(r'"schema": "anna"', "Views over the marts: they are defined again as they are."),
    Exempt(r"^renew_lease: ", "It reads the clock.", ("expires_at",)),
    Exempt(r"^mon_daily_fills: ", "It reads the clock: each day says when it was counted."),
    Exempt(r"^mon_wallets: ", "It reads the clock: what is of the last two days, and how old the newest fill is."),
    Exempt(r"^checks: ", "The view reads the clock: ages are those of the moment."),
    Exempt(
        r"^pending_batches: .*\bset\s+token = token \+ 1",
        "dbt takes the lease: it reads the clock, and counts.",
        ("token", "acquired_at", "expires_at"),
    ),
    Exempt(r"^batches: .*snapshotted_at", "dbt's source freshness reads the clock.", ("snapshotted_at",)),
    Exempt(
        r"^markets_history: ",
        "dbt's snapshot reads the clock, and makes the id of a version from it.",
        ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"),
    ),
]
"""Statements that are not repeated, or after whose repeat some columns may differ."""

REPEATED_OPERATIONS = {
    "prepare",
    "renew_lease",
    "change_followed_wallets",
    "record_run",
    "land",
    "land after a kill",
    "collect_costs",
    "note_asked",
    "note_rpc_limits",
    "note_chain_blocks",
    "note_reconciliation",
    "mark_replayed",
    "set_checkpoints",
    "release_lease",
}
"""What the lists above speak of, and the rest of what a run does around dbt."""


def test_what_the_project_sends_to_bigquery(emulator: Emulator, tmp_path: Path, subtests: pytest.Subtests) -> None:
    history = live(emulator, Repeats(emulator.url, NOT_REPEATED), tmp_path)
    assert history.failures == []
    sent = [*history.jobs, *history.dry_runs]
    with subtests.test("every node and every statement of the runner is seen, marts in each form"):
        wanted = nodes_of_manifest(history.manifest) + names_in_runner()
        assert {each.name for each in wanted if not each.is_in(sent)} == set(NOT_SEEN)
    with subtests.test("every statement passes the analyzer"):
        analysis = Analysis(history.project_ids, NOT_ANALYSED)
        assert [refused for job in sent if (refused := analysis.refused(job))] == []
        assert analysis.unused == set()
        refused = analysis.error(history.fills_view.replace("condition_id", "condition_ib"))
        assert refused is not None and "condition_ib" in refused
    with subtests.test("a statement sent twice changes nothing the second time"):
        assert history.repeats.differences == []
        assert [exempt.pattern for exempt in NOT_REPEATED if not exempt.used] == []
    with subtests.test("an operation done twice is seen once"):
        assert {each.name: each.twice for each in history.twice} == {each.name: each.once for each in history.twice}
        assert {each.name for each in history.twice} == REPEATED_OPERATIONS
    with subtests.test("no predicate has a function around a partition column"):
        plain = [job.statement for job in sent if not re.search(A_SCRIPT, job.statement)]
        assert [found for statement in plain for found in wrapped_partition_columns(statement)] == []
    with subtests.test("every job has its labels, and every query its limit"):
        assert unlabelled(sent) == []


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (
            "select 1 as x from t where cast(timestamp as date) = '2026-01-26'",
            ["CAST(timestamp AS DATE) = '2026-01-26'"],
        ),
        ("select 1 as x from t where date(landed_on) in ('2026-01-26')", ["date(landed_on) IN ('2026-01-26')"]),
        ("delete from t where x and t.landed_on + 1 > '2026-01-26'", ["t.landed_on + 1 > '2026-01-26'"]),
        (
            "merge into t using s on date(t.timestamp) = s.d and t.k = s.k when matched then update set k = s.k",
            ["date(t.timestamp) = s.d"],
        ),
        ("select 1 as x from t where timestamp >= timestamp '2026-01-26' and (billed_on between '1' and '2')", []),
        ("select date(timestamp) as d from t where landed_on in (select date(timestamp) from s)", []),
    ],
)
def test_the_lint_finds_a_function_around_a_partition_column(sql: str, found: list[str]) -> None:
    assert wrapped_partition_columns(sql) == found


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select tss from `p`.d.t", "Unrecognized name: tss"),
        ("select hash from unnest(@texts) as hash", "Unexpected keyword HASH"),
        ("select ts from `p`.d.t where ts > @since", "Query parameter 'since' not found"),
        ("select ts from `p`.d.t where ts > date '2026-01-26'", "No matching signature for operator >"),
        ("select cast(k as numeric(10, 2)) as k from `p`.d.t", "Parameterized types are not allowed in CAST"),
        ("select k from `p`.d.t; select kk from `p`.d.t", "Unrecognized name: kk"),
        ("create view `p`.d.v as select k as n from `p`.d.t; select k from `p`.d.v", "Unrecognized name: k"),
        ("select cast(k as bigint) as n, text from `p`.d.t, unnest(@texts) as text where ts is not null", None),
        ("begin transaction; delete from `p`.d.t where true; commit transaction", None),
    ],
)
def test_the_analyzer_refuses_what_bigquery_refuses(sql: str, message: str | None) -> None:
    analyzer = Analyzer({"p.d.t": {"ts": "TIMESTAMP", "k": "INT64"}})
    found = analyzer.error(sql, {"texts": "ARRAY<STRING>"})
    assert found is None if message is None else found is not None and message in found


def test_a_repeat_that_changes_something_is_told(emulator: Emulator, proxy: Proxy) -> None:
    repeats = Repeats(emulator.url, [])
    proxy.after_job = repeats
    client = proxy.client(emulator.new_project())
    for sql in (
        "create schema if not exists d",
        "create or replace table d.t as select 1 as k",
        "insert into d.t (k) select 2 as k from (select 1 as one) as once where 2 not in (select k from d.t)",
        "select k from d.t",
    ):
        client.query_and_wait(sql)
    assert (repeats.differences, len(repeats.repeated)) == ([], 4)
    client.query_and_wait("insert into d.t (k) values (3)")
    client.query_and_wait("update d.t set k = k where true")
    changed, rewritten = repeats.differences
    assert "insert into d.t (k) values (3)" in changed and "the repeat wrote 4 rows" in rewritten


def test_a_statement_whose_name_is_made_up_at_run_time_is_refused() -> None:
    source = (
        "def f(self, name):\n    self._query(name, '')\n    self._execute('b', '')\n    self._query('a' + name, '')\n"
    )
    with pytest.raises(AssertionError, match=r"f\.py:4"):
        list(names_in_source(ast.parse(source), "f.py"))
