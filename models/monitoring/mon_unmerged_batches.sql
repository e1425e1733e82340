{{ config(materialized='view') }}

select
    pending.batch_id,
    pending.landing_table,
    pending.mart,
    pending.landed_on
from {{ ref('pending_batches') }} as pending
left join {{ source('state', 'merged_batches') }} as ledger
    on
        pending.batch_id = ledger.batch_id
        and pending.mart = ledger.mart
where ledger.batch_id is null
