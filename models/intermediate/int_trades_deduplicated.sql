{{ config(materialized='view', meta={'built_from_pending_batches': true}) }}

-- The first under each key: the fill that wins, or, where none stands any more, what `trades` is to give up.
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
    case when is_superseded or coalesce(is_removed, false) then 'retired' else key_quality end as key_quality,
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
    not is_key_in_trades as is_new
from {{ ref('int_trades_versions') }}
where
    place_under_key = 1
    and (not (is_superseded or coalesce(is_removed, false)) or is_key_in_trades)
