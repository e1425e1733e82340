{#
  dbt's own hook, replaced for one reason: with DuckDB's default schema the layers are called
  `staging`, `intermediate`, … and not `main_staging`. Everywhere else the target's schema stays
  the prefix, so that people and branches never write into each other's layers.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- elif target.schema == 'main' -%}
        {{ custom_schema_name | trim }}
    {%- else -%}
        {{ target.schema }}_{{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
