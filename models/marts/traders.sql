{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key='wallet_address',
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook='{{ record_merged_batches() }}',
    meta={'merge': {}},
    **table_layout(cluster_by=['wallet_address'])
) }}

{% if is_production() %}

-- From all records, not from those that win: first and last times only widen, whatever comes in which order and how
-- often. Counts would not have that property.
{% set stored = production_relation('traders') %}

with followed as (
    select * from {{ source('state', 'followed_wallets') }}
),

records as (
    select * from {{ ref('int_trades_batched') }}
),

exchanges as (
    select * from {{ ref('exchange_contracts') }}
),

seen as (
    select
        wallet_address,
        timestamp as fill_at,
        timestamp as seen_at
    from records
    union all
    -- The other side of a maker's fill is a wallet too; the other side of a taker's is the exchange.
    select
        taker as wallet_address,
        cast(null as {{ column_type('timestamp') }}) as fill_at,
        timestamp as seen_at
    from records
    where
        taker is not null
        and taker not in (select exchanges.contract_address from exchanges)
    union all
    select
        wallet_address,
        cast(null as {{ column_type('timestamp') }}) as fill_at,
        cast(null as {{ column_type('timestamp') }}) as seen_at
    from followed
),

batch as (
    select
        wallet_address,
        min(fill_at) as first_fill_at,
        max(fill_at) as last_fill_at,
        min(seen_at) as first_seen_at,
        max(seen_at) as last_seen_at
    from seen
    group by wallet_address
){% if stored %},

known as (
    select
        wallet_address,
        first_fill_at,
        last_fill_at,
        first_seen_at,
        last_seen_at
    from {{ stored }}
    where wallet_address in (select wallet_address from batch)
){% endif %},

widened as (
    select * from batch
    {% if stored %}
        union all
        select * from known
    {% endif %}
),

folded as (
    select
        wallet_address,
        min(first_fill_at) as first_fill_at,
        max(last_fill_at) as last_fill_at,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from widened
    group by wallet_address
)

select
    folded.wallet_address,
    coalesce(followed.followed_from is not null and followed.followed_until is null, false) as is_followed,
    folded.first_fill_at,
    folded.last_fill_at,
    folded.first_seen_at,
    folded.last_seen_at
from folded
left join followed
    on folded.wallet_address = followed.wallet_address
where {{ if_built_from_pending_batches() }}

{% else %}

{{ select_from_production('traders') }}

{% endif %}
