-- The manifest says how many rows a batch has. If they are not all found (another day in the manifest than in the rows,
-- rows deleted too early), nothing after int_trades_batched is built, and the batch stays pending.
-- depends_on: {{ ref('int_trades_batched') }}
with expected as (
    select distinct
        batches.batch_id,
        batches.row_count
    from {{ source('landing', 'batches') }} as batches
    inner join {{ ref('pending_batches') }} as pending
        on batches.batch_id = pending.batch_id
    where batches.landing_table = 'trades'
),

found as (
    select
        batch_id,
        count(*) as row_count
    from {{ source('landing', 'trades') }}
    where {{ in_pending_batches('trades') }}
    group by batch_id
)

select
    expected.batch_id,
    expected.row_count as rows_in_manifest,
    coalesce(found.row_count, 0) as rows_found
from expected
left join found
    on expected.batch_id = found.batch_id
where expected.row_count <> coalesce(found.row_count, 0)
