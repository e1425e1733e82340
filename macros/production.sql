{# Where the marts live for everybody. A target in another schema reads them and never writes them. #}
{% macro production_schema() -%}
    {{ return(var('production_schema', none) or adapter.dispatch('default_production_schema', 'polytrades')()) }}
{%- endmacro %}

{% macro is_production() -%}
    {{ return(target.schema == production_schema()) }}
{%- endmacro %}

{# The production relation of a mart, or none. Not `ref()`: the models before a merge compare with
   the rows that the mart already has, which as a ref would be a cycle. #}
{% macro production_relation(mart) -%}
    {{ return(adapter.get_relation(target.database, production_schema(), mart)) }}
{%- endmacro %}

{# The columns of a contract as the production relation of `mart` has them; NULL for one that it lacks yet. What an adopted
   row does not say follows from what it does: its exact sizes, and that it came from the table before this one. #}
{% macro stored_columns(mart, contract_of, names=none) -%}
    {%- set relation = production_relation(mart) -%}
    {%- set present = adapter.get_columns_in_relation(relation) | map(attribute='name') | list if relation else [] -%}
    {%- set columns = [] -%}
    {%- for column in contract_columns(contract_of) if not names or column.name in names -%}
        {%- set value = 'stored.' ~ column.name if column.name in present
            else 'cast(null as ' ~ column.data_type ~ ')' -%}
        {%- if relation and column.name in adopted_values() -%}
            {%- set value = 'coalesce(' ~ value ~ ', ' ~ adopted_values()[column.name] ~ ')' -%}
        {%- endif -%}
        {%- do columns.append(value ~ ' as ' ~ column.name) -%}
    {%- endfor -%}
    {{ return(columns | join(',\n    ')) }}
{%- endmacro %}

{# What stands for a column that the table before this one did not have. #}
{% macro adopted_values() -%}
    {%- set shares = try_cast_to('round(stored.shares_normalized * 1000000)', 'bigint') -%}
    {{ return({
        'shares_raw': shares,
        'usdc_raw': try_cast_to('round(stored.price * ' ~ shares ~ ')', 'bigint'),
        'key_quality': "'exact'",
        'source': "'legacy'",
        'content_hash': "''",
    }) }}
{%- endmacro %}

{# A mart is merged in the production schema and a view over production in every other one. #}
{% macro mart_materialization() -%}
    {{ return('incremental' if is_production() else 'view') }}
{%- endmacro %}

{% macro select_from_production(mart) -%}
    select * from {{ production_relation(mart) or production_schema() ~ '.' ~ mart }}
{%- endmacro %}

{# Said once at the start, not by every view that would fail. #}
{% macro refuse_views_without_production() -%}
    {%- for mart in fed_marts().values() | sum(start=[]) if production_relation(mart) is none -%}
        {{ exceptions.raise_compiler_error(
            "Schema " ~ target.schema ~ " is not the production schema (" ~ production_schema() ~ "), so its marts are "
            ~ "views over production, and " ~ production_schema() ~ "." ~ mart ~ " does not exist yet. Build production "
            ~ "first (dbt build with schema " ~ production_schema() ~ "), or set the var production_schema to the schema "
            ~ "that holds it."
        ) }}
    {%- endfor -%}
{%- endmacro %}
