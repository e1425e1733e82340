{#
  Runs before every dbt command that builds: the landing and state tables exist, the recorded policy
  is the one asked for, and no ledger speaks of a mart that is gone. Safe to run any number of times;
  creates only what is missing, so that a reader without the right to create is not stopped.
#}
{% macro prepare_warehouse() -%}
    {%- if execute and flags.WHICH in ['run', 'build', 'seed', 'snapshot', 'test'] -%}
        {%- do ensure_source_tables() -%}
        {%- if is_production() and flags.WHICH in ['run', 'build'] -%}
            {%- do keep_recorded_setting('missing_order_hash', missing_order_hash_policy()) -%}
            {%- do refuse_ledger_without_mart() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The sources' YAML is the one home of the tables' columns; the runner reads the same files. #}
{% macro ensure_source_tables() -%}
    {%- for source in graph.sources.values() if source.config.meta.get('created_by_polytrades') -%}
        {%- set existing = adapter.get_relation(source.database, source.schema, source.identifier) -%}
        {%- if existing is none -%}
            {%- set relation = api.Relation.create(source.database, source.schema, source.identifier) -%}
            {%- set columns = [] -%}
            {%- for column in source.columns.values() -%}
                {%- do columns.append(adapter.quote(column.name) ~ ' ' ~ column_type(column.data_type)) -%}
            {%- endfor -%}
            {%- do adapter.create_schema(relation) -%}
            {%- do run_query('create table if not exists ' ~ relation ~ ' (' ~ columns | join(', ') ~ ')') -%}
        {%- else -%}
            {%- set present = adapter.get_columns_in_relation(existing) | map(attribute='name') | map('lower') | list -%}
            {%- for column in source.columns.values() if column.name not in present -%}
                {%- do run_query(
                    'alter table ' ~ existing ~ ' add column ' ~ adapter.quote(column.name)
                    ~ ' ' ~ column_type(column.data_type)
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# A choice that shapes keys cannot change once rows have them: recorded at the first build, compared later. #}
{% macro keep_recorded_setting(name, value) -%}
    {%- set settings = source('state', 'recorded_settings') -%}
    {%- set recorded = run_query(
        "select value from " ~ settings ~ " where name = '" ~ name ~ "' order by recorded_at limit 1"
    ).columns[0].values() -%}
    {%- if not recorded -%}
        {%- do run_query(
            "insert into " ~ settings ~ " (name, value, recorded_at) values ('" ~ name ~ "', '" ~ value ~ "', "
            ~ now() ~ ")"
        ) -%}
    {%- elif recorded[0] != value -%}
        {{ exceptions.raise_compiler_error(
            "This warehouse was built with " ~ name ~ ": " ~ recorded[0] ~ ", and the keys of its rows depend on it; "
            ~ "the project now says " ~ value ~ ". Set the var " ~ name ~ " back to " ~ recorded[0]
            ~ ", or build into an empty warehouse."
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Without this, a lost `trades` would be built again with 0 rows, all green: its batches count as merged. #}
{% macro refuse_ledger_without_mart() -%}
    {%- set ledger = source('state', 'merged_batches') -%}
    {%- for mart in run_query("select distinct mart from " ~ ledger ~ " order by mart").columns[0].values() -%}
        {%- if production_relation(mart) is none -%}
            {{ exceptions.raise_compiler_error(
                "The table " ~ production_schema() ~ "." ~ mart ~ " is missing, but the ledger says that batches were "
                ~ "merged into it. Nothing was built. Restore the table from a backup; or, to merge again what landing "
                ~ "still holds, delete its entries first: delete from " ~ ledger ~ " where mart = '" ~ mart ~ "'"
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
