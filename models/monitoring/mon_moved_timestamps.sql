-- A fill has the time of its block, which does not change. A source that sends it with another time will one day send
-- it outside the days in which the merge looks for its older copy.
select
    stored.wallet_address,
    stored.tx_hash,
    stored.order_hash,
    stored.source as stored_source,
    stored.timestamp as stored_at,
    batch.source as batch_source,
    batch.timestamp as sent_at
from {{ ref('int_trades_stored') }} as stored
inner join {{ ref('int_trades_batched') }} as batch
    on
        stored.wallet_address = batch.wallet_address
        and stored.tx_hash = batch.tx_hash
        and stored.order_hash = batch.order_hash
where
    stored.mart = 'trades'
    and stored.timestamp <> batch.timestamp
