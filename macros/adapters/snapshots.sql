{# dbt's own hook. On DuckDB its time is a naive one in the session's zone, which would change with the machine. #}
{% macro duckdb__snapshot_get_time() -%}{{ now() }}{%- endmacro %}
