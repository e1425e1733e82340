{{ config(materialized='view') }}

{% set columns = [
    'id', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
    'token_id', 'tx_hash', 'order_hash', 'taker', 'market_slug', 'title', 'shares_raw', 'usdc_raw', 'is_taker_leg',
    'key_quality', 'log_index', 'block_number', 'contract_address', 'fee_raw', 'fee_unit', 'source',
    'upstream_version', 'extra_fields', 'content_hash', 'completed_from'
] %}

select
    {{ columns | join(',\n    ') }},
    false as is_collision
from {{ ref('trades') }}
union all
select
    {{ columns | join(',\n    ') }},
    true as is_collision
from {{ ref('trade_collisions') }}
-- What has come in there before the merge of `trades` still stands in `trades`, or is not there for anybody yet.
where
    not coalesce(is_arriving, false)
    and not coalesce(is_removed, false)
