{{ config(meta={'built_from_pending_batches': true}) }}

with staged as (
    select * from {{ ref('stg_landing__trades') }}
    where
        {{ in_pending_batches('trades') }}
        and broken_rule is null
),

completions as (
    select * from {{ ref('int_trades_completions') }}
),

records as (
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
        is_removed,
        fee_raw,
        fee_unit,
        source,
        upstream_version,
        extra_fields
    from staged
    union all
    select
        wallet_address,
        tx_hash,
        order_hash,
        cast(null as {{ column_type('string') }}) as key_quality,
        timestamp,
        side,
        token_id,
        cast(null as {{ column_type('float64') }}) as price,
        cast(null as {{ column_type('float64') }}) as shares_normalized,
        shares_raw,
        usdc_raw,
        cast(null as {{ column_type('string') }}) as taker,
        condition_id,
        token_label,
        market_slug,
        title,
        log_index,
        cast(null as {{ column_type('bigint') }}) as block_number,
        cast(null as {{ column_type('string') }}) as contract_address,
        cast(null as {{ column_type('boolean') }}) as is_removed,
        cast(null as {{ column_type('bigint') }}) as fee_raw,
        cast(null as {{ column_type('string') }}) as fee_unit,
        'market' as source,
        cast(null as {{ column_type('bigint') }}) as upstream_version,
        cast(null as {{ column_type('string') }}) as extra_fields
    from completions
)

select
    *,
    {{ fingerprint([
        'wallet_address', 'tx_hash', 'order_hash', 'key_quality', epoch_micros('timestamp'), 'side', 'token_id',
        float_text('price'), float_text('shares_normalized'), 'shares_raw', 'usdc_raw', 'taker', 'condition_id',
        'token_label', 'market_slug', 'title', 'log_index', 'block_number', 'contract_address', 'source',
        'upstream_version', 'extra_fields', 'is_removed', 'fee_raw', 'fee_unit'
    ]) }} as content_hash
from records
