{{ config(materialized='view', enabled=var('public_logs')['model']) }}

with fills as (
    {{ logs_as_fills(source('polygon_public', 'logs')) | indent(4) }}
)

select
    wallet_address,
    tx_hash,
    order_hash,
    traded_at as timestamp,
    side,
    token_id,
    price,
    shares_normalized,
    shares_raw,
    usdc_raw,
    taker,
    log_index,
    block_number,
    contract_address,
    fee_raw,
    fee_unit,
    extra_fields,
    broken_rule
from fills
