{{ config(materialized='view') }}

{% set columns = [
    'id', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
    'token_id', 'tx_hash', 'order_hash', 'taker', 'market_slug', 'title', 'shares_raw', 'usdc_raw', 'is_taker_leg',
    'key_quality', 'log_index', 'block_number', 'contract_address', 'source', 'upstream_version', 'extra_fields',
    'content_hash', 'completed_from'
] %}

select
    {{ columns | join(',\n    ') }},
    false as is_collision
from {{ ref('trades') }}
union all
select
    {{ columns | join(',\n    ') }},
    true as is_collision
from {{ ref('trade_collisions') }} as beside
-- While a fill moves from one table to the other it stands in both.
where not exists (
    select 1
    from {{ ref('trades') }} as trades
    where
        trades.wallet_address = beside.wallet_address
        and trades.tx_hash = beside.tx_hash
        and trades.order_hash = beside.order_hash
        and trades.token_id = beside.token_id
        and trades.side = beside.side
        and trades.shares_raw = beside.shares_raw
        and trades.usdc_raw = beside.usdc_raw
        and trades.log_index is not distinct from beside.log_index
)
