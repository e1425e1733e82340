{{ config(materialized='view', meta={'built_from_pending_batches': true}) }}

-- The others that stand under a key, and what a reorganisation has taken away, which is kept so that an older record of
-- it changes nothing; and what stood there and does so no more: it has become the winner, or is known to be another's
-- record.
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
    case
        when is_superseded or (place_under_key = 1 and not coalesce(is_removed, false)) then 'retired'
        else key_quality
    end as key_quality,
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
    coalesce(is_removed, false) as is_removed,
    {{ collision_id() }} as collision_id
from {{ ref('int_trades_versions') }}
where
    ((place_under_key > 1 or coalesce(is_removed, false)) and not is_superseded)
    or is_in_collisions
