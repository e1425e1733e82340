{{ config(materialized='view', meta={'built_from_pending_batches': true}) }}

-- The others that stand under a key; and what stood there and does so no more: it has become the winner, or is known to
-- be another's record.
select
    order_hash as id,
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
    case when is_superseded or place_under_key = 1 then 'retired' else key_quality end as key_quality,
    log_index,
    block_number,
    contract_address,
    source,
    upstream_version,
    extra_fields,
    content_hash,
    completed_from,
    {{ collision_id() }} as collision_id
from {{ ref('int_trades_versions') }}
where
    (place_under_key > 1 and not is_superseded)
    or is_in_collisions
