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
        told.*,
        coalesce(told.shares_raw, {{ shares_in_units('told.shares_normalized') }}) as exact_shares_raw
    from {{ source('landing', 'reconciled_fills') }} as told
    inner join {{ source('landing', 'batches') }} as batches
        on told.batch_id = batches.batch_id
    where
        told.landed_on in (
            {%- for day in newest.landed_on or ['1970-01-01'] %}date '{{ day }}'{{ ', ' if not loop.last }}{% endfor -%}
        )
        and batches.run_id = '{{ newest.run_id }}'
),

valued as (
    select
        *,
        coalesce(usdc_raw, {{ usdc_in_units('price', 'exact_shares_raw') }}) as exact_usdc_raw
    from told
),

-- Under the key that the fill has in `trades`. A fill that a source gives twice is one fill.
keyed as (
    select distinct
        source,
        {{ hex_key('wallet_address') }} as wallet_address,
        {{ hex_key('tx_hash') }} as tx_hash,
        coalesce(
            {{ repaired_order_hash('order_hash', 'record_id', 'tx_hash') }},
            {{ stand_in_order_hash(
                hex_key('wallet_address'), hex_key('tx_hash'), 'token_id', 'side', 'exact_shares_raw', 'exact_usdc_raw'
            ) }}
        ) as order_hash,
        traded_at as filled_at,
        exact_shares_raw as shares_raw,
        exact_usdc_raw as usdc_raw,
        log_index
    from valued
),

their_fills as (
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
        {% if newest.wallets %}
        -- As literals too, by which BigQuery leaves out what is clustered elsewhere.
        and fills.wallet_address in ('{{ newest.wallets | join("', '") }}')
        {% endif %}
    {% else %}
    select
        wallet_address,
        tx_hash,
        order_hash,
        filled_at,
        shares_raw,
        usdc_raw,
        log_index
    from keyed
    where source = '{{ newest.compared }}'
    {% endif %}
),

source_fills as (
    select *
    from keyed
    where source = '{{ newest.source }}'
),

{% for side in ['source', 'their'] %}
{{ side }}_keys as (
    select
        wallet_address,
        tx_hash,
        order_hash,
        min(filled_at) as filled_at,
        count(*) as fill_count,
        sum(shares_raw) as shares_raw,
        sum(usdc_raw) as usdc_raw
    from {{ side }}_fills
    group by wallet_address, tx_hash, order_hash
){{ ',' if not loop.last }}
{% endfor %}

select
    coalesce(source_keys.wallet_address, their_keys.wallet_address) as wallet_address,
    {{ utc_day('coalesce(source_keys.filled_at, their_keys.filled_at)') }} as filled_on,
    coalesce(source_keys.tx_hash, their_keys.tx_hash) as tx_hash,
    coalesce(source_keys.order_hash, their_keys.order_hash) as order_hash,
    case
        when their_keys.tx_hash is null then 'missing'
        when source_keys.tx_hash is null then 'extra'
        else 'different'
    end as difference,
    source_keys.fill_count as source_fills,
    their_keys.fill_count as their_fills,
    source_keys.shares_raw as source_shares_raw,
    their_keys.shares_raw as their_shares_raw,
    source_keys.usdc_raw as source_usdc_raw,
    their_keys.usdc_raw as their_usdc_raw,
    '{{ newest.source }}' as source,
    '{{ newest.compared }}' as compared,
    '{{ newest.run_id }}' as run_id
from source_keys
full outer join their_keys
    on
        source_keys.wallet_address = their_keys.wallet_address
        and source_keys.tx_hash = their_keys.tx_hash
        and source_keys.order_hash = their_keys.order_hash
where
    source_keys.tx_hash is null
    or their_keys.tx_hash is null
    or source_keys.fill_count <> their_keys.fill_count
    or source_keys.shares_raw <> their_keys.shares_raw
    or abs(source_keys.usdc_raw - their_keys.usdc_raw) > source_keys.fill_count

{% else %}

select
    wallet_address,
    {{ utc_day('timestamp') }} as filled_on,
    tx_hash,
    order_hash,
    side as difference,
    shares_raw as source_fills,
    shares_raw as their_fills,
    shares_raw as source_shares_raw,
    shares_raw as their_shares_raw,
    usdc_raw as source_usdc_raw,
    usdc_raw as their_usdc_raw,
    source,
    source as compared,
    source as run_id
from {{ ref('fills') }}
where false

{% endif %}
