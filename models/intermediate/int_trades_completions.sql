{{ config(meta={'built_from_pending_batches': true}) }}

{% set keys = [
    'wallet_address', 'tx_hash', 'order_hash', 'timestamp', 'side', 'token_id', 'shares_raw', 'usdc_raw', 'log_index'
] %}
{% set market_columns = [
    'condition_id', 'market_slug', 'title', 'side_a_id', 'side_a_label', 'side_b_id', 'side_b_label', 'as_of', 'source'
] %}
{% set awaiting = production_relation('awaiting_metadata') %}
{% set markets = production_relation('markets') %}

-- Facts of the token for fills that came without them, now or earlier. They join the batch as records of the lowest
-- rank: they complete what the fill lacks and never win over a record of it. Of the fills that have waited a build
-- takes the newest days, no more than `completion_days`, because each is a day that the merge reads.
with lacking as (
    select
        {{ (keys + token_columns()) | join(',\n        ') }},
        false as has_waited
    from {{ ref('stg_landing__trades') }}
    where
        {{ in_pending_batches('trades') }}
        and broken_rule is null
        and ({{ token_columns() | join(' is null or ') }} is null)
    {% if awaiting %}
        union all
        select
            {{ (keys + token_columns()) | join(',\n            ') }},
            true as has_waited
        from {{ awaiting }}
    {% endif %}
),

-- Not int_markets_latest: what is wrong with a market must not hold back the fills.
markets_seen as (
    select
        {{ market_columns | join(',\n        ') }}
    from {{ ref('stg_landing__markets') }}
    where
        {{ in_pending_batches('markets') }}
        and (
            condition_id in (select lacking.condition_id from lacking)
            or side_a_id in (select lacking.token_id from lacking)
            or side_b_id in (select lacking.token_id from lacking)
        )
    {% if markets %}
        union all
        select
            {{ market_columns | join(',\n            ') }}
        from {{ markets }}
    {% endif %}
),

known_markets as (
    select *
    from markets_seen
    qualify {{ is_newest(['condition_id'], ['as_of', 'source', 'title']) }}
),

tokens as (
    select
        side_a_id as token_id,
        side_a_label as token_label,
        condition_id
    from known_markets
    where side_a_id is not null
    union all
    select
        side_b_id as token_id,
        side_b_label as token_label,
        condition_id
    from known_markets
    where side_b_id is not null
),

-- A token belongs to one market; should two claim it, the answer must not depend on their order.
known_tokens as (
    select *
    from tokens
    qualify {{ is_newest(['token_id'], ['condition_id']) }}
),

offered as (
    select
        {% for column in keys %}
        lacking.{{ column }},
        {% endfor %}
        known_markets.condition_id,
        known_tokens.token_label,
        known_markets.market_slug,
        known_markets.title,
        lacking.has_waited,
        {{ utc_day('lacking.timestamp') }} as filled_on
    from lacking
    left join known_tokens
        on lacking.token_id = known_tokens.token_id
    inner join known_markets
        on coalesce(lacking.condition_id, known_tokens.condition_id) = known_markets.condition_id
    where
        lacking.condition_id is null
        or (lacking.token_label is null and known_tokens.token_label is not null)
        or (lacking.market_slug is null and known_markets.market_slug is not null)
        or (lacking.title is null and known_markets.title is not null)
)

select
    {{ (keys + token_columns()) | join(',\n    ') }}
from offered
qualify
    not has_waited
    or dense_rank() over (
        partition by has_waited
        order by filled_on desc
    ) <= {{ var('completion_days') }}
