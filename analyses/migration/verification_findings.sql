-- The rows of these keys as `trades` has them and as the staging table has them, so that both can be looked at.
with differences as (
    select * from {{ work_table('differences') }}
),

stored as (
    select
        stored.wallet_address,
        stored.tx_hash,
        stored.order_hash,
        stored.timestamp,
        stored.price,
        stored.shares_raw,
        stored.usdc_raw,
        stored.token_label,
        {{ row_hashes('stored', 0) }}
    from {{ migrated_into() }} as stored
),

staged as (
    select
        staged.wallet_address,
        staged.tx_hash,
        staged.order_hash,
        staged.timestamp,
        staged.price,
        staged.shares_raw,
        staged.usdc_raw,
        staged.token_label,
        {{ row_hashes('staged', 0) }}
    from {{ ref('stg_legacy__trades') }} as staged
    where staged.broken_value is null
),

both_sides as (
    select
        'trades' as side,
        stored.*
    from stored
    union all
    select distinct
        'staging' as side,
        staged.*
    from staged
)

select
    differences.kind,
    differences.month,
    both_sides.side,
    both_sides.wallet_address,
    both_sides.tx_hash,
    both_sides.order_hash,
    both_sides.timestamp,
    both_sides.price,
    both_sides.shares_raw,
    both_sides.usdc_raw,
    both_sides.token_label
from differences
inner join both_sides
    on
        differences.key_1 = both_sides.key_1
        and differences.key_2 = both_sides.key_2
order by differences.kind, both_sides.wallet_address, both_sides.tx_hash, both_sides.order_hash, both_sides.side
limit 200
