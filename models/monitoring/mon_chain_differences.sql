{{ config(materialized='view') }}

{% set newest = newest_reconciliation() %}

-- What the newest reconciliation found and what still holds of it: fills under one key are compared together, by their
-- number and their sums. An amount that an API's price was rounded from may be one unit off for each fill.
-- depends_on: {{ ref('fills') }}
{% if newest %}

with compared_wallets as (
    select wallet_address
    from {{ source('state', 'reconciliations') }}
    where run_id = '{{ newest.run_id }}'
),

told as (
    select
        told.source,
        told.wallet_address,
        told.tx_hash,
        told.order_hash,
        told.traded_at as filled_at,
        coalesce(told.shares_raw, {{ try_cast_to('round(told.shares_normalized * 1000000)', 'bigint') }}) as shares_raw,
        coalesce(told.usdc_raw, {{ try_cast_to('round(told.price * told.shares_raw)', 'bigint') }}) as usdc_raw,
        told.log_index
    from {{ source('landing', 'reconciled_fills') }} as told
    inner join {{ source('landing', 'batches') }} as batches
        on told.batch_id = batches.batch_id
    where
        told.landed_on in (
            {%- for day in newest.landed_on or ['1970-01-01'] %}date '{{ day }}'{{ ', ' if not loop.last }}{% endfor -%}
        )
        and batches.run_id = '{{ newest.run_id }}'
),

-- A fill that a node or an API gives twice is one fill.
chain as (
    select distinct
        wallet_address,
        tx_hash,
        order_hash,
        filled_at,
        shares_raw,
        usdc_raw,
        log_index
    from told
    where source = 'polygon'
),

theirs as (
    {% if newest.compared == 'trades' %}
    select
        fills.wallet_address,
        fills.tx_hash,
        fills.order_hash,
        fills.timestamp as filled_at,
        fills.shares_raw,
        fills.usdc_raw,
        fills.log_index
    from {{ ref('fills') }} as fills
    inner join compared_wallets
        on fills.wallet_address = compared_wallets.wallet_address
    where
        fills.timestamp >= {{ instant_literal(newest.since) }}
        and fills.timestamp < {{ instant_literal(newest.before) }}
    {% else %}
    select distinct
        wallet_address,
        tx_hash,
        order_hash,
        filled_at,
        shares_raw,
        usdc_raw,
        log_index
    from told
    where source = '{{ newest.compared }}'
    {% endif %}
),

chain_keys as (
    select
        wallet_address,
        tx_hash,
        order_hash,
        min(filled_at) as filled_at,
        count(*) as fill_count,
        sum(shares_raw) as shares_raw,
        sum(usdc_raw) as usdc_raw
    from chain
    group by wallet_address, tx_hash, order_hash
),

their_keys as (
    select
        wallet_address,
        tx_hash,
        order_hash,
        min(filled_at) as filled_at,
        count(*) as fill_count,
        sum(shares_raw) as shares_raw,
        sum(usdc_raw) as usdc_raw
    from theirs
    group by wallet_address, tx_hash, order_hash
)

select
    coalesce(chain_keys.wallet_address, their_keys.wallet_address) as wallet_address,
    {{ utc_day('coalesce(chain_keys.filled_at, their_keys.filled_at)') }} as filled_on,
    coalesce(chain_keys.tx_hash, their_keys.tx_hash) as tx_hash,
    coalesce(chain_keys.order_hash, their_keys.order_hash) as order_hash,
    case
        when their_keys.tx_hash is null then 'missing'
        when chain_keys.tx_hash is null then 'extra'
        else 'different'
    end as difference,
    chain_keys.fill_count as chain_fills,
    their_keys.fill_count as their_fills,
    chain_keys.shares_raw as chain_shares_raw,
    their_keys.shares_raw as their_shares_raw,
    chain_keys.usdc_raw as chain_usdc_raw,
    their_keys.usdc_raw as their_usdc_raw,
    '{{ newest.compared }}' as compared,
    '{{ newest.run_id }}' as run_id
from chain_keys
full outer join their_keys
    on
        chain_keys.wallet_address = their_keys.wallet_address
        and chain_keys.tx_hash = their_keys.tx_hash
        and chain_keys.order_hash = their_keys.order_hash
where
    chain_keys.tx_hash is null
    or their_keys.tx_hash is null
    or chain_keys.fill_count <> their_keys.fill_count
    or chain_keys.shares_raw <> their_keys.shares_raw
    or abs(chain_keys.usdc_raw - their_keys.usdc_raw) > chain_keys.fill_count

{% else %}

select
    wallet_address,
    {{ utc_day('timestamp') }} as filled_on,
    tx_hash,
    order_hash,
    side as difference,
    shares_raw as chain_fills,
    shares_raw as their_fills,
    shares_raw as chain_shares_raw,
    shares_raw as their_shares_raw,
    usdc_raw as chain_usdc_raw,
    usdc_raw as their_usdc_raw,
    source as compared,
    source as run_id
from {{ ref('fills') }}
where false

{% endif %}
