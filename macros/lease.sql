{#
  One writer at a time: a row in state that says who writes production, until when. The runner takes it for a run and
  hands it to dbt by name (POLYTRADES_LEASE); in a build by hand the first model that would write takes it here and
  the end of the run gives it back. A holder that died is followed by the next one once its time is up. What a holder
  sends after that is refused by the statements themselves (`holds_lease`), so a late one cannot double anything.
#}

{# Who we are to the lease: the run that dbt works for, or this invocation. #}
{% macro lease_run() -%}
    {{ return(env_var('POLYTRADES_LEASE', invocation_id)) }}
{%- endmacro %}

{# Pre-hook of the models that a merge is made from. Takes the lease if this build is nobody's part, at `pending_batches`
   or, where that is not selected, at each model. Every table looks whether its run still has it, and raises with the
   holder's name if somebody else does: a late build that wrote these tables over would take the new holder's batch away. #}
{% macro take_lease() -%}
    {%- set lease = source('state', 'lease').render() -%}
    {%- if execute and is_production() and flags.WHICH in ['run', 'build', 'snapshot', 'retry']
        and model.config.materialized != 'view' -%}
        {%- if lease_run() == invocation_id and (
            model.name == 'pending_batches' or 'model.polytrades.pending_batches' not in selected_resources
        ) -%}
            {%- call statement('take_lease', auto_begin=false) -%}
                update {{ lease }}
                set
                    token = token + 1,
                    run_id = '{{ invocation_id }}',
                    holder = 'dbt {{ flags.WHICH }} into {{ target.name }} (invocation {{ invocation_id }})',
                    host = null,
                    pid = null,
                    pid_started = null,
                    acquired_at = {{ now() }},
                    expires_at = {{ after_minutes(now(), var('lease_minutes')) }}
                where
                    run_id is null
                    or run_id = '{{ invocation_id }}'
                    or expires_at < {{ now() }}
                    {{ abandoned_lease() }}
            {%- endcall -%}
        {%- endif -%}
        {%- set held = run_query(
            "select run_id, holder, cast(expires_at as " ~ dbt.type_string() ~ ") as expires_at from " ~ lease
        ).rows[0] -%}
        {%- if held['run_id'] != lease_run() -%}
            {{ exceptions.raise_compiler_error(
                "Production is being written by " ~ (held['holder'] or 'nobody any more') ~ " (lease until "
                ~ held['expires_at'] ~ "). Nothing was merged and nothing is lost: wait for it and build again. "
                ~ "`polytrades lease` shows it, and frees it if its holder is dead."
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# On-run-end: gives back what `take_lease` took. #}
{% macro release_lease() -%}
    {%- if execute and is_production() and flags.WHICH in ['run', 'build', 'snapshot', 'retry'] and lease_run() == invocation_id
        and state_relation('lease') is not none -%}
        {%- call statement('release_lease', auto_begin=true) -%}
            update {{ state_relation('lease') }}
            set run_id = null, holder = null, host = null, pid = null, pid_started = null, expires_at = null
            where run_id = '{{ invocation_id }}'
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}

{# A condition that is true while the lease is ours and otherwise ends the statement. Part of every statement that
   writes what must not double: looked at by the warehouse when the statement runs, not by dbt before it. #}
{% macro holds_lease() -%}
    {%- set lease = source('state', 'lease').render() -%}
    case
        when (select lease.run_id from {{ lease }} as lease) = '{{ lease_run() if execute }}' then true
        else {{ raised("'The lease has passed to another writer while this build ran. Nothing is lost: build again.'") }}
    end
{%- endmacro %}
