{# Which marts a landing table feeds. A batch is pending for a mart until that mart's own merge has held it. #}
{% macro fed_marts() -%}
    {{ return({
        'trades': ['trade_collisions', 'trades', 'traders', 'awaiting_metadata'],
        'markets': ['markets'],
        'events': ['events'],
    }) }}
{%- endmacro %}

{# The same as a query with columns landing_table and mart. #}
{% macro fed_marts_as_rows() -%}
    {%- set rows = [] -%}
    {%- for landing_table, marts in fed_marts().items() -%}
        {%- for mart in marts -%}
            {%- do rows.append("select '" ~ landing_table ~ "' as landing_table, '" ~ mart ~ "' as mart") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(rows | join('\n    union all\n    ')) }}
{%- endmacro %}

{#
  Condition on the rows of a mart: that the lease is ours if every model between the frozen list and the mart was built from it in this
  same invocation, else false. With a subset (`-s trades`, `--exclude int_trades_stored`, `dbt retry`) some of those
  tables are from an older build, and a merge of such a mix could undo what is newer; so nothing is merged, and the
  batches stay pending for the next build.
#}
{% macro if_built_from_pending_batches() -%}
    {%- set is_built = not execute or was_built_from_pending_batches() -%}
    {%- if not is_built and flags.WHICH in ['run', 'build', 'retry'] -%}
        {%- do log(
            this.identifier ~ ": nothing is merged, because not all models before it are built in this run. "
            ~ "Build them together: dbt build -s pending_batches+", info=true
        ) -%}
    {%- endif -%}
    {{ return(holds_lease() if is_built else 'false') }}
{%- endmacro %}

{#
  Post-hook of a mart: writes into the ledger what its merge held, in the transaction of the merge where the
  warehouse has one. Only this invocation's frozen list counts, and only if the mart was built from it; with
  `--empty` the rows are missing, so the batch stays pending. An insert, not a merge: six marts end at the same time,
  and on BigQuery merges into one table get in each other's way; safe to run twice, because only the holder of the
  lease writes, and what stands there is left out.
#}
{% macro record_merged_batches() -%}
    {#- Named outside the condition: dbt learns what a model depends on without running it. -#}
    {%- set pending = ref('pending_batches') -%}
    {%- set ledger = source('state', 'merged_batches').render() -%}
    {%- if execute and is_production() and not flags.EMPTY and was_built_from_pending_batches() -%}
        insert into {{ ledger }} (batch_id, mart, merged_at, invocation_id)
        select distinct
            pending.batch_id,
            pending.mart,
            {{ now() }} as merged_at,
            pending.invocation_id
        from {{ pending }} as pending
        left join {{ ledger }} as ledger
            on
                pending.batch_id = ledger.batch_id
                and pending.mart = ledger.mart
        where
            ledger.batch_id is null
            and pending.mart = '{{ this.identifier }}'
            and pending.invocation_id = '{{ invocation_id }}'
            and {{ holds_lease() }}
    {%- endif -%}
{%- endmacro %}

{# True if everything between `pending_batches` and this model was selected in this invocation. dbt skips a model
   whose upstream failed, so what was selected and stands before us was also built. #}
{% macro was_built_from_pending_batches() -%}
    {%- set missing = [] -%}
    {%- set open = [model.unique_id] -%}
    {%- set seen = [] -%}
    {%- for _ in range(graph.nodes | length) if open -%}
        {%- set node_id = open.pop() -%}
        {%- for parent in graph.nodes[node_id].depends_on.nodes if parent in graph.nodes and parent not in seen -%}
            {%- do seen.append(parent) -%}
            {%- set config = graph.nodes[parent].config -%}
            {%- if config.meta.get('built_from_pending_batches') -%}
                {%- do missing.append(parent) if parent not in selected_resources -%}
                {%- do open.append(parent) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(not missing) }}
{%- endmacro %}

{# Rows of `batches` that are pending: the literal days first, so that only they are read, then the batches. #}
{% macro in_pending_batches(landing_table) -%}
    {%- set pending = ref('pending_batches') -%}
    {%- set days = [] -%}
    {%- if execute and load_relation(pending) is not none -%}
        {%- set days = run_query(
            "select distinct cast(landed_on as " ~ dbt.type_string() ~ ") as day from " ~ pending
            ~ " where landing_table = '" ~ landing_table ~ "' order by day"
        ).columns[0].values() -%}
    {%- endif -%}
    landed_on in ({% for day in days or ['1970-01-01'] %}date '{{ day }}'{{ ', ' if not loop.last }}{% endfor %})
    and batch_id in (select batch_id from {{ pending }} where landing_table = '{{ landing_table }}')
{%- endmacro %}
