{# The newest reconciliation as literals, so that what is compared is read by its days and wallets: a dict with `run_id`,
   `source`, `compared`, `since` and `before` (text of instants), `landed_on` (days) and `wallets` (none if they are too
   many for a statement); or none. #}
{% macro newest_reconciliation() -%}
    {%- set relation = source('state', 'reconciliations') -%}
    {%- if not execute or load_relation(relation) is none -%}{{ return(none) }}{%- endif -%}
    {%- set found = run_query(
        "select run_id, source, compared, cast(min(window_start) as " ~ dbt.type_string() ~ ") as since, "
        ~ "cast(max(window_end) as " ~ dbt.type_string() ~ ") as before, count(*) as wallets from " ~ relation
        ~ " group by run_id, source, compared, recorded_at order by recorded_at desc, run_id desc limit 1"
    ) -%}
    {%- if not found.rows -%}{{ return(none) }}{%- endif -%}
    {%- set newest = found.rows[0] -%}
    {%- set days = run_query(
        "select distinct cast(landed_on as " ~ dbt.type_string() ~ ") as day from " ~ source('landing', 'batches')
        ~ " where run_id = '" ~ newest[0] ~ "' and landing_table = 'reconciled_fills'"
    ).columns[0].values() -%}
    {%- set wallets = none -%}
    {%- if newest[5] <= 500 -%}
        {%- set wallets = run_query(
            "select distinct wallet_address from " ~ relation ~ " where run_id = '" ~ newest[0] ~ "'"
        ).columns[0].values() -%}
    {%- endif -%}
    {{ return({
        'run_id': newest[0], 'source': newest[1] or 'polygon', 'compared': newest[2], 'since': newest[3],
        'before': newest[4], 'landed_on': days, 'wallets': wallets,
    }) }}
{%- endmacro %}
