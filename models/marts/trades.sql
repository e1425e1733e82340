{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key=['wallet_address', 'tx_hash', 'order_hash'],
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook=['{{ settle_collisions() }}', '{{ record_merged_batches() }}'],
    meta={'merge': {
        'day_of': 'timestamp',
        'days_from': ['int_trades_batched', 'int_trades_stored'],
        'retires': "key_quality = 'retired'",
        'settles': true,
    }},
    **table_layout(day_of='timestamp', cluster_by=['wallet_address', 'condition_id'])
) }}

{% if is_production() %}

-- A fill that loses its place here stands in trade_collisions already, and counts there from this merge on.
-- depends_on: {{ ref('trade_collisions') }}
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
    winners.fee_raw,
    winners.fee_unit,
    winners.source,
    winners.upstream_version,
    winners.extra_fields,
    winners.content_hash,
    winners.completed_from
from {{ ref('int_trades_deduplicated') }} as winners
where
    {{ if_built_from_pending_batches() }}
    {% if not is_incremental() -%}
    and winners.key_quality <> 'retired'
    {%- endif %}
{{ stored_in_order(['winners.timestamp', 'winners.wallet_address', 'winners.tx_hash', 'winners.order_hash']) }}

{% else %}

{{ select_from_production('trades') }}

{% endif %}
