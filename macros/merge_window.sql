{#
  The window of a merge: the days of the batch and of what is stored of its transactions, with slack on both sides, as
  ranges of literals on the bare column. Literals, because a warehouse prunes partitions and row groups by constants
  only; at run time, because dbt keeps `config(incremental_predicates=…)` as it was at parse time.
#}
{% macro merge_window(relations, column, alias=none) -%}
    {{ return(window_predicate(merge_ranges(relations, column), (alias ~ '.' if alias else '') ~ column)) }}
{%- endmacro %}

{# The same as ranges of days. #}
{% macro merge_ranges(relations, column) -%}
    {%- set days = [] -%}
    {#- A temporary relation has no schema and is there; a model may not be built yet (`dbt compile`). -#}
    {%- for relation in relations if execute and (not relation.schema or load_relation(relation) is not none) -%}
        {%- do days.extend(run_query(
            "select distinct cast(" ~ utc_day(column) ~ " as " ~ dbt.type_string() ~ ") as day from " ~ relation
            ~ " where " ~ column ~ " is not null"
        ).columns[0].values()) -%}
    {%- endfor -%}
    {{ return(day_ranges(days, var('merge_slack_days'))) }}
{%- endmacro %}

{# The batch and what is stored of its transactions, as relations: for macros that run where `ref` is not at hand. #}
{% macro batch_relations(models=none) -%}
    {%- set relations = [] -%}
    {%- for model in models or ['int_trades_batched', 'int_trades_stored'] if execute -%}
        {%- set node = graph.nodes['model.polytrades.' ~ model] -%}
        {%- do relations.append(api.Relation.create(node.database, node.schema, node.alias)) -%}
    {%- endfor -%}
    {{ return(relations) }}
{%- endmacro %}

{# Days as text ('2026-01-26') → disjoint half-open ranges [since, before) that cover each ± `slack` days. #}
{% macro day_ranges(days, slack) -%}
    {%- set ranges = [] -%}
    {%- for day in days | unique | sort -%}
        {%- set date = modules.datetime.date.fromisoformat(day) -%}
        {%- set since = (date - modules.datetime.timedelta(days=slack)).isoformat() -%}
        {%- set before = (date + modules.datetime.timedelta(days=slack + 1)).isoformat() -%}
        {%- if ranges and ranges[-1].before >= since -%}
            {%- do ranges[-1].update(before=before) -%}
        {%- else -%}
            {%- do ranges.append({'since': since, 'before': before}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro %}

{# An empty batch touches nothing. #}
{% macro window_predicate(ranges, column) -%}
    {%- set terms = [] -%}
    {%- for range in ranges -%}
        {%- do terms.append(
            column ~ " >= " ~ utc_midnight(range.since) ~ " and " ~ column ~ " < " ~ utc_midnight(range.before)
        ) -%}
    {%- endfor -%}
    {{ return('(' ~ terms | join(' or ') ~ ')' if terms else 'false') }}
{%- endmacro %}
