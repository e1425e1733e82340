with landed as (
    select * from {{ source('landing', 'trades') }}
),

-- The exact size, from whichever of its two forms the record has.
sized as (
    select
        *,
        coalesce(shares_raw, {{ try_cast_to('round(shares_normalized * 1000000)', 'bigint') }}) as exact_shares_raw
    from landed
),

-- price is usdc / shares as a double, so the product is a whole number up to rounding. A price of 1 is
-- taken apart because the largest sizes do not survive the way through a double.
valued as (
    select
        *,
        coalesce(
            usdc_raw,
            case
                when price = 1 then exact_shares_raw
                else {{ try_cast_to('round(price * exact_shares_raw)', 'bigint') }}
            end
        ) as exact_usdc_raw
    from sized
),

keyed as (
    select
        *,
        {{ repaired_order_hash('order_hash', 'record_id', 'tx_hash') }} as repaired_order_hash
    from valued
)

select
    -- key
    {{ hex_key('wallet_address') }} as wallet_address,
    {{ hex_key('tx_hash') }} as tx_hash,
    coalesce(
        repaired_order_hash,
        {{ stand_in_order_hash(
            hex_key('wallet_address'), hex_key('tx_hash'), 'token_id', 'side', 'exact_shares_raw', 'exact_usdc_raw'
        ) }}
    ) as order_hash,
    {{ key_quality('order_hash', 'repaired_order_hash') }} as key_quality,

    -- the fill
    traded_at as timestamp,
    side,
    token_id,
    price,
    shares_normalized,
    exact_shares_raw as shares_raw,
    exact_usdc_raw as usdc_raw,
    taker,

    -- its market
    condition_id,
    token_label,
    market_slug,
    title,

    -- its place in the chain
    log_index,
    block_number,
    contract_address,
    is_removed,
    fee_raw,
    fee_unit,

    -- the record
    source,
    upstream_version,
    extra_fields,
    batch_id,
    landed_at,
    landed_on,

    -- A row that another writer put into landing past the runner's checks: never merged, shown by monitoring. Covers
    -- all that the gate before the merge tests, so that one such row does not hold back the others.
    case
        when wallet_address is null then 'missing_wallet'
        when not {{ looks_like_address(hex_key('wallet_address')) }} then 'bad_wallet'
        when tx_hash is null then 'missing_tx_hash'
        when not {{ looks_like_hash(hex_key('tx_hash')) }} then 'bad_tx_hash'
        when traded_at is null then 'missing_timestamp'
        when token_id is null then 'missing_token_id'
        when side is null or side not in ('BUY', 'SELL') then 'bad_side'
        when price is null or not price between 0 and 1 then 'bad_price'
        when exact_shares_raw is null or exact_shares_raw < 1 then 'bad_size'
        when exact_usdc_raw is null or exact_usdc_raw < 0 then 'bad_size'
    end as broken_rule
from keyed
