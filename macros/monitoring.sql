{# What the monitoring models share: which days are counted again, and the form of a check. #}

{# Condition on `timestamp`: the days that this build could have changed. Those of its batch and of what was stored of its
   transactions; those of batches that an earlier build merged without counting (it failed in between), which still stand
   in landing; the first time also the last `monitored_days`. None outside production: there nothing is merged. #}
{% macro days_to_count(batched, stored, pending) -%}
    {%- set ranges = [] -%}
    {%- if execute and is_production() -%}
        {%- set days = [] -%}
        {%- for relation in [batched, stored] if load_relation(relation) is not none -%}
            {%- do days.extend(days_of(relation, 'timestamp')) -%}
        {%- endfor -%}
        {%- if is_incremental() -%}
            {%- do days.extend(uncounted_days(pending)) -%}
        {%- else -%}
            {%- for age in range(var('monitored_days')) -%}
                {%- do days.append((run_started_at - modules.datetime.timedelta(days=age)).strftime('%Y-%m-%d')) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do ranges.extend(day_ranges(days, 0)) -%}
    {%- endif -%}
    {{ return(window_predicate(ranges, 'timestamp')) }}
{%- endmacro %}

{# UTC days in a column, as text. #}
{% macro days_of(relation, column, condition='true') -%}
    {{ return(run_query(
        "select distinct cast(" ~ utc_day(column) ~ " as " ~ dbt.type_string() ~ ") as day from " ~ relation
        ~ " where " ~ column ~ " is not null and " ~ condition
    ).columns[0].values() | list) }}
{%- endmacro %}

{# Days of fills in batches that were merged since this table was written last, and not by this build. #}
{% macro uncounted_days(pending) -%}
    {%- set missed = run_query(
        "select batches.batch_id, cast(batches.landed_on as " ~ dbt.type_string() ~ ") as landed_on from "
        ~ source('landing', 'batches') ~ " as batches inner join " ~ source('state', 'merged_batches') ~ " as ledger "
        ~ "on batches.batch_id = ledger.batch_id left join " ~ pending ~ " as pending "
        ~ "on batches.batch_id = pending.batch_id where batches.landing_table = 'trades' and ledger.mart = 'trades' "
        ~ "and pending.batch_id is null and ledger.merged_at > (select max(counted_at) from " ~ this ~ ")"
    ).rows -%}
    {%- if not missed -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return(days_of(
        source('landing', 'trades'),
        'traded_at',
        "landed_on in (date '" ~ missed | map(attribute='landed_on') | unique | join("', date '") ~ "') and batch_id in ('"
        ~ missed | map(attribute='batch_id') | unique | join("', '") ~ "')"
    )) }}
{%- endmacro %}

{# `polytrades duplicates --from --to` checks the keys of a window alone, in tables of their own: POLYTRADES_CHECK_FROM and
   POLYTRADES_CHECK_TO are days, or unset. #}
{% macro window_suffix() -%}
    {{ return('_window' if env_var('POLYTRADES_CHECK_FROM', '') else '') }}
{%- endmacro %}

{% macro checked_window(column) -%}
    {%- set since, before = env_var('POLYTRADES_CHECK_FROM', ''), env_var('POLYTRADES_CHECK_TO', '') -%}
    {{ return(window_predicate([{'since': since, 'before': before}], column) if since else 'true') }}
{%- endmacro %}

{# Days on which keys that stand several times have rows, as ranges. Asked only if there is such a key. #}
{% macro days_of_duplicates(duplicates, fills) -%}
    {%- if not execute or load_relation(duplicates) is none
        or not run_query('select count(*) from ' ~ duplicates).columns[0].values()[0] -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set matches = [] -%}
    {%- for column in ['wallet_address', 'tx_hash', 'order_hash'] -%}
        {%- do matches.append("coalesce(fills." ~ column ~ ", '') = coalesce(duplicates." ~ column ~ ", '')") -%}
    {%- endfor -%}
    {%- set days = run_query(
        "select distinct cast(" ~ utc_day('fills.timestamp') ~ " as " ~ dbt.type_string() ~ ") as day from " ~ fills
        ~ " as fills inner join " ~ duplicates ~ " as duplicates on " ~ matches | join(' and ')
    ).columns[0].values() -%}
    {{ return(day_ranges(days, 0)) }}
{%- endmacro %}

{# Columns of one branch of `mon_checks`. Arguments other than the name are expressions. #}
{% macro measured(check_name, value, subject=none, affected=none, detail=none, run_at=none) -%}
    '{{ check_name }}' as check_name,
    cast({{ subject or 'null' }} as {{ column_type('string') }}) as subject,
    cast({{ value }} as {{ column_type('float64') }}) as measured,
    cast({{ affected or 'null' }} as {{ column_type('bigint') }}) as affected,
    cast({{ detail or 'null' }} as {{ column_type('string') }}) as detail,
    cast({{ run_at or 'null' }} as {{ column_type('timestamp') }}) as run_at
{%- endmacro %}

{# The var `checks` as a query with columns check_name, warn_above, fail_above. #}
{% macro check_limits_as_rows() -%}
    {%- set rows = [] -%}
    {%- for check_name, limits in var('checks').items() -%}
        {%- set columns = ["'" ~ check_name ~ "' as check_name"] -%}
        {%- for name in ['warn_above', 'fail_above'] -%}
            {%- set limit = limits[loop.index0] -%}
            {%- do columns.append(
                'cast(' ~ ('null' if limit is none else limit) ~ ' as ' ~ column_type('float64') ~ ') as ' ~ name
            ) -%}
        {%- endfor -%}
        {%- do rows.append('select ' ~ columns | join(', ')) -%}
    {%- endfor -%}
    {{ return(rows | join('\n    union all\n    ')) }}
{%- endmacro %}

{# Hours from one instant to another, with fractions. #}
{% macro hours_between(earlier, later) -%}
    {{ return('(' ~ epoch_micros(later) ~ ' - ' ~ epoch_micros(earlier) ~ ') / 3600000000') }}
{%- endmacro %}

{% macro hours_since(instant) -%}
    {{ return(hours_between(instant, now())) }}
{%- endmacro %}

{% macro text_of(expression) -%}
    {{ return('cast(' ~ expression ~ ' as ' ~ dbt.type_string() ~ ')') }}
{%- endmacro %}
