{# Cost, where there is one: labels on every job, and the bytes of a merge before it runs. #}

{# The query comment of dbt_project.yml. On BigQuery each key becomes a label of the job (`job-label: true`), by which
   `polytrades cost` and the search for orphaned jobs find it. Here `adapter` is not at hand, so no dispatch. #}
{% macro query_labels(node) -%}
    {%- if target.type == 'bigquery' -%}
        {{ return(tojson({
            'app': 'polytrades',
            'command': env_var('POLYTRADES_COMMAND', 'dbt'),
            'run_id': env_var('POLYTRADES_RUN_ID', invocation_id) | lower,
            'kind': node.resource_type if node else 'hook',
            'model': (node.name if node else 'hook')[:63] | lower,
            'schema': target.schema[:63] | lower,
        })) }}
    {%- endif -%}
    {{ return('') }}
{%- endmacro %}

{# Sums what a merge is about to touch, says so, and refuses above the vars `merge_bytes_limit` and
   `merge_days_limit`. `ranges` none: the whole table. Before the statement, because a dry run of a MERGE prices the
   whole table on some plans, and `maximum_bytes_billed` speaks only once the job was sent. #}
{% macro check_merge_cost(target, ranges=none) -%}
    {{ return(adapter.dispatch('check_merge_cost', 'polytrades')(target, ranges)) }}
{%- endmacro %}
{% macro duckdb__check_merge_cost(target, ranges) -%}{{ return('') }}{%- endmacro %}
{% macro bigquery__check_merge_cost(target, ranges) -%}
    {%- set days = [] -%}
    {%- set terms = [] -%}
    {%- for range in ranges or [] -%}
        {%- set since = modules.datetime.date.fromisoformat(range.since) -%}
        {%- set before = modules.datetime.date.fromisoformat(range.before) -%}
        {%- do days.append((before - since).days) -%}
        {%- do terms.append(
            "partition_id >= '" ~ since.strftime('%Y%m%d') ~ "' and partition_id < '" ~ before.strftime('%Y%m%d') ~ "'"
        ) -%}
    {%- endfor -%}
    {%- if days | sum > var('merge_days_limit') -%}
        {{ exceptions.raise_compiler_error(
            "The merge into " ~ target ~ " would touch " ~ days | sum ~ " days, more than merge_days_limit ("
            ~ var('merge_days_limit') ~ "; BigQuery allows 4,000 partitions in one job). Nothing was merged, nothing is "
            ~ "lost. Land the history in slices of less, and build after each."
        ) }}
    {%- endif -%}
    {%- if ranges is none or ranges -%}
        {%- set dataset = "`" ~ target.database ~ "`.`" ~ target.schema ~ "`" -%}
        {%- if terms -%}
            {%- set sizes = "select coalesce(sum(total_logical_bytes), 0) as total_bytes from " ~ dataset
                ~ ".INFORMATION_SCHEMA.PARTITIONS where table_name = '" ~ target.identifier ~ "' and ("
                ~ terms | join(' or ') ~ ")" -%}
        {%- else -%}
            {%- set sizes = "select coalesce(sum(size_bytes), 0) as total_bytes from " ~ dataset
                ~ ".__TABLES__ where table_id = '" ~ target.identifier ~ "'" -%}
        {%- endif -%}
        {%- set touched = run_query(sizes).columns[0].values()[0] | int -%}
        {%- do log(
            target.identifier ~ ": the merge touches " ~ (days | sum ~ " days, " if terms else "the whole table, ")
            ~ "{:,}".format(touched) ~ " bytes", info=true
        ) -%}
        {%- if touched > var('merge_bytes_limit') -%}
            {{ exceptions.raise_compiler_error(
                "The merge into " ~ target ~ " would touch " ~ "{:,}".format(touched) ~ " bytes in "
                ~ (days | sum ~ " days" if terms else "the whole table") ~ ", more than merge_bytes_limit ("
                ~ "{:,}".format(var('merge_bytes_limit')) ~ "). Nothing was merged, nothing is lost. Raise the var in "
                ~ "dbt_project.yml if that is meant, or land in smaller slices."
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The project's own seeds are written by a query: a load job, which is dbt's way, carries no labels. #}
{% macro bigquery__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {%- if model.package_name != 'polytrades' or not agate_table.rows -%}
        {{ return(dbt.bigquery__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
    {%- endif -%}
{%- endmacro %}
{% macro bigquery__load_csv_rows(model, agate_table) -%}
    {%- if model.package_name != 'polytrades' -%}
        {{ return(dbt.bigquery__load_csv_rows(model, agate_table)) }}
    {%- endif -%}
    {%- set types = model.config.get('column_types', {}) -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows -%}
        {%- set values = [] -%}
        {%- for name in agate_table.column_names -%}
            {%- set text = 'null' if row[name] is none else "r'''" ~ (row[name] | string) ~ "'''" -%}
            {%- do values.append('cast(' ~ text ~ ' as ' ~ types.get(name, 'string') ~ ') as ' ~ adapter.quote(name)) -%}
        {%- endfor -%}
        {%- do rows.append('select ' ~ values | join(', ')) -%}
    {%- endfor -%}
    {%- call statement() -%}
        create or replace table {{ this.render() }} as
        {{ rows | join('\nunion all\n') }}
    {%- endcall -%}
{%- endmacro %}
