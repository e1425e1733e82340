{# Where rows lie in storage. DuckDB prunes by the minimum and maximum of row groups and needs no declaration; it
   stops at a `partition_by` in BigQuery's form. #}

{# Keys of `config()` for a table in which days of `day_of` are looked up (none: only `cluster_by` counts). #}
{% macro table_layout(day_of=none, cluster_by=none) -%}
    {{ return(adapter.dispatch('table_layout', 'polytrades')(day_of, cluster_by)) }}
{%- endmacro %}
{% macro duckdb__table_layout(day_of, cluster_by) -%}{{ return({}) }}{%- endmacro %}
{% macro bigquery__table_layout(day_of, cluster_by) -%}
    {%- set layout = {} -%}
    {%- if day_of -%}
        {%- do layout.update({'partition_by': {'field': day_of, 'data_type': 'timestamp', 'granularity': 'day'}}) -%}
    {%- endif -%}
    {%- if cluster_by -%}
        {%- do layout.update({'cluster_by': cluster_by}) -%}
    {%- endif -%}
    {{ return(layout) }}
{%- endmacro %}

{# The same for the DDL of a source table, whose `day_of` is a date. Never with an expiration: it would take away what
   is not merged. #}
{% macro source_table_layout(day_of=none, cluster_by=none) -%}
    {{ return(adapter.dispatch('source_table_layout', 'polytrades')(day_of, cluster_by)) }}
{%- endmacro %}
{% macro duckdb__source_table_layout(day_of, cluster_by) -%}{{ return('') }}{%- endmacro %}
{% macro bigquery__source_table_layout(day_of, cluster_by) -%}
    {{ return(
        (' partition by ' ~ day_of if day_of else '') ~ (' cluster by ' ~ cluster_by | join(', ') if cluster_by else '')
    ) }}
{%- endmacro %}

{# Options of a schema that is created: on BigQuery its place, which cannot be changed later. #}
{% macro schema_options() -%}{{ return(adapter.dispatch('schema_options', 'polytrades')()) }}{%- endmacro %}
{% macro duckdb__schema_options() -%}{{ return('') }}{%- endmacro %}
{% macro bigquery__schema_options() -%}
    {{ return(" options (location = '" ~ target.location ~ "')" if target.location else '') }}
{%- endmacro %}

{# `order by` for rows that are about to be stored. BigQuery clusters by itself, and a sort of everything at one worker
   is what makes a large CREATE TABLE AS fail there. #}
{% macro stored_in_order(columns) -%}
    {{ return(adapter.dispatch('stored_in_order', 'polytrades')(columns)) }}
{%- endmacro %}
{% macro duckdb__stored_in_order(columns) -%}{{ return('order by ' ~ columns | join(', ')) }}{%- endmacro %}
{% macro bigquery__stored_in_order(columns) -%}{{ return('') }}{%- endmacro %}

{# Hooks at the start and the end of a run. On DuckDB a checkpoint also puts small row groups together, and each large
   table that a run makes brings a checkpoint: without this the landed rows and the tables before the merge are written
   anew several times, a quarter of all that a large build does. Once, when dbt closes the file, is enough. #}
{% macro compact_at_the_end(is_the_end) -%}
    {{ return(adapter.dispatch('compact_at_the_end', 'polytrades')(is_the_end)) }}
{%- endmacro %}
{% macro duckdb__compact_at_the_end(is_the_end) -%}
    {{ return('reset max_vacuum_tasks' if is_the_end else 'set max_vacuum_tasks = 0') }}
{%- endmacro %}
{% macro bigquery__compact_at_the_end(is_the_end) -%}{{ return('') }}{%- endmacro %}
