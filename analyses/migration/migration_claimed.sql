-- Stand-ins whose fill is known with its real hash, among the rows that are to be copied or in production. The size in
-- dollars may differ by one unit, which is the most that rounding a price can cost.
with stand_ins as (
    select * from {{ work_table('rows') }}
    where
        broken_rule is null
        and key_quality in ('stand_in', 'collapsed')
),

known as (
    select
        wallet_address,
        tx_hash,
        token_id,
        side,
        shares_raw,
        usdc_raw
    from {{ work_table('rows') }}
    where
        broken_rule is null
        and key_quality in ('exact', 'repaired')
    union all
    select
        wallet_address,
        tx_hash,
        token_id,
        side,
        shares_raw,
        usdc_raw
    from {{ migrated_into() }}
    where key_quality in ('exact', 'repaired')
)

select distinct
    stand_ins.key_1,
    stand_ins.key_2
from stand_ins
inner join known
    on
        stand_ins.wallet_address = known.wallet_address
        and stand_ins.tx_hash = known.tx_hash
        and stand_ins.token_id = known.token_id
        and stand_ins.side = known.side
        and stand_ins.shares_raw = known.shares_raw
where abs(stand_ins.usdc_raw - known.usdc_raw) <= 1
