{{ config(meta={'built_from_pending_batches': true}) }}

with versions as (
    select * from {{ ref('int_trades_versions') }}
),

standing as (
    select
        *,
        {{ is_newest(['wallet_address', 'tx_hash', 'order_hash'], ['row_version']) }} as is_winner
    from versions
    where not is_superseded
),

-- Other fills under the key of the winner.
losers as (
    select
        *,
        false as is_retired
    from standing
    where not is_winner
),

-- What stood beside its key and does so no more: it has become the winner, or is known to be another's record.
retired as (
    select
        versions.*,
        false as is_winner,
        true as is_retired
    from versions
    left join losers
        on
            versions.wallet_address = losers.wallet_address
            and versions.tx_hash = losers.tx_hash
            and versions.order_hash = losers.order_hash
            and versions.collision_id = losers.collision_id
    where
        losers.order_hash is null
        and versions.is_in_collisions
),

decided as (
    select * from losers
    union all
    select * from retired
)

select
    order_hash as id,
    condition_id,
    wallet_address,
    timestamp,
    side,
    price,
    shares_normalized,
    token_label,
    token_id,
    tx_hash,
    order_hash,
    taker,
    market_slug,
    title,
    shares_raw,
    usdc_raw,
    is_taker_leg,
    case when is_retired then 'retired' else key_quality end as key_quality,
    log_index,
    block_number,
    contract_address,
    source,
    upstream_version,
    extra_fields,
    content_hash,
    completed_from,
    collision_id
from decided
