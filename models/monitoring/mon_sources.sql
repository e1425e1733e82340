{{ config(materialized='view') }}

with asked as (
    select
        source,
        count(distinct wallet_address) as wallets,
        max(recorded_at) as asked_at,
        max(case when status = 'complete' then window_end end) as fetched_until
    from {{ source('state', 'coverage') }}
    group by source
),

landed as (
    select
        source,
        max(landed_at) as landed_at
    from {{ source('landing', 'batches') }}
    where landing_table = 'trades'
    group by source
)

select
    coalesce(asked.source, landed.source) as source,
    asked.wallets,
    asked.asked_at,
    asked.fetched_until,
    landed.landed_at
from asked
full outer join landed on asked.source = landed.source
