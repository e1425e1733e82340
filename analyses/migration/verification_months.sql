-- Both sides by month: rows and the sums of two hashes. Left out on both: transactions that have come since.
with expected as (
    select expected.*
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
),

actual as (
    select actual.*
    from {{ work_table('actual') }} as actual
    where actual.pair not in (select since.pair from {{ work_table('since') }} as since)
)

select
    'expected' as side,
    month,
    {{ multiset_sums() }}
from expected
group by month
union all
select
    'actual' as side,
    month,
    {{ multiset_sums() }}
from actual
group by month
order by side, month
