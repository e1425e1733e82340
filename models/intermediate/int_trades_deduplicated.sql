{{ config(meta={'built_from_pending_batches': true}) }}

with versions as (
    select * from {{ ref('int_trades_versions') }}
),

winners as (
    select
        *,
        false as is_retired
    from versions
    where not is_superseded
    qualify {{ is_newest(['wallet_address', 'tx_hash', 'order_hash'], ['row_version']) }}
),

-- Keys that `trades` has and that no fill needs any more.
retired as (
    select
        versions.*,
        true as is_retired
    from versions
    left join winners
        on
            versions.wallet_address = winners.wallet_address
            and versions.tx_hash = winners.tx_hash
            and versions.order_hash = winners.order_hash
    where
        winners.order_hash is null
        and versions.is_in_trades
    qualify {{ is_newest(
        ['versions.wallet_address', 'versions.tx_hash', 'versions.order_hash'], ['versions.row_version']
    ) }}
),

decided as (
    select * from winners
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
    not is_key_in_trades as is_new
from decided
{{ stored_in_order(['timestamp', 'wallet_address', 'tx_hash', 'order_hash']) }}
