{{ config(materialized='view') }}

-- Where the policy is to collapse fills without an order hash, those are no finding.
select
    wallet_address,
    tx_hash,
    order_hash,
    timestamp,
    source,
    shares_raw,
    usdc_raw,
    log_index
from {{ ref('trade_collisions') }}
where
    key_quality <> 'collapsed'
    and not coalesce(is_removed, false)
