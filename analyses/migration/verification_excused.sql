-- Of the missing keys those that are missing by right: what breaks a rule, and stand-ins whose fill `trades` has with
-- its real hash. Inner joins only, each with few rows on one side: an outer one would have all of `trades` in memory.
with staged as (
    select
        staged.*,
        {{ row_hashes('staged', 0) }}
    from {{ ref('stg_legacy__trades') }} as staged
    where staged.broken_value is null
),

concerned as (
    select distinct
        staged.key_1,
        staged.key_2,
        staged.wallet_address,
        staged.tx_hash,
        staged.token_id,
        staged.side,
        staged.shares_raw,
        staged.usdc_raw,
        staged.key_quality,
        staged.broken_key
    from staged
    inner join {{ work_table('missing') }} as keys_missing
        on
            staged.key_1 = keys_missing.key_1
            and staged.key_2 = keys_missing.key_2
),

transactions as (
    select distinct
        wallet_address,
        tx_hash
    from concerned
),

known as (
    select
        stored.wallet_address,
        stored.tx_hash,
        stored.token_id,
        stored.side,
        stored.shares_raw,
        stored.usdc_raw
    from {{ migrated_into() }} as stored
    inner join transactions
        on
            stored.wallet_address = transactions.wallet_address
            and stored.tx_hash = transactions.tx_hash
    where stored.key_quality in ('exact', 'repaired')
),

claimed as (
    select distinct
        concerned.key_1,
        concerned.key_2
    from concerned
    inner join known
        on
            concerned.wallet_address = known.wallet_address
            and concerned.tx_hash = known.tx_hash
            and concerned.token_id = known.token_id
            and concerned.side = known.side
            and concerned.shares_raw = known.shares_raw
    where
        concerned.broken_key is null
        and concerned.key_quality in ('stand_in', 'collapsed')
        and abs(concerned.usdc_raw - known.usdc_raw) <= 1
)

select distinct
    key_1,
    key_2,
    'rejected' as reason
from concerned
where broken_key is not null
union all
select
    key_1,
    key_2,
    'claimed' as reason
from claimed
