{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='day',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

-- Counted again are only the days that this build could have changed, whole; the others stand as they were counted.
select
    {{ utc_day('timestamp') }} as day,
    count(*) as fills,
    count(*) - count(distinct {{ fingerprint_64(['wallet_address', 'tx_hash', 'order_hash']) }}) as surplus_copies,
    count(distinct wallet_address) as wallets,
    cast(coalesce(sum(case when is_taker_leg then usdc_raw end), 0) as {{ column_type('bigint') }}) as taker_usdc_raw,
    sum(case when key_quality in ('stand_in', 'collapsed') then 1 else 0 end) as stand_ins,
    sum(case when key_quality = 'repaired' then 1 else 0 end) as repaired_keys,
    {{ now() }} as counted_at
from {{ ref('trades') }}
where {{ days_to_count(ref('int_trades_batched'), ref('int_trades_stored'), ref('pending_batches')) }}
group by 1
