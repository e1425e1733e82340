{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key=['wallet_address', 'tx_hash', 'order_hash', 'collision_id'],
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook='{{ record_merged_batches() }}',
    meta={
        'built_from_pending_batches': true,
        'merge': {'day_of': 'timestamp', 'days_from': ['int_trades_batched', 'int_trades_stored'], 'set_once': ['is_arriving']},
    },
    **table_layout(day_of='timestamp', cluster_by=['wallet_address', 'condition_id'])
) }}

-- What comes in counts, and what `trades` takes over goes, with the merge of `trades`, not before (settle_collisions).

{% if is_production() %}

select
    id,
    condition_id,
    wallet_address,
    timestamp,
    side,
    price,
    shares_normalized,
    token_label,
    token_id,
    tx_hash,
    order_hash,
    taker,
    market_slug,
    title,
    shares_raw,
    usdc_raw,
    is_taker_leg,
    key_quality,
    log_index,
    block_number,
    contract_address,
    fee_raw,
    fee_unit,
    source,
    upstream_version,
    extra_fields,
    content_hash,
    completed_from,
    is_removed,
    collision_id,
    true as is_arriving
from {{ ref('int_trade_collisions') }}
where
    key_quality <> 'retired'
    and {{ if_built_from_pending_batches() }}

{% else %}

{{ select_from_production('trade_collisions') }}

{% endif %}
