{{ config(materialized='ephemeral') }}

{% set hex_columns = ['id', 'wallet_address', 'tx_hash', 'order_hash', 'condition_id', 'taker'] %}
{% set has_source = 'source' in legacy_columns() %}

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
        coalesce(shares_raw, {{ shares_in_units('shares_normalized') }}) as exact_shares_raw
    from legacy
),

valued as (
    select
        *,
        coalesce(usdc_raw, {{ usdc_in_units('price', 'exact_shares_raw') }}) as exact_usdc_raw,
        {{ presumed_order_hash('order_hash', 'id', 'tx_hash') }} as presumed_order_hash
    from sized
),

keyed as (
    select
        *,
        coalesce(
            presumed_order_hash,
            {{ stand_in_order_hash(
                'wallet_address', 'tx_hash', 'token_id', 'side', 'exact_shares_raw', 'exact_usdc_raw'
            ) }}
        ) as complete_order_hash
    from valued
)

select
    -- as `trades` has them
    keyed.complete_order_hash as id,
    keyed.condition_id,
    keyed.wallet_address,
    keyed.timestamp,
    keyed.side,
    keyed.price,
    keyed.shares_normalized,
    keyed.token_label,
    keyed.token_id,
    keyed.tx_hash,
    keyed.complete_order_hash as order_hash,
    keyed.taker,
    keyed.market_slug,
    keyed.title,
    keyed.exact_shares_raw as shares_raw,
    keyed.exact_usdc_raw as usdc_raw,
    {% if 'taker' in legacy_columns() %}
    case
        when keyed.taker is not null then keyed.taker in (select contract_address from {{ ref('exchange_contracts') }})
    end as is_taker_leg,
    {% else %}
    keyed.is_taker_leg,
    {% endif %}
    case
        when keyed.presumed_order_hash = keyed.order_hash then coalesce(keyed.key_quality, 'exact')
        when keyed.presumed_order_hash is not null then 'repaired'
        else '{{ 'stand_in' if missing_order_hash_policy() == 'distinct' else 'collapsed' }}'
    end as key_quality,
    keyed.log_index,
    keyed.block_number,
    keyed.contract_address,
    keyed.fee_raw,
    keyed.fee_unit,
    coalesce(keyed.source, 'legacy') as source,
    keyed.upstream_version,
    keyed.extra_fields,
    keyed.content_hash,
    keyed.completed_from,

    -- the row itself
    keyed.id as record_id,
    keyed.row_address,
    {{ 'coalesce(ranks.source_rank, 7)' if has_source else '4' }} as source_rank,

    -- the rules that it breaks
    {{ broken_value_rule(
        'keyed.timestamp', 'keyed.token_id', 'keyed.side', 'keyed.price', 'keyed.exact_shares_raw', 'keyed.exact_usdc_raw'
    ) }} as broken_value,
    coalesce(
        {{ broken_key_rule('keyed.wallet_address', 'keyed.tx_hash') }},
        case
            when keyed.presumed_order_hash is not null and not {{ looks_like_hash('keyed.presumed_order_hash') }}
                then 'bad_order_hash'
        end
    ) as broken_key
from keyed
{% if has_source -%}
left join {{ ref('source_ranks') }} as ranks
    on coalesce(keyed.source, 'legacy') = ranks.source
{%- endif %}
