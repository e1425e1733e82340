{{ config(meta={'built_from_pending_batches': true}) }}

{% set key = 'wallet_address, tx_hash, order_hash' %}
{% set size_class = key ~ ', token_id, side, shares_raw, usdc_raw' %}
{% set variant = size_class ~ ', log_index' %}
{% set same_token = 'wallet_address, tx_hash, token_id, side, shares_raw' %}
{% set all_rows = 'rows between unbounded preceding and unbounded following' %}
{% set record_columns = [
    'wallet_address', 'tx_hash', 'order_hash', 'key_quality', 'timestamp', 'side', 'token_id', 'price',
    'shares_normalized', 'shares_raw', 'usdc_raw', 'taker', 'condition_id', 'token_label', 'market_slug', 'title',
    'log_index', 'block_number', 'contract_address', 'source', 'upstream_version', 'extra_fields', 'content_hash'
] %}

-- The fold of a batch into what is stored. A fill is told apart by its key and, under one key, by size and position
-- in the block (its variant). Every choice here is a maximum over a total order of content, so any order of arrival,
-- any cut into batches and any repeat ends in the same rows.
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

ranked as (
    select
        records.*,
        {{ record_version(
            'ranks.source_rank', 'records.upstream_version', 'records.timestamp', 'records.content_hash'
        ) }} as row_version
    from records
    left join {{ ref('source_ranks') }} as ranks
        on records.source = ranks.source
),

versioned as (
    select
        *,
        {% for column in token_columns() + position_columns() %}
        {{ completed_version(column, 'completed_from', 'row_version') }} as {{ column }}_version,
        {% endfor %}
        -- A record that does not say where in the block it stands is the same fill as one that does.
        log_index is null and count(log_index) over (partition by {{ size_class }}) > 0 as is_absorbed
    from ranked
),

completed as (
    select
        {{ (record_columns | reject('in', token_columns() + position_columns()) | list) | join(',\n        ') }},
        row_version,
        is_absorbed,
        {% for column in token_columns() %}
        first_value({{ column }} ignore nulls) over (
            partition by {{ same_token }} order by {{ column }}_version desc {{ all_rows }}
        ) as {{ column }},
        max({{ column }}_version) over (partition by {{ same_token }}) as {{ column }}_version,
        {% endfor %}
        {% for column in position_columns() %}
        first_value({{ column }} ignore nulls) over (
            partition by {{ variant }} order by {{ column }}_version desc {{ all_rows }}
        ) as {{ column }},
        max({{ column }}_version) over (partition by {{ variant }}) as {{ column }}_version,
        {% endfor %}
        max(case when stored_in = 'trades' then 1 else 0 end) over (partition by {{ variant }}) = 1 as is_in_trades,
        max(case when stored_in = 'trade_collisions' then 1 else 0 end) over (partition by {{ variant }})
        = 1 as is_in_collisions,
        max(case when stored_in = 'trades' then 1 else 0 end) over (partition by {{ key }}) = 1 as is_key_in_trades
    from versioned
),

variants as (
    select * from completed
    qualify {{ is_newest([variant], ['row_version']) }}
),

-- A stand-in whose fill is known with its real hash has served its purpose. The size in dollars may differ by one
-- unit, which is the most that rounding a price can cost.
claimed as (
    select distinct
        stand_ins.wallet_address,
        stand_ins.tx_hash,
        stand_ins.order_hash,
        stand_ins.token_id,
        stand_ins.side,
        stand_ins.shares_raw,
        stand_ins.usdc_raw
    from variants as stand_ins
    inner join variants as known
        on
            stand_ins.wallet_address = known.wallet_address
            and stand_ins.tx_hash = known.tx_hash
            and stand_ins.token_id = known.token_id
            and stand_ins.side = known.side
            and stand_ins.shares_raw = known.shares_raw
    where
        stand_ins.key_quality in ('stand_in', 'collapsed')
        and known.key_quality in ('exact', 'repaired')
        and abs(stand_ins.usdc_raw - known.usdc_raw) <= 1
)

select
    variants.wallet_address,
    variants.tx_hash,
    variants.order_hash,
    variants.key_quality,
    variants.timestamp,
    variants.side,
    variants.token_id,
    variants.price,
    variants.shares_normalized,
    variants.shares_raw,
    variants.usdc_raw,
    variants.taker,
    case when variants.taker is not null then exchanges.contract_address is not null end as is_taker_leg,
    variants.condition_id,
    variants.token_label,
    variants.market_slug,
    variants.title,
    variants.log_index,
    variants.block_number,
    variants.contract_address,
    variants.source,
    variants.upstream_version,
    variants.extra_fields,
    variants.content_hash,
    nullif(
        {% for column in token_columns() + position_columns() %}
        case
            when variants.{{ column }}_version <> variants.row_version
                then '{{ column }}=' || variants.{{ column }}_version || ';'
            else ''
        end{{ ' ||' if not loop.last }}
        {% endfor %},
        ''
    ) as completed_from,
    variants.row_version,
    {{ fingerprint([
        'variants.token_id', 'variants.side', 'variants.shares_raw', 'variants.usdc_raw', 'variants.log_index'
    ]) }} as collision_id,
    variants.is_in_trades,
    variants.is_in_collisions,
    variants.is_key_in_trades,
    -- What does not stand as a fill of its own.
    variants.is_absorbed or claimed.order_hash is not null as is_superseded
from variants
left join claimed
    on
        variants.wallet_address = claimed.wallet_address
        and variants.tx_hash = claimed.tx_hash
        and variants.order_hash = claimed.order_hash
        and variants.token_id = claimed.token_id
        and variants.side = claimed.side
        and variants.shares_raw = claimed.shares_raw
        and variants.usdc_raw = claimed.usdc_raw
left join {{ ref('exchange_contracts') }} as exchanges
    on variants.taker = exchanges.contract_address
