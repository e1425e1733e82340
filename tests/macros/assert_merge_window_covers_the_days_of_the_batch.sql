-- The window of a merge, as text: neighbouring days become one range, far ones stay apart, the slack stands on both
-- sides, and an empty batch touches nothing.
{% set cases = [
    (['2026-01-26'], 0, '2026-01-26..2026-01-27'),
    (['2026-01-26'], 1, '2026-01-25..2026-01-28'),
    (['2026-01-27', '2026-01-26', '2026-01-26'], 0, '2026-01-26..2026-01-28'),
    (['2026-01-26', '2026-01-29'], 1, '2026-01-25..2026-01-31'),
    (['2026-01-26', '2026-01-30'], 1, '2026-01-25..2026-01-28 2026-01-29..2026-02-01'),
    (['2024-02-29', '2025-12-31'], 1, '2024-02-28..2024-03-02 2025-12-30..2026-01-02'),
    ([], 1, ''),
] %}

with cases as (
    {% for days, slack, expected in cases %}
    {% set found = [] %}
    {% for range in day_ranges(days, slack) %}
    {% do found.append(range.since ~ '..' ~ range.before) %}
    {% endfor %}
    select
        '{{ days | join(", ") }}' as days,
        '{{ found | join(" ") }}' as found,
        '{{ expected }}' as expected
    union all
    {% endfor %}
    select
        'no day at all' as days,
        '{{ window_predicate([], "timestamp") }}' as found,
        'false' as expected
    union all
    select
        'one day as a predicate' as days,
        '{{ window_predicate(day_ranges(["2026-01-26"], 0), "t.timestamp") | replace("'", "") | replace("timestamptz ", "") | replace("timestamp 2", "2") }}' as found,  -- noqa: LT05
        '(t.timestamp >= 2026-01-26 00:00:00+00 and t.timestamp < 2026-01-27 00:00:00+00)' as expected
)

select * from cases
where found <> expected
