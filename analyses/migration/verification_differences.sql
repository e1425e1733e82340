-- Within the months that differ: each key of which the two sides have other rows.
with expected as (
    select
        expected.key_1,
        expected.key_2,
        count(*) as copies,
        min(expected.content_1) as content_1,
        min(expected.content_2) as content_2,
        min(expected.month) as month
    from {{ work_table('expected') }} as expected
    where
        not exists (
            select 1
            from {{ work_table('excused') }} as excused
            where
                excused.key_1 = expected.key_1
                and excused.key_2 = expected.key_2
        )
        and expected.pair not in (select since.pair from {{ work_table('since') }} as since)
    group by expected.key_1, expected.key_2
),

actual as (
    select
        actual.key_1,
        actual.key_2,
        count(*) as copies,
        min(actual.content_1) as content_1,
        max(actual.content_1) as greatest_content_1,
        min(actual.content_2) as content_2,
        min(actual.month) as month
    from {{ work_table('actual') }} as actual
    where actual.pair not in (select since.pair from {{ work_table('since') }} as since)
    group by actual.key_1, actual.key_2
)

select
    coalesce(expected.key_1, actual.key_1) as key_1,
    coalesce(expected.key_2, actual.key_2) as key_2,
    case
        when actual.key_1 is null then 'lost'
        when expected.key_1 is null then 'unknown'
        when actual.copies > 1 then 'doubled'
        else 'changed'
    end as kind,
    coalesce(expected.month, actual.month) as month,
    coalesce(actual.copies, 0) as copies
from expected
full outer join actual
    on
        expected.key_1 = actual.key_1
        and expected.key_2 = actual.key_2
where
    actual.key_1 is null
    or expected.key_1 is null
    or actual.copies <> expected.copies
    or actual.content_1 <> expected.content_1
    or actual.content_2 <> expected.content_2
    or actual.greatest_content_1 <> expected.content_1
