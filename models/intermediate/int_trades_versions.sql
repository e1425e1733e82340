{{ config(meta={'built_from_pending_batches': true}) }}

{% set columns = [
    'wallet_address', 'tx_hash', 'order_hash', 'key_quality', 'timestamp', 'side', 'token_id', 'price',
    'shares_normalized', 'shares_raw', 'usdc_raw', 'taker', 'is_taker_leg', 'condition_id', 'token_label',
    'market_slug', 'title', 'log_index', 'block_number', 'contract_address', 'fee_raw', 'fee_unit', 'source',
    'upstream_version', 'extra_fields', 'content_hash', 'completed_from', 'is_in_collisions', 'is_key_in_trades',
    'is_superseded', 'is_removed'
] %}

with fills as (
    select * from {{ ref('int_trades_folded') }}
),

-- A stand-in whose fill is known with its real hash has served its purpose. The size in dollars may differ by one
-- unit, which is the most that rounding a price can cost.
claimed as (
    select distinct
        stand_ins.wallet_address,
        stand_ins.tx_hash,
        stand_ins.order_hash,
        stand_ins.token_id,
        stand_ins.side,
        stand_ins.shares_raw,
        stand_ins.usdc_raw
    from fills as stand_ins
    inner join fills as known
        on
            stand_ins.wallet_address = known.wallet_address
            and stand_ins.tx_hash = known.tx_hash
            and stand_ins.token_id = known.token_id
            and stand_ins.side = known.side
            and stand_ins.shares_raw = known.shares_raw
    where
        stand_ins.key_quality in ('stand_in', 'collapsed')
        and known.key_quality in ('exact', 'repaired')
        and abs(stand_ins.usdc_raw - known.usdc_raw) <= 1
),

judged as (
    select
        fills.*,
        case when fills.taker is not null then exchanges.contract_address is not null end as is_taker_leg,
        -- What does not stand as a fill of its own.
        fills.is_absorbed or claimed.order_hash is not null as is_superseded
    from fills
    left join claimed
        on
            fills.wallet_address = claimed.wallet_address
            and fills.tx_hash = claimed.tx_hash
            and fills.order_hash = claimed.order_hash
            and fills.token_id = claimed.token_id
            and fills.side = claimed.side
            and fills.shares_raw = claimed.shares_raw
            and fills.usdc_raw = claimed.usdc_raw
    left join {{ ref('exchange_contracts') }} as exchanges
        on fills.taker = exchanges.contract_address
)

select
    {{ columns | join(',\n    ') }},
    row_number() over (
        partition by wallet_address, tx_hash, order_hash
        order by is_superseded asc, coalesce(is_removed, false) asc, row_version desc
    ) as place_under_key
from judged
where not is_alone
union all
select
    {{ columns | join(',\n    ') }},
    1 as place_under_key
from judged
where is_alone
