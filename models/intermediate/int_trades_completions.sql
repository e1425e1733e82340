{{ config(meta={'built_from_pending_batches': true}) }}

{% set awaiting = production_relation('awaiting_metadata') %}
{% set markets = production_relation('markets') %}

-- Facts of the token for fills that came without them. They join the batch as records of the lowest rank: they complete
-- what the fill lacks and never win over a record of it. A build takes the newest days of fills, no more than
-- `completion_days`, because each is a day that the merge reads; the next builds take the others.
-- depends_on: {{ ref('pending_batches') }}
{% if awaiting and markets and has_rows(awaiting) %}

with awaiting as (
    select * from {{ awaiting }}
),

markets as (
    select * from {{ markets }}
),

tokens as (
    select
        side_a_id as token_id,
        side_a_label as token_label,
        condition_id
    from markets
    where side_a_id is not null
    union all
    select
        side_b_id as token_id,
        side_b_label as token_label,
        condition_id
    from markets
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
        awaiting.wallet_address,
        awaiting.tx_hash,
        awaiting.order_hash,
        awaiting.timestamp,
        awaiting.side,
        awaiting.token_id,
        awaiting.shares_raw,
        awaiting.usdc_raw,
        awaiting.log_index,
        markets.condition_id,
        known_tokens.token_label,
        markets.market_slug,
        markets.title
    from awaiting
    left join known_tokens
        on awaiting.token_id = known_tokens.token_id
    inner join markets
        on coalesce(awaiting.condition_id, known_tokens.condition_id) = markets.condition_id
    where
        awaiting.condition_id is null
        or (awaiting.token_label is null and known_tokens.token_label is not null)
        or (awaiting.market_slug is null and markets.market_slug is not null)
        or (awaiting.title is null and markets.title is not null)
)

select *
from offered
qualify dense_rank() over (order by {{ utc_day('timestamp') }} desc) <= {{ var('completion_days') }}

{% else %}

select
    {% for column in contract_columns('awaiting_metadata') if column.name not in ['collision_id', 'missing'] %}
    cast(null as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref('pending_batches') }}
where false

{% endif %}
