{{ config(tags=['whole_table'], alias='mon_duplicate_rows' ~ window_suffix()) }}

{% set key = 'wallet_address, tx_hash, order_hash' %}
{% set version = record_version('source_rank', 'upstream_version', 'timestamp', 'content_hash') %}
{% set columns = contract_columns('trades') | map(attribute='name') | list or ['*'] %}

-- Every row of the keys that stand several times, in the order in which records win: the first would be kept.
-- Nearly always there is none, and then nothing of `trades` is read; else the days on which these keys stand.
with duplicates as (
    select * from {{ ref('mon_duplicate_keys') }}
),

rows_of_them as (
    select
        {{ stored_columns('trades', 'trades') }},
        duplicates.copies,
        coalesce(ranks.source_rank, 99) as source_rank
    from {{ ref('trades') }} as stored
    inner join duplicates
        on
            coalesce(stored.wallet_address, '') = coalesce(duplicates.wallet_address, '')
            and coalesce(stored.tx_hash, '') = coalesce(duplicates.tx_hash, '')
            and coalesce(stored.order_hash, '') = coalesce(duplicates.order_hash, '')
    left join {{ ref('source_ranks') }} as ranks on stored.source = ranks.source
    where
        {{ checked_window('stored.timestamp') }}
        and {{ window_predicate(days_of_duplicates(ref('mon_duplicate_keys'), ref('trades')), 'stored.timestamp') }}
),

placed as (
    select
        *,
        row_number() over (partition by {{ key }} order by {{ version }} desc) as place,
        first_value(content_hash) over (partition by {{ key }} order by {{ version }} desc) as kept_content_hash,
        first_value(source_rank) over (partition by {{ key }} order by {{ version }} desc) as kept_source_rank,
        first_value(timestamp) over (partition by {{ key }} order by {{ version }} desc) as kept_timestamp,
        count(*) over (partition by {{ key }}, token_id, side, shares_raw, usdc_raw) = copies
        and coalesce(
            min(log_index) over (partition by {{ key }}) = max(log_index) over (partition by {{ key }}), true
        ) as is_one_fill
    from rows_of_them
)

select
    {{ columns | join(',\n    ') }},
    copies,
    place,
    is_one_fill,
    case
        when wallet_address is null or tx_hash is null or order_hash is null then 'a part of its key is missing'
        when not is_one_fill then 'another fill under the same key'
        when place = 1 then 'kept: the greatest record'
        when source_rank > kept_source_rank then 'from a source of a lower rank'
        when timestamp < kept_timestamp then 'an older record'
        when content_hash = kept_content_hash and content_hash <> '' then 'equal to the one that is kept'
        else 'its content sorts lower'
    end as reason
from placed
