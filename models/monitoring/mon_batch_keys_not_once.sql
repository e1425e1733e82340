-- After the merge, within the days that it could touch: each key of the batch stands in `trades` exactly once. In a
-- schema of one's own nothing is merged, so nothing is expected.
with expected as (
    select
        wallet_address,
        tx_hash,
        order_hash
    from {{ ref('int_trades_deduplicated') }}
    where
        key_quality <> 'retired'
        and {{ 'true' if is_production() else 'false' }}
),

found as (
    select
        wallet_address,
        tx_hash,
        order_hash,
        count(*) as copies
    from {{ ref('trades') }}
    where {{ merge_window([ref('int_trades_batched'), ref('int_trades_stored')], 'timestamp') }}
    group by wallet_address, tx_hash, order_hash
)

select
    expected.wallet_address,
    expected.tx_hash,
    expected.order_hash,
    coalesce(found.copies, 0) as copies
from expected
left join found
    on
        expected.wallet_address = found.wallet_address
        and expected.tx_hash = found.tx_hash
        and expected.order_hash = found.order_hash
where coalesce(found.copies, 0) <> 1
