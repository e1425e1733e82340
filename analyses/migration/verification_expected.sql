-- What `trades` has to hold, as hashes: what stood there before the copy, and of every other key of the staging table
-- the newest row.
with before as (
    select * from {{ work_table('before') }}
)

select
    key_1,
    key_2,
    pair,
    content_1,
    content_2,
    {{ utc_month('timestamp') }} as month,
    false as is_from_staging
from before
union all
select
    newest.key_1,
    newest.key_2,
    newest.pair,
    newest.content_1,
    newest.content_2,
    {{ utc_month('newest.timestamp') }} as month,
    true as is_from_staging
from {{ work_table('newest') }} as newest
where not exists (
    select 1
    from before
    where
        before.key_1 = newest.key_1
        and before.key_2 = newest.key_2
)
