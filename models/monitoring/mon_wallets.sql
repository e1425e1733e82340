{% set two_days_ago = (run_started_at - modules.datetime.timedelta(hours=48)).strftime('%Y-%m-%d %H:%M:%S+00') %}

-- Of `trades` only the last 48 hours are read, by a literal.
with followed as (
    select wallet_address from {{ source('state', 'followed_wallets') }}
    where followed_until is null
),

checkpoints as (
    select
        wallet_address,
        source,
        fetched_until
    from {{ source('state', 'checkpoints') }}
    where true
    qualify row_number() over (partition by source, wallet_address order by recorded_at desc, fetched_until desc) = 1
),

reached as (
    select
        wallet_address,
        max(fetched_until) as fetched_until
    from checkpoints
    group by wallet_address
),

recent as (
    select
        wallet_address,
        count(*) as fills
    from {{ ref('trades') }}
    where timestamp >= {{ instant_literal(two_days_ago) }}
    group by wallet_address
)

select
    followed.wallet_address,
    reached.fetched_until,
    traders.first_fill_at,
    traders.last_fill_at,
    coalesce(recent.fills, 0) as fills_48h,
    {{ now() }} as counted_at
from followed
left join reached on followed.wallet_address = reached.wallet_address
left join {{ ref('traders') }} as traders on followed.wallet_address = traders.wallet_address
left join recent on followed.wallet_address = recent.wallet_address
