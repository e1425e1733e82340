{# The newest reconciliation as literals, so that what is compared is read by its days: a dict with `run_id`, `compared`,
   `since` and `before` (text of instants) and `landed_on` (days), or none. #}
{% macro newest_reconciliation() -%}
    {%- set relation = source('state', 'reconciliations') -%}
    {%- if not execute or load_relation(relation) is none -%}{{ return(none) }}{%- endif -%}
    {%- set found = run_query(
        "select run_id, compared, cast(min(window_start) as " ~ dbt.type_string() ~ ") as since, cast(max(window_end) as "
        ~ dbt.type_string() ~ ") as before from " ~ relation
        ~ " group by run_id, compared, recorded_at order by recorded_at desc, run_id desc limit 1"
    ) -%}
    {%- if not found.rows -%}{{ return(none) }}{%- endif -%}
    {%- set newest = found.rows[0] -%}
    {%- set days = run_query(
        "select distinct cast(landed_on as " ~ dbt.type_string() ~ ") as day from " ~ source('landing', 'batches')
        ~ " where run_id = '" ~ newest[0] ~ "' and landing_table = 'reconciled_fills'"
    ).columns[0].values() -%}
    {{ return({
        'run_id': newest[0], 'compared': newest[1], 'since': newest[2], 'before': newest[3], 'landed_on': days,
    }) }}
{%- endmacro %}
