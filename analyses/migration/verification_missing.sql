-- Keys that `trades` has to hold and does not.
select
    expected.key_1,
    expected.key_2
from {{ work_table('expected') }} as expected
where
    expected.is_from_staging
    and not exists (
        select 1
        from {{ work_table('actual') }} as actual
        where
            actual.key_1 = expected.key_1
            and actual.key_2 = expected.key_2
    )
