{{ config(materialized='view', meta={'built_from_pending_batches': true}) }}

{% set key = 'wallet_address, tx_hash, order_hash' %}
{% set same_shares = key ~ ', token_id, side, shares_raw' %}
{% set size_class = same_shares ~ ', usdc_raw' %}
{% set variant = size_class ~ ', log_index' %}
{% set same_token = 'wallet_address, tx_hash, order_hash, token_id' %}
{% set ranked_columns = [
    'key_quality', 'timestamp', 'price', 'shares_normalized', 'is_removed', 'fee_raw', 'fee_unit', 'source',
    'upstream_version', 'extra_fields', 'content_hash'
] %}
{% set within_one_unit = 'order by usdc_raw range between 1 preceding and 1 following' %}
{% set record_columns = variant.split(', ') + ranked_columns + token_columns() + position_columns() %}

-- The fold of a batch into what is stored. A fill is told apart by its key and, under one key, by size and position
-- in the block (its variant). Every choice here is a maximum over a total order of content, so any order of arrival,
-- any cut into batches and any repeat ends in the same rows. A record that is alone under its key, as nearly all are,
-- is what its fold would be, and passes beside it.
with records as (
    select
        {{ record_columns | join(',\n        ') }},
        cast(null as {{ dbt.type_string() }}) as completed_from,
        cast(null as {{ dbt.type_string() }}) as stored_in
    from {{ ref('int_trades_batched') }}
    union all
    select
        {{ record_columns | join(',\n        ') }},
        completed_from,
        mart as stored_in
    from {{ ref('int_trades_stored') }}
),

-- Told by a hash: two keys that share one are folded for nothing, and come out as they went in.
hashed as (
    select
        *,
        {{ fingerprint_64(key.split(', ')) }} as fingerprint
    from records
),

crowded as (
    select fingerprint
    from hashed
    group by fingerprint
    having count(*) > 1 or count(completed_from) > 0
),

ranked as (
    select
        hashed.*,
        crowded.fingerprint is null as is_alone,
        {{ record_version(
            'ranks.source_rank', 'hashed.upstream_version', 'hashed.timestamp', 'hashed.content_hash'
        ) }} as row_version
    from hashed
    left join crowded
        on hashed.fingerprint = crowded.fingerprint
    left join {{ ref('source_ranks') }} as ranks
        on hashed.source = ranks.source
),

versioned as (
    select
        {% for column in token_columns() + position_columns() %}
        {{ completed_version(column, 'completed_from', 'row_version') }} as {{ column }}_version,
        {% endfor %}
        *
    from ranked
    where not is_alone
),

-- Facts of the token, from the best record under the key that has them: also from one without a position in the block.
token_facts as (
    select
        {% for column in token_columns() %}
        {{ value_at_greatest(column, column ~ '_version') }} as {{ column }},
        max({{ column }}_version) as {{ column }}_version,
        {% endfor %}
        {{ same_token }}
    from versioned
    group by {{ same_token }}
),

folded as (
    select
        {% for column in ranked_columns %}
        {{ value_at_greatest(column, 'row_version') }} as {{ column }},
        {% endfor %}
        {% for column in position_columns() %}
        {{ value_at_greatest(column, column ~ '_version') }} as {{ column }},
        max({{ column }}_version) as {{ column }}_version,
        {% endfor %}
        max(row_version) as row_version,
        max(case when stored_in = 'trades' then 1 else 0 end) as copies_in_trades,
        max(case when stored_in = 'trade_collisions' then 1 else 0 end) as copies_in_collisions,
        {{ variant }}
    from versioned
    group by {{ variant }}
),

variants as (
    select
        *,
        -- A record that does not say where in the block it stands is the same fill as one that does. And an amount that
        -- was made from a rounded price may be one unit beside the one that the chain has.
        (log_index is null and count(log_index) over (partition by {{ size_class }}) > 0)
        or (
            source <> 'polygon'
            and (
                max(case when source = 'polygon' then 1 else 0 end) over (
                    partition by {{ same_shares }}, log_index {{ within_one_unit }}
                ) = 1
                or (
                    log_index is null
                    and max(case when source = 'polygon' then 1 else 0 end) over (
                        partition by {{ same_shares }} {{ within_one_unit }}
                    ) = 1
                )
            )
        ) as is_absorbed,
        max(copies_in_trades) over (partition by {{ key }}) = 1 as is_key_in_trades
    from folded
    -- What is known of a token is no fill by itself.
    where coalesce(source, '') <> 'market'
)

select
    -- which fill
    variants.wallet_address,
    variants.tx_hash,
    variants.order_hash,
    variants.token_id,
    variants.side,
    variants.shares_raw,
    variants.usdc_raw,
    variants.log_index,

    -- from its best record
    variants.key_quality,
    variants.timestamp,
    variants.price,
    variants.shares_normalized,
    variants.is_removed,
    variants.fee_raw,
    variants.fee_unit,
    variants.source,
    variants.upstream_version,
    variants.extra_fields,
    variants.content_hash,
    variants.row_version,

    -- from the best record that has them
    variants.taker,
    variants.block_number,
    variants.contract_address,
    token_facts.condition_id,
    token_facts.token_label,
    token_facts.market_slug,
    token_facts.title,
    nullif(
        {% for column in token_columns() + position_columns() %}
        {% set version = ('token_facts.' if column in token_columns() else 'variants.') ~ column ~ '_version' %}
        case
            when {{ version }} <> variants.row_version then '{{ column }}=' || {{ version }} || ';'
            else ''
        end{{ ' ||' if not loop.last }}
        {% endfor %},
        ''
    ) as completed_from,

    -- where it stands now
    variants.is_absorbed,
    variants.copies_in_collisions = 1 as is_in_collisions,
    variants.is_key_in_trades,
    false as is_alone
from variants
inner join token_facts
    on
        variants.wallet_address = token_facts.wallet_address
        and variants.tx_hash = token_facts.tx_hash
        and variants.order_hash = token_facts.order_hash
        and variants.token_id = token_facts.token_id
union all
select
    -- which fill
    wallet_address,
    tx_hash,
    order_hash,
    token_id,
    side,
    shares_raw,
    usdc_raw,
    log_index,

    -- all of it from its only record
    key_quality,
    timestamp,
    price,
    shares_normalized,
    is_removed,
    fee_raw,
    fee_unit,
    source,
    upstream_version,
    extra_fields,
    content_hash,
    row_version,
    taker,
    block_number,
    contract_address,
    condition_id,
    token_label,
    market_slug,
    title,
    completed_from,

    -- where it stands now
    false as is_absorbed,
    coalesce(stored_in = 'trade_collisions', false) as is_in_collisions,
    coalesce(stored_in = 'trades', false) as is_key_in_trades,
    is_alone
from ranked
where
    is_alone
    and coalesce(source, '') <> 'market'
