{#
  The migration of a table of trades that was there before. The runner says in the environment which one it is and
  where work tables stand, and runs what is compiled from analyses/migration:

    POLYTRADES_STAGING          the table as SQL: a quoted name, or read_parquet('…')
    POLYTRADES_STAGING_COLUMNS  JSON: our name of a column → its name there; what is not named is not there
    POLYTRADES_INTO             the table that gets the rows, if it is not `trades`
    POLYTRADES_WORK             where this migration keeps its work tables

  Unset, the table is one without rows, so that the project parses and compiles without it.
#}
{% macro legacy_relation() -%}
    {%- set given = env_var('POLYTRADES_STAGING', '') -%}
    {%- if given -%}
        {{ return(given) }}
    {%- endif -%}
    {%- set nothing = [] -%}
    {%- for column, name in legacy_columns().items() -%}
        {%- do nothing.append('cast(null as ' ~ legacy_types()[column] ~ ') as ' ~ adapter.quote(name)) -%}
    {%- endfor -%}
    {{ return('(select ' ~ nothing | join(', ') ~ ' limit 0)') }}
{%- endmacro %}

{# The table that gets the rows: production, or what is to become it. #}
{% macro migrated_into() -%}
    {%- set production = ref('trades') -%}
    {{ return(env_var('POLYTRADES_INTO', '') or production) }}
{%- endmacro %}

{# Our name of a column → its name in the table. Without a word from the runner the ten columns of the old staging. #}
{% macro legacy_columns() -%}
    {%- set ten = {} -%}
    {%- for column in [
        'id', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
        'token_id', 'tx_hash'
    ] -%}
        {%- do ten.update({column: column}) -%}
    {%- endfor -%}
    {{ return(fromjson(env_var('POLYTRADES_STAGING_COLUMNS', tojson(ten)))) }}
{%- endmacro %}

{# Every column that such a table can have, with its type: those of production, old and new. #}
{% macro legacy_types() -%}
    {%- set types = {} -%}
    {%- for column in [
        'id', 'condition_id', 'wallet_address', 'timestamp', 'side', 'price', 'shares_normalized', 'token_label',
        'token_id', 'tx_hash', 'order_hash', 'taker', 'market_slug', 'title', 'shares_raw', 'usdc_raw', 'is_taker_leg',
        'key_quality', 'log_index', 'block_number', 'contract_address', 'fee_raw', 'fee_unit', 'source',
        'upstream_version', 'extra_fields', 'content_hash', 'completed_from'
    ] -%}
        {%- set type = {
            'timestamp': 'timestamp', 'price': 'float64', 'shares_normalized': 'float64', 'shares_raw': 'bigint',
            'usdc_raw': 'bigint', 'is_taker_leg': 'boolean', 'log_index': 'bigint', 'block_number': 'bigint',
            'upstream_version': 'bigint', 'fee_raw': 'bigint'
        }.get(column, 'string') -%}
        {%- do types.update({column: column_type(type)}) -%}
    {%- endfor -%}
    {{ return(types) }}
{%- endmacro %}

{# A column of the table in its type, NULL where the table has none. #}
{% macro legacy_value(column) -%}
    {%- set type = legacy_types()[column] -%}
    {%- set name = legacy_columns().get(column) -%}
    cast({{ 'staging.' ~ adapter.quote(name) if name else 'null' }} as {{ type }})
{%- endmacro %}

{# Rows of a relation that has the table's columns, as `trades` would have them. Says nothing between rows, so that some
   of them can be taken first. #}
{% macro legacy_rows(relation) -%}
{% set hex_columns = ['id', 'wallet_address', 'tx_hash', 'order_hash', 'condition_id', 'taker'] %}
{% set has_source = 'source' in legacy_columns() %}

with legacy as (
    select
        {% for column in legacy_types() %}
        {{ hex_key(legacy_value(column)) if column in hex_columns else legacy_value(column) }} as {{ column }},
        {% endfor %}
        {{ legacy_row_address() }} as row_address
    from {{ relation }} as staging
),

sized as (
    select
        *,
        coalesce(shares_raw, {{ shares_in_units('shares_normalized') }}) as exact_shares_raw
    from legacy
),

valued as (
    select
        *,
        coalesce(usdc_raw, {{ usdc_in_units('price', 'exact_shares_raw') }}) as exact_usdc_raw,
        {{ presumed_order_hash('order_hash', 'id', 'tx_hash') }} as presumed_order_hash
    from sized
),

keyed as (
    select
        *,
        coalesce(
            presumed_order_hash,
            {{ stand_in_order_hash(
                'wallet_address', 'tx_hash', 'token_id', 'side', 'exact_shares_raw', 'exact_usdc_raw'
            ) }}
        ) as complete_order_hash
    from valued
)

select
    -- as `trades` has them
    keyed.complete_order_hash as id,
    keyed.condition_id,
    keyed.wallet_address,
    keyed.timestamp,
    keyed.side,
    keyed.price,
    keyed.shares_normalized,
    keyed.token_label,
    keyed.token_id,
    keyed.tx_hash,
    keyed.complete_order_hash as order_hash,
    keyed.taker,
    keyed.market_slug,
    keyed.title,
    keyed.exact_shares_raw as shares_raw,
    keyed.exact_usdc_raw as usdc_raw,
    {% if 'taker' in legacy_columns() %}
    case
        when keyed.taker is not null then keyed.taker in (select contract_address from {{ ref('exchange_contracts') }})
    end as is_taker_leg,
    {% else %}
    keyed.is_taker_leg,
    {% endif %}
    case
        when keyed.presumed_order_hash = keyed.order_hash then coalesce(keyed.key_quality, 'exact')
        when keyed.presumed_order_hash is not null then 'repaired'
        else '{{ 'stand_in' if missing_order_hash_policy() == 'distinct' else 'collapsed' }}'
    end as key_quality,
    keyed.log_index,
    keyed.block_number,
    keyed.contract_address,
    keyed.fee_raw,
    keyed.fee_unit,
    coalesce(keyed.source, 'legacy') as source,
    keyed.upstream_version,
    keyed.extra_fields,
    keyed.content_hash,
    keyed.completed_from,

    -- the row itself
    keyed.id as record_id,
    keyed.row_address,
    {{ 'coalesce(ranks.source_rank, 7)' if has_source else '4' }} as source_rank,

    -- the rules that it breaks
    {{ broken_value_rule(
        'keyed.timestamp', 'keyed.token_id', 'keyed.side', 'keyed.price', 'keyed.exact_shares_raw', 'keyed.exact_usdc_raw'
    ) }} as broken_value,
    coalesce(
        {{ broken_key_rule('keyed.wallet_address', 'keyed.tx_hash') }},
        case
            when keyed.presumed_order_hash is not null and not {{ looks_like_hash('keyed.presumed_order_hash') }}
                then 'bad_order_hash'
        end
    ) as broken_key
from keyed
{% if has_source -%}
left join {{ ref('source_ranks') }} as ranks
    on coalesce(keyed.source, 'legacy') = ranks.source
{%- endif %}
{%- endmacro %}

{# The order hash that a row says it has, told by its length alone: looking at each digit of every repeat of a row would
   take longer than all else. What turns out to be none breaks a rule (`bad_order_hash`). #}
{% macro presumed_order_hash(order_hash, id, tx_hash) -%}
    case
        when length({{ order_hash }}) = 66 and starts_with({{ order_hash }}, '0x') then {{ order_hash }}
        when length({{ id }}) = 66 and starts_with({{ id }}, '0x') and {{ id }} <> {{ tx_hash }} then {{ id }}
    end
{%- endmacro %}

{# All columns of `trades` but the key: what makes the content of a row. #}
{% macro content_columns() -%}
    {%- set columns = [] -%}
    {%- for column in contract_columns('trades') if column.name not in ['wallet_address', 'tx_hash', 'order_hash'] -%}
        {%- do columns.append(column) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{# What a row is compared by, as columns: its key as two independent hashes of 64 bits each, its wallet and transaction as
   one, and its content as `contents` of them (0 to 2). #}
{% macro row_hashes(alias, contents=2) -%}
    {{ key_hash_1(alias) }} as key_1,
    {{ key_hash_2(alias) }} as key_2,
    {{ pair_hash(alias) }} as pair
    {%- if contents > 0 %},
    {{ content_hash_1(alias) }} as content_1
    {%- endif %}
    {%- if contents > 1 %},
    {{ content_hash_2(alias) }} as content_2
    {%- endif %}
{%- endmacro %}

{# Count and sums that two sets of rows share only if they are the same multiset. Sums, because in an XOR a pair of equal
   rows cancels out. #}
{% macro multiset_sums() -%}
    count(*) as row_count,
    {{ sum_of_hashes(row_hash(1)) }} as sum_1,
    {{ sum_of_hashes(row_hash(2)) }} as sum_2
{%- endmacro %}
