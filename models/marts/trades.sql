{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key=['wallet_address', 'tx_hash', 'order_hash'],
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook=['{{ settle_collisions() }}', '{{ record_merged_batches() }}'],
    meta={'merge': {'day_of': 'timestamp', 'retires': "key_quality = 'retired'"}}
) }}

{% if is_production() %}

-- A row that loses its place here must stand in trade_collisions first, else it would be nowhere.
with unsettled_keys as (
    {{ unsettled_keys() }}
)

select
    winners.id,
    winners.condition_id,
    winners.wallet_address,
    winners.timestamp,
    winners.side,
    winners.price,
    winners.shares_normalized,
    winners.token_label,
    winners.token_id,
    winners.tx_hash,
    winners.order_hash,
    winners.taker,
    winners.market_slug,
    winners.title,
    winners.shares_raw,
    winners.usdc_raw,
    winners.is_taker_leg,
    winners.key_quality,
    winners.log_index,
    winners.block_number,
    winners.contract_address,
    winners.source,
    winners.upstream_version,
    winners.extra_fields,
    winners.content_hash,
    winners.completed_from
from {{ ref('int_trades_deduplicated') }} as winners
left join unsettled_keys
    on
        winners.wallet_address = unsettled_keys.wallet_address
        and winners.tx_hash = unsettled_keys.tx_hash
        and winners.order_hash = unsettled_keys.order_hash
where
    unsettled_keys.order_hash is null
    {% if not is_incremental() -%}
    and winners.key_quality <> 'retired'
    {%- endif %}
order by winners.timestamp, winners.wallet_address, winners.tx_hash, winners.order_hash

{% else %}

{{ select_from_production('trades') }}

{% endif %}
