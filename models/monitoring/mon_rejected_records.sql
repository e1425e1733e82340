{{ config(materialized='view') }}

-- What the runner rejected and has not let in since, and what another writer put into landing past its checks.
with replayed as (
    select distinct record_hash from {{ source('state', 'replayed_records') }}
),

rejected as (
    select kept.*
    from {{ source('landing', 'rejected_records') }} as kept
    left join replayed on kept.record_hash = replayed.record_hash
    where replayed.record_hash is null
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
