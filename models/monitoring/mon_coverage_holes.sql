-- What lies between the windows that were fetched. A checkpoint and the beginning of all time stand for windows without
-- length, so that what is missing at either end shows too. `polytrades gaps` says more of each.
with followed as (
    select wallet_address from {{ source('state', 'followed_wallets') }}
    where followed_until is null
),

coverage as (
    select * from {{ source('state', 'coverage') }}
    where status in ('complete', 'inherited', 'skipped')
),

windows as (
    select
        wallet_address,
        coalesce(window_start, {{ utc_midnight('2020-01-01') }}) as starts,
        window_end as ends
    from coverage
    union all
    select
        wallet_address,
        fetched_until as starts,
        fetched_until as ends
    from {{ ref('mon_wallets') }}
    where fetched_until is not null
    union all
    select
        wallet_address,
        {{ utc_midnight('2020-01-01') }} as starts,
        {{ utc_midnight('2020-01-01') }} as ends
    from followed
),

reached as (
    select
        windows.wallet_address,
        windows.starts,
        max(windows.ends) over (
            partition by windows.wallet_address
            order by windows.starts, windows.ends
            rows between unbounded preceding and 1 preceding
        ) as covered_until
    from windows
    inner join followed on windows.wallet_address = followed.wallet_address
)

select
    wallet_address,
    covered_until as hole_start,
    starts as hole_end,
    covered_until <= {{ utc_midnight('2020-01-01') }} as is_history
from reached
where starts > covered_until
