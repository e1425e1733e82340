{# Which record of a fill wins: a total order over content, so that the order of arrival never matters. #}

{# A hash of the values, NULLs included. Each value carries its length: no two lists share a text. `concat`, not a
   chain of `||`: parsers nest those as deep as there are columns. #}
{% macro fingerprint(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {%- set text = "cast(" ~ column ~ " as " ~ dbt.type_string() ~ ")" -%}
        {%- do parts.append(
            "coalesce(cast(length(" ~ text ~ ") as " ~ dbt.type_string() ~ ") || ':' || " ~ text ~ ", '-')"
        ) -%}
    {%- endfor -%}
    {{ sha256_hex('concat(' ~ parts | join(', ') ~ ')') }}
{%- endmacro %}

{# A text that sorts as the order does: better source, later upstream version, later time, content. #}
{% macro record_version(source_rank, upstream_version, timestamp, content_hash) -%}
    lpad(cast(999 - coalesce({{ source_rank }}, 99) as {{ dbt.type_string() }}), 3, '0')
    || '.' || lpad(cast(coalesce({{ upstream_version }}, 0) as {{ dbt.type_string() }}), 19, '0')
    || '.' || lpad(cast({{ epoch_micros(timestamp) }} as {{ dbt.type_string() }}), 17, '0')
    || '.' || coalesce({{ content_hash }}, '')
{%- endmacro %}

{# Columns that a record may lack and another record of the same fill may complete. Facts of the token come
   from any record under the key; facts of the position in the chain from those of the same position alone. #}
{% macro token_columns() -%}
    {{ return(['condition_id', 'token_label', 'market_slug', 'title']) }}
{%- endmacro %}

{% macro position_columns() -%}
    {{ return(['taker', 'block_number', 'contract_address']) }}
{%- endmacro %}

{# `completed_from` names, for each column that is not the winner's own, the version of the record it
   is from: `title=<version>;taker=<version>;`. NULL, as in nearly every row: all columns are its own. #}
{% macro completed_version(column, completed_from, own_version) -%}
    case
        when {{ column }} is not null
            then coalesce({{ regexp_group(completed_from, column ~ '=([^;]+);') }}, {{ own_version }})
    end
{%- endmacro %}

{# Name and type of each column of a model's contract, from its YAML; empty while dbt parses. #}
{% macro contract_columns(model_name) -%}
    {%- set node = graph.nodes.get('model.polytrades.' ~ model_name) if execute else none -%}
    {{ return(node.columns.values() | list if node else []) }}
{%- endmacro %}
