-- Of the missing keys those that are missing by right: what breaks a rule, and stand-ins whose fill `trades` has with its
-- real hash.
with missing as (
    select
        staged.*,
        {{ row_hashes('staged', 0) }}
    from {{ ref('stg_legacy__trades') }} as staged
    where staged.broken_value is null
),

concerned as (
    select missing.*
    from missing
    inner join {{ work_table('missing') }} as keys_missing
        on
            missing.key_1 = keys_missing.key_1
            and missing.key_2 = keys_missing.key_2
)

select distinct
    concerned.key_1,
    concerned.key_2,
    case when concerned.broken_key is not null then 'rejected' else 'claimed' end as reason
from concerned
left join {{ migrated_into() }} as known
    on
        concerned.wallet_address = known.wallet_address
        and concerned.tx_hash = known.tx_hash
        and concerned.token_id = known.token_id
        and concerned.side = known.side
        and concerned.shares_raw = known.shares_raw
        and abs(concerned.usdc_raw - known.usdc_raw) <= 1
        and known.key_quality in ('exact', 'repaired')
where
    concerned.broken_key is not null
    or (concerned.key_quality in ('stand_in', 'collapsed') and known.wallet_address is not null)
