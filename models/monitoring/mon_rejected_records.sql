{{ config(materialized='view') }}

-- What the runner rejected and has not let in since, and what another writer put into landing past its checks.
with rejected as (
    select * from {{ source('landing', 'rejected_records') }}
    where record_hash not in (select record_hash from {{ source('state', 'replayed_records') }})
),

landed as (
    select * from {{ ref('stg_landing__trades') }}
    where broken_rule is not null
)

select
    reason,
    detail,
    record,
    origin,
    source,
    landed_at
from rejected
union all
select
    broken_rule as reason,
    'found in landing.trades: the row was not written by the runner' as detail,
    cast(null as {{ column_type('string') }}) as record,
    batch_id as origin,
    source,
    landed_at
from landed
