-- The whole table, because a merge bounded by days cannot see a second copy on a far day. Reads the three key columns.
with fills as (
    select
        wallet_address,
        tx_hash,
        order_hash
    from {{ ref('trades') }}
)

select
    wallet_address,
    tx_hash,
    order_hash,
    count(*) as copies
from fills
group by wallet_address, tx_hash, order_hash
having
    count(*) > 1
    or wallet_address is null
    or tx_hash is null
    or order_hash is null
