{#
  The merge of a mart, the same statement on every warehouse. It acts on models with our `merge` meta key and
  leaves all others to dbt:

    day_of     the column whose days bound the search for an older copy (none: the whole mart is searched)
    days_from  the models whose days these are
    retires    a condition on the source row: the mart's row goes, and no new one comes
    newer_by   the column that orders two versions of a row: an older source row changes nothing
    changed_by the one column that tells whether a row differs (none: all of them)
    set_once   columns that a row gets when it is inserted; a later merge leaves them alone
    settles    what moves between this mart and `trade_collisions` is settled with the merge

  A row is written only if it differs. dbt's own merges differ by warehouse in all of this.
#}
{% macro mart_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- set merge = config.get('meta', {}).get('merge') -%}
    {%- set keys = [unique_key] if unique_key is string else unique_key -%}
    {%- set conditions = [] -%}
    {%- set set_once = merge.get('set_once', []) -%}
    {%- set ranges = none -%}
    {%- if merge.get('day_of') -%}
        {%- set ranges = merge_ranges(batch_relations(merge.days_from), merge.day_of) -%}
        {%- do conditions.append(window_predicate(ranges, 'DBT_INTERNAL_DEST.' ~ merge.day_of)) -%}
    {%- endif -%}
    {%- do check_merge_cost(target, ranges) -%}
    {%- for key in keys -%}
        {%- do conditions.append('DBT_INTERNAL_DEST.' ~ key ~ ' = DBT_INTERNAL_SOURCE.' ~ key) -%}
    {%- endfor -%}
    {%- set names = dest_columns | map(attribute='quoted') | list -%}
    {%- set changes = [] -%}
    {%- for column in dest_columns
        if column.name not in keys + set_once and column.name == merge.get('changed_by', column.name) -%}
        {%- do changes.append(
            'DBT_INTERNAL_DEST.' ~ column.quoted ~ ' is distinct from DBT_INTERNAL_SOURCE.' ~ column.quoted
        ) -%}
    {%- endfor -%}
    {%- set update_when = ['(' ~ changes | join('\n        or ') ~ ')'] -%}
    {%- if merge.get('newer_by') -%}
        {%- do update_when.append(
            'DBT_INTERNAL_SOURCE.' ~ merge.newer_by ~ ' > DBT_INTERNAL_DEST.' ~ merge.newer_by
        ) -%}
    {%- endif -%}
    {%- set updated = dest_columns | rejectattr('name', 'in', set_once) | map(attribute='quoted') | list -%}
    {%- set statement -%}
    merge into {{ target }} as DBT_INTERNAL_DEST
    using (
        select batch.*
        from {{ source }} as batch
        where {{ holds_lease() if was_built_from_pending_batches() else 'false' }}
    ) as DBT_INTERNAL_SOURCE
    on
        {{ (conditions + (incremental_predicates or [])) | join('\n        and ') }}
    {% if merge.get('retires') -%}
    when matched and DBT_INTERNAL_SOURCE.{{ merge.retires }} then delete
    {% endif -%}
    when matched and {{ update_when | join(' and ') }} then update set
        {% for name in updated -%}
        {{ name }} = DBT_INTERNAL_SOURCE.{{ name }}{{ ',\n        ' if not loop.last }}
        {%- endfor %}
    when not matched
    {%- if merge.get('retires') %} and not DBT_INTERNAL_SOURCE.{{ merge.retires }}{% endif %} then insert (
        {{ names | join(', ') }}
    ) values (
        {% for name in names %}DBT_INTERNAL_SOURCE.{{ name }}{{ ', ' if not loop.last }}{% endfor %}
    )
    {%- endset -%}
    {{ return(merge_and_settle(statement) if merge.get('settles') else statement) }}
{%- endmacro %}

{# The merge and, in the same transaction, what it settles. dbt keeps merge and post-hooks in one transaction on
   DuckDB; on BigQuery they are jobs of their own, so there the few merges with something to settle become one script. #}
{% macro merge_and_settle(statement) -%}
    {{ return(adapter.dispatch('merge_and_settle', 'polytrades')(statement)) }}
{%- endmacro %}
{% macro duckdb__merge_and_settle(statement) -%}{{ return(statement) }}{%- endmacro %}
{% macro bigquery__merge_and_settle(statement) -%}
    {%- set settlement = settle_collisions() | trim -%}
    {%- if not settlement -%}
        {{ return(statement) }}
    {%- endif -%}
    {{ return(
        'begin transaction;\n' ~ statement ~ ';\n' ~ settlement ~ ';\ncommit transaction'
    ) }}
{%- endmacro %}

{% macro duckdb__get_incremental_merge_sql(arguments) -%}
    {%- if 'merge' in config.get('meta', {}) -%}
        {{ return(mart_merge_sql(
            arguments['target_relation'], arguments['temp_relation'], arguments['unique_key'],
            arguments['dest_columns'], arguments['incremental_predicates']
        )) }}
    {%- endif -%}
    {{ return(dbt.duckdb__get_merge_sql(
        arguments['target_relation'], arguments['temp_relation'], arguments['unique_key'],
        arguments['dest_columns'], arguments['incremental_predicates']
    )) }}
{%- endmacro %}

{% macro bigquery__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
    {%- if 'merge' in config.get('meta', {}) -%}
        {{ return(mart_merge_sql(target, source, unique_key, dest_columns, incremental_predicates)) }}
    {%- endif -%}
    {{ return(dbt.default__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates)) }}
{%- endmacro %}
