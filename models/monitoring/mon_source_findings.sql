{% set quiet = var('exchange_silence_days') %}
{% set today = run_started_at.date() %}
{% set recent = (today - modules.datetime.timedelta(days=quiet)).isoformat() %}
{% set before = (today - modules.datetime.timedelta(days=4 * quiet)).isoformat() %}
{% set waiting = (today - modules.datetime.timedelta(days=var('token_wait_days'))).isoformat() %}

-- What the fills themselves say about where they are from. Literal days, so that only these are read.
with lately as (
    select
        wallet_address,
        contract_address,
        taker,
        timestamp >= {{ utc_midnight(recent) }} as is_recent
    from {{ ref('trades') }}
    where timestamp >= {{ utc_midnight(before) }}
),

exchanges as (
    select
        contract_address,
        name
    from {{ ref('exchange_contracts') }}
),

by_contract as (
    select
        contract_address,
        count(*) as fill_count,
        max(case when is_recent then 1 else 0 end) as is_heard
    from lately
    where contract_address is not null
    group by contract_address
),

-- An exchange is the taker of each fill that was itself the taker order: of a good part of all, and of many wallets.
by_taker as (
    select
        taker,
        count(*) as fill_count,
        count(distinct wallet_address) as wallet_count
    from lately
    where
        taker is not null
        and is_recent
    group by taker
),

recent_fills as (
    select count(*) as fill_count
    from lately
    where is_recent
),

waiting_tokens as (
    select
        token_id,
        count(*) as fill_count,
        min(timestamp) as first_fill_at
    from {{ ref('awaiting_metadata') }}
    where condition_id is null
    group by token_id
)

select
    'silent_exchange' as finding,
    by_contract.contract_address as subject,
    by_contract.fill_count
from by_contract
inner join exchanges
    on by_contract.contract_address = exchanges.contract_address
where
    by_contract.is_heard = 0
    and (select recent_fills.fill_count from recent_fills) > 0
union all
select
    'unknown_exchange' as finding,
    by_taker.taker as subject,
    by_taker.fill_count
from by_taker
left join exchanges
    on by_taker.taker = exchanges.contract_address
where
    exchanges.contract_address is null
    and by_taker.wallet_count >= {{ var('unknown_exchange_wallets') }}
    and by_taker.fill_count * 20 >= (select recent_fills.fill_count from recent_fills)
union all
select
    'token_without_market' as finding,
    token_id as subject,
    fill_count
from waiting_tokens
where first_fill_at < {{ utc_midnight(waiting) }}
