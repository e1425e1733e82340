"""The rule by which statements are priced, on a catalog that is written down here."""

from __future__ import annotations

import pytest

from runner_tests.bigquery.bytes_rule import Key, Partition, Table, estimate, written

DAYS = ("20260101", "20260102", "20260103")
JANUARY_2 = "ts >= timestamp '2026-01-02 00:00:00+00' and ts < timestamp '2026-01-03 00:00:00+00'"


class Written:
    """`d.t`: three days of ten rows, columns of 1, 10 and 100 bytes a row; `d.s` the same without partitions."""

    def table(self, key: Key) -> Table | None:
        """One of them."""
        sizes = {"ts": 10, "k": 100, "v": 1000}
        return {
            "t": Table(tuple(sizes), {day: Partition(10, sizes) for day in DAYS}, "ts"),
            "s": Table(tuple(sizes), {"": Partition(10, sizes)}),
            "all_of_t": Table(("ts", "k", "doubled"), view="select ts, k, v * 2 as doubled from `p.d.t`"),
            "numbered": Table(("ts", "n"), view="select ts, row_number() over (order by k) as n from `p.d.t`"),
        }.get(key[2])


def priced(sql: str, **more: object) -> int:
    return estimate(sql, "p", "d", Written(), **more)  # type: ignore[arg-type]


DAY, ALL = 1110, 3330


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from t", ALL),
        ("select k from t", 300),
        ("select count(*) from t", 0),
        ("select a.k from t as a where a.v > 1", 3300),
        ("select * except (v) from t", 330),
        ("select to_json_string(a) from t as a", ALL),
        ("select x.k from t as x join t as y on x.k = y.v", 3300),
        ("select k from (select * from t)", 300),
        ("with c as (select * from t) select k from c order by v", 3300),
        ("select k from all_of_t", 300),
        ("select doubled from all_of_t", 3000),
        ("select k from s where exists (select 1 from t where t.k = s.v)", 1100 + 300),
        ("select ts from t union all select k from s", 30 + 100),
        ("select 1; select k from t; select v from s", 300 + 1000),
        ("create table d.n as select k from t", 300),
        ("insert into d.s (ts, k) select ts, k from t", 330),
        ("update d.s set k = 'x' where v = 1", DAY),
        ("delete from d.t where true", ALL),
        ("select * from nowhere", 0),
        ("drop table d.t", 0),
    ],
)
def test_columns_that_are_mentioned_count(sql: str, expected: int) -> None:
    assert priced(sql) == expected


@pytest.mark.parametrize(
    ("where", "days"),
    [
        (JANUARY_2, 1),
        ("ts >= timestamp '2026-01-02'", 2),
        ("ts > timestamp '2026-01-02 12:00:00' and k > 1", 2),
        ("timestamp '2026-01-02' > ts", 1),
        ("ts = timestamp '2026-01-02 05:00:00+00'", 1),
        ("ts between timestamp '2026-01-02' and timestamp '2026-01-03'", 2),
        ("ts in (timestamp '2026-01-01 01:00:00', timestamp '2026-01-03 01:00:00')", 2),
        ("(ts >= timestamp '2026-01-03') or (ts < timestamp '2026-01-02')", 2),
        ("(ts >= timestamp '2026-01-03') or k = 1", 3),
        ("false", 0),
        ("cast(ts as date) = date '2026-01-02'", 3),
        ("date(ts) = date '2026-01-02'", 3),
        ("ts >= (select max(ts) from s)", 3),
        ("ts >= timestamp_sub(current_timestamp(), interval 1 day)", 3),
        ("not ts >= timestamp '2026-01-03'", 3),
        ("ts is null", 3),
        ("k >= timestamp '2026-01-03'", 3),
    ],
)
def test_only_literals_beside_the_bare_column_exclude_partitions(where: str, days: int) -> None:
    from_s = 10 if "from s" in where else 0
    assert priced(f"delete from d.t where {where}") == days * DAY + from_s


@pytest.mark.parametrize(
    ("sql", "days"),
    [
        (f"select ts, k, v from (select * from t) where {JANUARY_2}", 1),
        (f"with c as (select ts, k, v from t) select * from c where {JANUARY_2}", 1),
        (f"select * from t as a left join s as b using (k) where a.{JANUARY_2.replace('and ts', 'and a.ts')}", None),
        (f"select ts, sum(v), max(k) from t group by ts having max(v) > 1 and {JANUARY_2}", 3),
        (f"select * from (select ts, sum(v), max(k) from t group by ts) where {JANUARY_2}", 1),
        (f"select * from (select * from t limit 5) where {JANUARY_2}", 3),
        (f"select * from (select *, row_number() over (order by k) as n from t) where {JANUARY_2}", 3),
        (f"select * from (select timestamp_trunc(ts, hour) as ts, k, v from t) where {JANUARY_2}", 3),
        (f"select * from (select * from t union all select * from t) where {JANUARY_2}", 1),
    ],
)
def test_a_predicate_reaches_the_table_through_bare_columns(sql: str, days: int | None) -> None:
    assert priced(sql) == (2 * DAY if days is None else days * DAY)


def test_a_view_is_pruned_like_its_table() -> None:
    assert priced(f"select k from all_of_t where {JANUARY_2}") == 110
    assert priced(f"select n from numbered where {JANUARY_2}") == 330


MERGE = """
merge into `p`.`d`.`t` as a using (select ts, k, v from s) as b on {window} a.k = b.k
when matched and a.v is distinct from b.v then update set v = b.v
when not matched then insert (ts, k, v) values (b.ts, b.k, b.v)
"""


def test_a_merge_reads_the_days_of_its_window() -> None:
    window = "(a.ts >= timestamp '2026-01-02' and a.ts < timestamp '2026-01-03') and"
    assert priced(MERGE.format(window="")) == ALL + DAY
    assert priced(MERGE.format(window=window)) == DAY + DAY
    assert priced(MERGE.format(window="a.ts >= (select min(ts) from s) and")) == ALL + DAY
    assert priced(MERGE.format(window="false and")) == DAY
    assert priced(MERGE.format(window=window) + "when not matched by source then delete") == ALL + DAY


def test_a_parameter_is_the_literal_it_carries_and_each_table_has_a_minimum() -> None:
    assert priced("select k from t where ts >= @since", parameters={"since": "2026-01-03T00:00:00Z"}) == 110
    assert priced("select t.k from t join s using (k)", minimum_per_table=10_000) == 20_000


def test_what_a_statement_writes() -> None:
    assert written("select 1", "p", "d") == set()
    assert written("insert into t (k) select k from s; drop table x.y", "p", "d") == {("p", "d", "t"), ("p", "x", "y")}
    assert written(MERGE.format(window=""), "p", "d") == {("p", "d", "t")}
    assert written("call something()", "p", "d") is None
