{# What the migration spells differently on each warehouse: hashes, where a row is, work tables. #}

{# A work table of the migration: a Parquet file on DuckDB, a table of its own dataset on BigQuery. #}
{% macro work_table(name) -%}
    {{ return(adapter.dispatch('work_table', 'polytrades')(name)) }}
{%- endmacro %}
{% macro duckdb__work_table(name) -%}
    {%- set pattern = '/*/*.parquet' if name == 'rows' else '.parquet' -%}
    {{ return("read_parquet('" ~ env_var('POLYTRADES_WORK', 'work') ~ "/" ~ name ~ pattern ~ "')") }}
{%- endmacro %}
{% macro bigquery__work_table(name) -%}
    {#- Here the newest rows are found in one pass and need not be fetched. -#}
    {{ return('`' ~ env_var('POLYTRADES_WORK', 'project.dataset.work_') ~ ('winners' if name == 'rows' else name) ~ '`') }}
{%- endmacro %}

{# Where a row of the table stands: the number of its file and its place there, or DuckDB's own row id. #}
{% macro legacy_row_address() -%}
    {{ return(adapter.dispatch('legacy_row_address', 'polytrades')()) }}
{%- endmacro %}
{% macro duckdb__legacy_row_address() -%}
    {{ return({
        0: "cast(null as bigint)",
        1: "staging.rowid",
        2: "staging.file_index * 1073741824 + staging.file_row_number",
    }[legacy_address_columns() | length]) }}
{%- endmacro %}
{% macro bigquery__legacy_row_address() -%}{{ return("cast(null as int64)") }}{%- endmacro %}

{# DuckDB: what it knows of the place of a row, beside the row's columns. #}
{% macro legacy_address_columns() -%}
    {%- if legacy_relation().startswith('(') -%}
        {{ return([]) }}
    {%- elif legacy_relation().startswith('read_parquet(') -%}
        {{ return(['file_index', 'file_row_number']) }}
    {%- endif -%}
    {{ return(['rowid']) }}
{%- endmacro %}

{# Rows of a work table that are to be copied into the month `@month`. BigQuery reads the partition of that month. #}
{% macro in_month(alias) -%}{{ return(adapter.dispatch('in_month', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__in_month(alias) -%}{{ return(alias ~ ".month = @month") }}{%- endmacro %}
{% macro bigquery__in_month(alias) -%}
    {{ return(alias ~ ".month = @month and " ~ alias ~ ".month_begins = @month_begins") }}
{%- endmacro %}

{# The month of an instant, as 2026-01. #}
{% macro utc_month(column) -%}{{ return(adapter.dispatch('utc_month', 'polytrades')(column)) }}{%- endmacro %}
{% macro duckdb__utc_month(column) -%}{{ return("strftime(" ~ column ~ " at time zone 'UTC', '%Y-%m')") }}{%- endmacro %}
{% macro bigquery__utc_month(column) -%}{{ return("format_timestamp('%Y-%m', " ~ column ~ ")") }}{%- endmacro %}

{# Two hashes of a key that have nothing in common but the key. #}
{% macro key_hash_1(alias) -%}{{ return(adapter.dispatch('key_hash_1', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__key_hash_1(alias) -%}
    {{ return("hash(" ~ alias ~ ".wallet_address, " ~ alias ~ ".tx_hash, " ~ alias ~ ".order_hash)") }}
{%- endmacro %}
{% macro bigquery__key_hash_1(alias) -%}
    {{ return(
        "farm_fingerprint(concat(" ~ alias ~ ".wallet_address, '|', " ~ alias ~ ".tx_hash, '|', " ~ alias ~ ".order_hash))"
    ) }}
{%- endmacro %}

{% macro key_hash_2(alias) -%}{{ return(adapter.dispatch('key_hash_2', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__key_hash_2(alias) -%}
    {{ return("hash(" ~ alias ~ ".order_hash || '|' || " ~ alias ~ ".tx_hash || '|' || " ~ alias ~ ".wallet_address)") }}
{%- endmacro %}
{% macro bigquery__key_hash_2(alias) -%}
    {{ return(md5_60(alias ~ ".order_hash, '|', " ~ alias ~ ".tx_hash, '|', " ~ alias ~ ".wallet_address")) }}
{%- endmacro %}

{% macro pair_hash(alias) -%}{{ return(adapter.dispatch('pair_hash', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__pair_hash(alias) -%}
    {{ return("hash(" ~ alias ~ ".wallet_address, " ~ alias ~ ".tx_hash)") }}
{%- endmacro %}
{% macro bigquery__pair_hash(alias) -%}
    {{ return("farm_fingerprint(concat(" ~ alias ~ ".wallet_address, '|', " ~ alias ~ ".tx_hash))") }}
{%- endmacro %}

{# Two hashes of everything but the key: one of the columns as they are, one of their texts. #}
{% macro content_hash_1(alias) -%}{{ return(adapter.dispatch('content_hash_1', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__content_hash_1(alias) -%}
    {{ return("hash(" ~ alias ~ "." ~ content_columns() | map(attribute='name') | join(", " ~ alias ~ ".") ~ ")") }}
{%- endmacro %}
{% macro bigquery__content_hash_1(alias) -%}
    {{ return("farm_fingerprint(concat(" ~ content_texts(alias) | join(", '|', ") ~ "))") }}
{%- endmacro %}

{% macro content_hash_2(alias) -%}{{ return(adapter.dispatch('content_hash_2', 'polytrades')(alias)) }}{%- endmacro %}
{% macro duckdb__content_hash_2(alias) -%}
    {{ return("hash(concat_ws('|', " ~ content_texts(alias) | join(', ') ~ "))") }}
{%- endmacro %}
{% macro bigquery__content_hash_2(alias) -%}
    {{ return(md5_60(content_texts(alias) | join(", '|', "))) }}
{%- endmacro %}

{# Each column of the content as text that gives the bits back, `-` where it is NULL. #}
{% macro content_texts(alias) -%}
    {%- set texts = [] -%}
    {%- for column in content_columns() -%}
        {%- set value = alias ~ '.' ~ column.name -%}
        {%- if 'timestamp' in column.data_type -%}
            {%- set value = epoch_micros(value) -%}
        {%- elif legacy_types()[column.name] == column_type('float64') -%}
            {%- set value = float_text(value) -%}
        {%- endif -%}
        {%- do texts.append("coalesce(cast(" ~ value ~ " as " ~ dbt.type_string() ~ "), '-')") -%}
    {%- endfor -%}
    {{ return(texts) }}
{%- endmacro %}

{# BigQuery: the first 60 bits of an MD5, as a number. #}
{% macro md5_60(texts) -%}
    {{ return("cast(concat('0x', substr(to_hex(md5(concat(" ~ texts ~ "))), 1, 15)) as int64)") }}
{%- endmacro %}

{# A hash of a row with the work columns key_1, key_2, content_1, content_2, made of the first or second of each. #}
{% macro row_hash(number) -%}{{ return(adapter.dispatch('row_hash', 'polytrades')(number)) }}{%- endmacro %}
{% macro duckdb__row_hash(number) -%}{{ return("hash(key_" ~ number ~ ", content_" ~ number ~ ")") }}{%- endmacro %}
{% macro bigquery__row_hash(number) -%}
    {{ return(
        "farm_fingerprint(concat(cast(key_" ~ number ~ " as string), '|', cast(content_" ~ number ~ " as string)))"
    ) }}
{%- endmacro %}

{# Aggregate: the sum of 64-bit hashes as text. BigQuery adds up their halves, since the sum of the wholes overflows. #}
{% macro sum_of_hashes(expression) -%}
    {{ return(adapter.dispatch('sum_of_hashes', 'polytrades')(expression)) }}
{%- endmacro %}
{% macro duckdb__sum_of_hashes(expression) -%}
    {{ return("cast(coalesce(sum(cast(" ~ expression ~ " as hugeint)), 0) as varchar)") }}
{%- endmacro %}
{% macro bigquery__sum_of_hashes(expression) -%}
    {{ return(
        "concat(cast(coalesce(sum((" ~ expression ~ ") >> 32), 0) as string), ':', cast(coalesce(sum((" ~ expression
        ~ ") & 4294967295), 0) as string))"
    ) }}
{%- endmacro %}

{# Microseconds since 1970 within what 51 bits hold (until 2041), so that a number can be made of them and a hash. #}
{% macro clamped_micros(column) -%}
    least(greatest(coalesce({{ epoch_micros(column) }}, 0), 0), 2251799813685247)
{%- endmacro %}

{#
  The rows of the table that `trades` is to get: of each key the newest (time, then content), keys that production has
  left out; rows with a broken value, each for itself. `before` holds the keys of production.

  DuckDB: their addresses alone. Order and address are one number of 128 bits, so that the search for the newest
  carries nothing else: 3 bits of the source's rank, 51 of time, 33 of the content's hash, 41 of the address (which is
  2,048 files of 2^30 rows). BigQuery: the rows.
#}
{% macro newest_rows() -%}{{ return(adapter.dispatch('newest_rows', 'polytrades')()) }}{%- endmacro %}
{% macro duckdb__newest_rows() -%}
with staged as (
    select * from {{ ref('stg_legacy__trades') }}
),

versions as (
    select
        case when broken_value is null then {{ key_hash_1('staged') }} else hash(row_address) end as key_1,
        case when broken_value is null then {{ key_hash_2('staged') }} else 0 end as key_2,
        (cast(7 - least(source_rank, 7) as uhugeint) << 125)
        | (cast({{ clamped_micros('timestamp') }} as uhugeint) << 74)
        | (cast({{ content_hash_1('staged') }} >> 31 as uhugeint) << 41)
        | cast(row_address as uhugeint) as version
    from staged
),

newest as (
    select
        key_1,
        key_2,
        max(version) as version
    from versions
    group by key_1, key_2
)

select cast(newest.version & 2199023255551 as bigint) as row_address
from newest
where not exists (
    select 1
    from {{ work_table('before') }} as before
    where
        before.key_1 = newest.key_1
        and before.key_2 = newest.key_2
)
{%- endmacro %}
{% macro bigquery__newest_rows() -%}
with staged as (
    select * from {{ ref('stg_legacy__trades') }}
),

hashed as (
    select
        staged.*,
        {{ row_hashes('staged', 1) }},
        {{ clamped_micros('timestamp') }} as micros
    from staged
),

newest as (
    select *
    from hashed
    where broken_value is null
    qualify row_number() over (partition by key_1, key_2 order by source_rank, micros desc, content_1 desc) = 1
    union all
    select *
    from hashed
    where broken_value is not null
)

select
    newest.* except (id, content_1, micros),
    coalesce(newest.broken_key, newest.broken_value) as broken_rule,
    case
        when coalesce(newest.broken_key, newest.broken_value) is not null then 'rejected'
        else {{ utc_month('newest.timestamp') }}
    end as month,
    case
        when coalesce(newest.broken_key, newest.broken_value) is null
            then timestamp_trunc(newest.timestamp, month)
    end as month_begins
from newest
left join {{ work_table('before') }} as before
    on
        newest.key_1 = before.key_1
        and newest.key_2 = before.key_2
        and newest.broken_value is null
where before.key_1 is null
{%- endmacro %}

{# The rows at those addresses. Empty where they are at hand already. #}
{% macro rows_at_addresses() -%}{{ return(adapter.dispatch('rows_at_addresses', 'polytrades')()) }}{%- endmacro %}
{% macro bigquery__rows_at_addresses() -%}{{ return('') }}{%- endmacro %}
{% macro duckdb__rows_at_addresses() -%}
-- Taken first and worked out then: of ten rows of the table nine are repeats.
with found as (
    select
        staging.*
        {%- for column in legacy_address_columns() %},
        staging.{{ column }}
        {%- endfor %}
    from {{ legacy_relation() }} as staging
    inner join {{ work_table('winners') }} as winners
        on {{ legacy_row_address() }} = winners.row_address
),

staged as (
    {{ legacy_rows('found') }}
)

select
    -- What the table had in place of the order hash matters of a broken row alone.
    staged.* exclude (row_address, id, record_id),
    case when coalesce(staged.broken_key, staged.broken_value) is not null then staged.record_id end as record_id,
    {{ row_hashes('staged', 0) }},
    coalesce(staged.broken_key, staged.broken_value) as broken_rule,
    case
        when coalesce(staged.broken_key, staged.broken_value) is not null then 'rejected'
        else {{ utc_month('staged.timestamp') }}
    end as month
from staged
{%- endmacro %}

{# Of each key of the table the newest row, as key, month and hashes of its content: what production has to hold. Found
   in another way than the copy does it: the content's first hash decides between rows of one time, whole.
   DuckDB: `arg_max` of a bigint by a hugeint, since of unsigned ones it keeps texts, and those never leave memory. #}
{% macro newest_contents() -%}{{ return(adapter.dispatch('newest_contents', 'polytrades')()) }}{%- endmacro %}
{% macro duckdb__newest_contents() -%}
    select
        key_1,
        key_2,
        any_value(pair) as pair,
        cast(max(version) & 18446744073709551615 as ubigint) as content_1,
        cast(
            cast(arg_max(signed_content_2, cast(version as hugeint)) as hugeint) + 9223372036854775808 as ubigint
        ) as content_2,
        make_timestamptz(cast((max(version) >> 64) & 2251799813685247 as bigint)) as timestamp
    from (
        select
            {{ row_hashes('staged', 0) }},
            (cast(7 - least(staged.source_rank, 7) as uhugeint) << 115)
            | (cast({{ clamped_micros('staged.timestamp') }} as uhugeint) << 64)
            | cast({{ content_hash_1('staged') }} as uhugeint) as version,
            cast(cast({{ content_hash_2('staged') }} as hugeint) - 9223372036854775808 as bigint) as signed_content_2
        from {{ ref('stg_legacy__trades') }} as staged
        where staged.broken_value is null
    ) as versions
    group by key_1, key_2
{%- endmacro %}
{% macro bigquery__newest_contents() -%}
    select
        key_1,
        key_2,
        pair,
        content_1,
        content_2,
        timestamp
    from (
        select
            {{ row_hashes('staged') }},
            staged.timestamp,
            staged.source_rank,
            {{ clamped_micros('staged.timestamp') }} as micros
        from {{ ref('stg_legacy__trades') }} as staged
        where staged.broken_value is null
    ) as versions
    where true
    qualify row_number() over (partition by key_1, key_2 order by source_rank, micros desc, content_1 desc) = 1
{%- endmacro %}

{# A hash of a row of the table as it stands there. #}
{% macro legacy_row_hash(number) -%}{{ return(adapter.dispatch('legacy_row_hash', 'polytrades')(number)) }}{%- endmacro %}
{% macro duckdb__legacy_row_hash(number) -%}
    {%- set columns = [] -%}
    {%- for name in legacy_columns().values() -%}
        {%- do columns.append('staging.' ~ adapter.quote(name)) -%}
    {%- endfor -%}
    {%- if number == 1 -%}
        {{ return("hash(" ~ columns | join(', ') ~ ")") }}
    {%- endif -%}
    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append("coalesce(cast(" ~ column ~ " as varchar), '-')") -%}
    {%- endfor -%}
    {{ return("hash(concat_ws('|', " ~ texts | join(', ') ~ "))") }}
{%- endmacro %}
{% macro bigquery__legacy_row_hash(number) -%}
    {%- set texts = [] -%}
    {%- for column, name in legacy_columns().items() -%}
        {%- set value = 'staging.' ~ adapter.quote(name) -%}
        {%- if legacy_types()[column] == column_type('float64') -%}
            {%- set value = float_text(legacy_value(column)) -%}
        {%- endif -%}
        {%- do texts.append("coalesce(cast(" ~ value ~ " as string), '-')") -%}
    {%- endfor -%}
    {{ return(
        "farm_fingerprint(concat(" ~ texts | join(", '|', ") ~ "))" if number == 1 else md5_60(texts | join(", '|', "))
    ) }}
{%- endmacro %}

{# A rejected row as JSON with the names of an order record. #}
{% macro record_json() -%}{{ return(adapter.dispatch('record_json', 'polytrades')()) }}{%- endmacro %}
{% macro record_fields() -%}
    {{ return({
        'user': 'wallet_address', 'tx_hash': 'tx_hash', 'id': 'record_id', 'timestamp': epoch_micros('timestamp') ~ ' / 1000000',
        'side': 'side', 'token_id': 'token_id', 'price': 'price', 'shares_normalized': 'shares_normalized',
        'condition_id': 'condition_id', 'token_label': 'token_label'
    }) }}
{%- endmacro %}
{% macro duckdb__record_json() -%}
    {%- set fields = [] -%}
    {%- for name, value in record_fields().items() -%}
        {%- do fields.append('"' ~ name ~ '" := ' ~ value) -%}
    {%- endfor -%}
    {{ return("cast(to_json(struct_pack(" ~ fields | join(', ') ~ ")) as varchar)") }}
{%- endmacro %}
{% macro bigquery__record_json() -%}
    {%- set fields = [] -%}
    {%- for name, value in record_fields().items() -%}
        {%- do fields.append(value ~ ' as `' ~ name ~ '`') -%}
    {%- endfor -%}
    {{ return("to_json_string(struct(" ~ fields | join(', ') ~ "))") }}
{%- endmacro %}

{# Microseconds from one instant to a later one. #}
{% macro micros_between(first, last) -%}
    ({{ epoch_micros(last) }} - {{ epoch_micros(first) }})
{%- endmacro %}
