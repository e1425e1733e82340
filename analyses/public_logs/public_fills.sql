-- The fills among the logs that were taken, as rows of landing.trades.
with fills as (
    {{ logs_as_fills(work_table('logs')) | indent(4) }}
)

select
    wallet_address,
    tx_hash,
    order_hash,
    record_id,
    traded_at,
    side,
    token_id,
    price,
    shares_normalized,
    shares_raw,
    usdc_raw,
    condition_id,
    token_label,
    taker,
    market_slug,
    title,
    log_index,
    block_number,
    contract_address,
    upstream_version,
    is_removed,
    fee_raw,
    fee_unit,
    extra_fields,
    'polygon' as source,
    cast(@batch as {{ dbt.type_string() }}) as batch_id,
    @landed_at as landed_at,
    @landed_on as landed_on
from fills
where
    broken_rule is null
    -- Sent a second time, it finds what it did.
    and not exists (
        select 1
        from {{ source('landing', 'trades') }} as landed
        where
            landed.landed_on = @landed_on
            and landed.batch_id = @batch
    )
