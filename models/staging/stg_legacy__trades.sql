{{ config(materialized='ephemeral') }}

{% set given = [
    'id', 'order_hash', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
    'token_id', 'tx_hash', 'taker', 'market_slug', 'title', 'shares_raw', 'usdc_raw', 'is_taker_leg', 'key_quality', 'source'
] %}
{% set hex_columns = ['id', 'wallet_address', 'tx_hash', 'order_hash', 'condition_id', 'taker'] %}

with legacy as (
    select
        {% for column in legacy_types() %}
        {{ hex_key(legacy_value(column)) if column in hex_columns else legacy_value(column) }} as {{ column }},
        {% endfor %}
        {{ legacy_row_address() }} as row_address
    from {{ legacy_relation() }} as staging
),

sized as (
    select
        *,
        {{ shares_in_units('shares_normalized') }} as shares_raw
    from legacy
),

valued as (
    select
        *,
        {{ usdc_in_units('price', 'shares_raw') }} as usdc_raw,
        {{ presumed_order_hash('order_hash', 'id', 'tx_hash') }} as presumed_order_hash
    from sized
),

keyed as (
    select
        *,
        coalesce(
            presumed_order_hash,
            {{ stand_in_order_hash('wallet_address', 'tx_hash', 'token_id', 'side', 'shares_raw', 'usdc_raw') }}
        ) as complete_order_hash
    from valued
)

select
    -- as `trades` has them
    complete_order_hash as id,
    condition_id,
    wallet_address,
    timestamp,
    side,
    price,
    shares_normalized,
    token_label,
    token_id,
    tx_hash,
    complete_order_hash as order_hash,
    taker,
    market_slug,
    title,
    shares_raw,
    usdc_raw,
    {% if legacy_columns().get('taker') %}
    case
        when taker is not null then taker in (select contract_address from {{ ref('exchange_contracts') }})
    end as is_taker_leg,
    {% else %}
    cast(null as {{ column_type('boolean') }}) as is_taker_leg,
    {% endif %}
    case
        when presumed_order_hash = order_hash then 'exact'
        when presumed_order_hash is not null then 'repaired'
        else '{{ 'stand_in' if missing_order_hash_policy() == 'distinct' else 'collapsed' }}'
    end as key_quality,
    'legacy' as source,
    {% for column in contract_columns('trades') if column.name not in given %}
    cast(null as {{ column.data_type }}) as {{ column.name }},
    {% endfor %}

    -- the row itself
    id as record_id,
    row_address,

    -- the rules that it breaks
    {{ broken_value_rule('timestamp', 'token_id', 'side', 'price', 'shares_raw', 'usdc_raw') }} as broken_value,
    coalesce(
        {{ broken_key_rule('wallet_address', 'tx_hash') }},
        case
            when presumed_order_hash is not null and not {{ looks_like_hash('presumed_order_hash') }}
                then 'bad_order_hash'
        end
    ) as broken_key
from keyed
