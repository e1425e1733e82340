{{ config(materialized='view') }}

{% set columns = [
    'id', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
    'token_id', 'tx_hash', 'order_hash', 'taker', 'market_slug', 'title', 'shares_raw', 'usdc_raw', 'is_taker_leg',
    'key_quality', 'log_index', 'block_number', 'contract_address', 'source', 'upstream_version', 'extra_fields',
    'content_hash', 'completed_from'
] %}

with trades as (
    select * from {{ ref('trades') }}
),

-- While a fill moves from one table to the other it stands in both.
collisions as (
    select beside.*
    from {{ ref('trade_collisions') }} as beside
    left join trades
        on
            beside.wallet_address = trades.wallet_address
            and beside.tx_hash = trades.tx_hash
            and beside.order_hash = trades.order_hash
            and beside.token_id = trades.token_id
            and beside.side = trades.side
            and beside.shares_raw = trades.shares_raw
            and beside.usdc_raw = trades.usdc_raw
            and beside.log_index is not distinct from trades.log_index
    where trades.order_hash is null
)

select
    {{ columns | join(',\n    ') }},
    false as is_collision
from trades
union all
select
    {{ columns | join(',\n    ') }},
    true as is_collision
from collisions
