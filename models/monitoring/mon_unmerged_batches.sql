{{ config(materialized='view') }}

with fed_marts as (
    {{ fed_marts_as_rows() }}
)

select
    batches.batch_id,
    batches.landing_table,
    fed_marts.mart,
    batches.row_count,
    batches.landed_at,
    batches.landed_on
from {{ source('landing', 'batches') }} as batches
inner join fed_marts on batches.landing_table = fed_marts.landing_table
left join {{ source('state', 'merged_batches') }} as ledger
    on
        batches.batch_id = ledger.batch_id
        and fed_marts.mart = ledger.mart
where ledger.batch_id is null
