{#
  Runs before every dbt command that builds: the landing and state tables exist, the recorded policy
  is the one asked for, and no ledger speaks of a mart that is gone. Safe to run any number of times;
  creates only what is missing, so that a reader without the right to create is not stopped.

  Commits what it sends: dbt rolls back what a hook leaves open.
#}
{% macro prepare_warehouse() -%}
    {%- if execute and flags.WHICH in ['run', 'build', 'seed', 'snapshot', 'test'] -%}
        {%- set statements = missing_source_tables() -%}
        {%- if flags.WHICH in ['run', 'build'] -%}
            {%- if is_production() -%}
                {%- set statements = statements + recorded_setting(
                    'production_schema', production_schema(), 'state and landing speak of the tables in it'
                ) -%}
                {%- do refuse_ledger_without_mart() -%}
                {%- do refuse_foreign_mart() -%}
                {%- set policy = missing_order_hash_policy() -%}
                {%- set statements = statements + recorded_setting(
                    'missing_order_hash', policy, 'the keys of its rows depend on it'
                ) -%}
            {%- else -%}
                {%- do refuse_views_without_production() -%}
            {%- endif -%}
        {%- endif -%}
        {%- if statements -%}
            {%- call statement('prepare_warehouse', auto_begin=true) -%}
                {{ statements | join(';\n') }}
            {%- endcall -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# A state table, or none while it does not exist. Not by `source()`: with --empty that reads as a query without rows. #}
{% macro state_relation(name) -%}
    {%- set node = graph.sources['source.polytrades.state.' ~ name] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.identifier)) }}
{%- endmacro %}

{# The sources' YAML is the one home of the tables' columns; the runner reads the same files. #}
{% macro missing_source_tables() -%}
    {%- set statements = [] -%}
    {%- for source in graph.sources.values() if source.config.meta.get('created_by_polytrades') -%}
        {%- set existing = adapter.get_relation(source.database, source.schema, source.identifier) -%}
        {%- if existing is none -%}
            {%- set relation = api.Relation.create(source.database, source.schema, source.identifier) -%}
            {%- set columns = [] -%}
            {%- for column in source.columns.values() -%}
                {%- do columns.append(adapter.quote(column.name) ~ ' ' ~ column_type(column.data_type)) -%}
            {%- endfor -%}
            {#- Only where it is missing: CREATE … IF NOT EXISTS needs the right to create one in any case. -#}
            {%- set schema = 'create schema if not exists ' ~ relation.without_identifier() ~ schema_options() -%}
            {%- if schema not in statements and not adapter.check_schema_exists(source.database, source.schema) -%}
                {%- do statements.append(schema) -%}
            {%- endif -%}
            {%- set meta = source.config.meta -%}
            {%- if meta.get('only_row') -%}
                {#- Table and row in one statement: two that start at once must not both put a row in. -#}
                {%- set values = [] -%}
                {%- for column in source.columns.values() -%}
                    {%- do values.append(
                        'cast(' ~ meta.only_row.get(column.name, 'null') ~ ' as ' ~ column_type(column.data_type) ~ ') as '
                        ~ adapter.quote(column.name)
                    ) -%}
                {%- endfor -%}
                {%- do statements.append('create table if not exists ' ~ relation ~ ' as select ' ~ values | join(', ')) -%}
            {%- else -%}
                {%- do statements.append(
                    'create table if not exists ' ~ relation ~ ' (' ~ columns | join(', ') ~ ')'
                    ~ source_table_layout(meta.get('partition_by'), meta.get('cluster_by'))
                ) -%}
            {%- endif -%}
        {%- else -%}
            {%- set present = adapter.get_columns_in_relation(existing) | map(attribute='name') | map('lower') | list -%}
            {%- for column in source.columns.values() if column.name not in present -%}
                {%- do statements.append(
                    'alter table ' ~ existing ~ ' add column if not exists ' ~ adapter.quote(column.name)
                    ~ ' ' ~ column_type(column.data_type)
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(statements) }}
{%- endmacro %}

{# A choice that cannot change once rows depend on it: recorded at the first build, compared later. #}
{% macro recorded_setting(name, value, why) -%}
    {%- set table = source('state', 'recorded_settings').render() -%}
    {%- set recorded = [] -%}
    {%- if state_relation('recorded_settings') is not none -%}
        {%- set recorded = run_query(
            "select value from " ~ table ~ " where name = '" ~ name ~ "' order by recorded_at limit 1"
        ).columns[0].values() -%}
    {%- endif -%}
    {%- if recorded and recorded[0] != value -%}
        {{ exceptions.raise_compiler_error(
            "This warehouse was built with " ~ name ~ ": " ~ recorded[0] ~ ", and " ~ why ~ "; "
            ~ "the project now says " ~ value ~ ". Set the var " ~ name ~ " back to " ~ recorded[0]
            ~ ", or build into an empty warehouse."
        ) }}
    {%- endif -%}
    {{ return([] if recorded else [
        "insert into " ~ table ~ " (name, value, recorded_at) select '" ~ name ~ "', '" ~ value ~ "', " ~ now()
        ~ " from (select 1 as one) as once where not exists (select 1 from " ~ table ~ " as known where known.name = '"
        ~ name ~ "')"
    ]) }}
{%- endmacro %}

{# A table `trades` that no build of ours made is somebody's only copy: taken on by `polytrades adopt`, which looks at it
   first, never by a build on the way. A view of that name would be dropped by dbt. #}
{% macro refuse_foreign_mart() -%}
    {%- set there = [] -%}
    {%- for mart in fed_marts().values() | sum(start=[]) if production_relation(mart) is not none -%}
        {%- do there.append(production_relation(mart)) -%}
    {%- endfor -%}
    {%- set known = [] -%}
    {%- if there and state_relation('recorded_settings') is not none -%}
        {%- set known = run_query(
            "select name from " ~ state_relation('recorded_settings')
            ~ " where name in ('missing_order_hash', 'adopted_trades')"
        ).columns[0].values() -%}
    {%- endif -%}
    {%- if there and not known -%}
        {{ exceptions.raise_compiler_error(
            "The table " ~ there[0] ~ " was there before polytrades. Nothing was built or changed. Run `polytrades adopt "
            ~ "--dry-run`, which looks at it and says what would happen, then `polytrades adopt`."
        ) }}
    {%- endif -%}
    {%- for relation in there -%}
        {%- if relation.is_view -%}
            {{ exceptions.raise_compiler_error(
                relation ~ " is a view, where the merged table must stand, and dbt would drop it. Nothing was built. "
                ~ "Rename the view, or set the var production_schema to another schema."
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# Without this, a lost `trades` would be built again with 0 rows, all green: its batches count as merged. #}
{% macro refuse_ledger_without_mart() -%}
    {%- set ledger = state_relation('merged_batches') -%}
    {%- set marts = [] -%}
    {%- if ledger is not none -%}
        {%- set marts = run_query("select distinct mart from " ~ ledger ~ " order by mart").columns[0].values() -%}
    {%- endif -%}
    {%- for mart in marts if production_relation(mart) is none -%}
        {{ exceptions.raise_compiler_error(
            "The table " ~ production_schema() ~ "." ~ mart ~ " is missing, but the ledger says that batches were "
            ~ "merged into it. Nothing was built. Restore the table from a backup; or, to merge again what landing "
            ~ "still holds, delete its entries first: delete from " ~ ledger ~ " where mart = '" ~ mart ~ "'"
        ) }}
    {%- endfor -%}
{%- endmacro %}
