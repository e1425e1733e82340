{{ config(meta={'built_from_pending_batches': true}) }}

with staged as (
    select * from {{ ref('stg_landing__trades') }}
    where
        {{ in_pending_batches('trades') }}
        and broken_rule is null
)

select
    wallet_address,
    tx_hash,
    order_hash,
    key_quality,
    timestamp,
    side,
    token_id,
    price,
    shares_normalized,
    shares_raw,
    usdc_raw,
    taker,
    condition_id,
    token_label,
    market_slug,
    title,
    log_index,
    block_number,
    contract_address,
    source,
    upstream_version,
    extra_fields,
    {{ fingerprint([
        'wallet_address', 'tx_hash', 'order_hash', 'key_quality', epoch_micros('timestamp'), 'side', 'token_id',
        float_text('price'), float_text('shares_normalized'), 'shares_raw', 'usdc_raw', 'taker', 'condition_id',
        'token_label', 'market_slug', 'title', 'log_index', 'block_number', 'contract_address', 'source',
        'upstream_version', 'extra_fields'
    ]) }} as content_hash
from staged
