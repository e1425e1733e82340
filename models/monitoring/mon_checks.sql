{{ config(materialized='view', tags=['whole_table']) }}

-- Everything that `polytrades status` judges, the good with the bad: a number, and the limits in the var `checks` above
-- which it warns or fails. Only monitoring models and small state tables are read. What is old by the clock (a run that
-- is overdue, a checkpoint) is judged when this view is asked, the rest by what the last build found.
-- Built beside mon_duplicate_keys, of which it reads: on BigQuery that is a dbt call of its own.
with silence as (
    select {{ hours_between('max(last_fill_at)', 'max(fetched_until)') }} as hours
    from {{ ref('mon_wallets') }}
),

newest_days as (
    select
        fills,
        stand_ins,
        row_number() over (order by day desc) as nth_newest
    from {{ ref('mon_daily_fills') }}
),

-- What a run that is at work has landed, it has yet to merge.
working as (
    select min(started_at) as since from {{ ref('mon_runs') }}
    where is_working
),

usual as (
    select avg(fills) as fills from newest_days
    where nth_newest <= {{ var('volume_days') }}
),

newest_tested_run as (
    select run_id from {{ ref('mon_test_results') }}
    where true
    qualify row_number() over (order by recorded_at desc, name asc) = 1
),

newest_budget as (
    select bytes_budget from {{ ref('mon_runs') }}
    where bytes_budget is not null
    qualify row_number() over (order by started_at desc) = 1
),

measured as (
    select {{ measured('duplicate_keys', 'count(*)') }}
    from {{ ref('mon_duplicate_keys') }}
    union all
    select {{ measured('batch_keys', 'count(*)') }}
    from {{ ref('mon_batch_keys_not_once') }}
    union all
    select {{ measured('key_collisions', 'count(*)') }}
    from {{ ref('mon_key_collisions') }}
    union all
    select {{ measured('moved_timestamps', 'count(*)') }}
    from {{ ref('mon_moved_timestamps') }}
    union all
    select
        {{ measured(
            'unmerged_hours',
            hours_since('min(unmerged.landed_at)'),
            affected='count(distinct unmerged.batch_id)'
        ) }}
    from {{ ref('mon_unmerged_batches') }} as unmerged
    cross join working
    where
        working.since is null
        or unmerged.landed_at < working.since
    union all
    select {{ measured('coverage_holes', 'count(*)', affected='count(distinct wallet_address)') }}
    from {{ ref('mon_coverage_holes') }}
    where not is_history
    union all
    select {{ measured('never_fetched', 'count(*)') }}
    from {{ ref('mon_wallets') }}
    where fetched_until is null
    union all
    -- The wallet that lags most; `affected` are all that lag more than the first limit.
    select
        {{ measured(
            'checkpoint_hours',
            hours_since('min(fetched_until)'),
            affected='sum(case when ' ~ hours_since('fetched_until') ~ ' > ' ~ var('checks')['checkpoint_hours'][0] ~ ' then 1 else 0 end)'
        ) }}
    from {{ ref('mon_wallets') }}
    union all
    -- Nothing new although it was asked for; only if, as usual, some fills should have come meanwhile.
    select
        {{ measured(
            'silent_hours',
            'case when silence.hours * usual.fills / 24 >= ' ~ var('volume_minimum') ~ ' then silence.hours end'
        ) }}
    from silence
    cross join usual
    union all
    select {{ measured('volume_drop', '-deviation', affected='fills', detail=text_of('day')) }}
    from {{ ref('mon_volume') }}
    where is_judged
    qualify row_number() over (order by day desc) = 1
    union all
    select {{ measured('volume_surge', 'deviation', affected='fills', detail=text_of('day')) }}
    from {{ ref('mon_volume') }}
    where is_judged
    qualify row_number() over (order by day desc) = 1
    union all
    select
        {{ measured(
            'stand_in_share', 'sum(stand_ins) / nullif(sum(fills), 0)', affected='sum(stand_ins)'
        ) }}
    from newest_days
    where nth_newest <= 7
    union all
    select
        {{ measured(
            'rejected_share',
            'records_rejected / nullif(records_received, 0)',
            subject='command',
            affected='records_rejected',
            detail='run_id'
        ) }}
    from {{ ref('mon_runs') }}
    where nth_newest = 1
    union all
    -- Codes 1 and 2 mean that nothing was done; after 3 and 4 what came is there.
    select
        {{ measured(
            'run_failed',
            'case when exit_code in (1, 2) then 2 when exit_code > 0 then 1 else 0 end',
            subject='command',
            affected='exit_code',
            detail='message',
            run_at='started_at'
        ) }}
    from {{ ref('mon_runs') }}
    where
        nth_newest = 1
        and finished_at is not null
    union all
    select
        {{ measured(
            'run_without_end', 'case when is_working then 0 else 1 end', subject='command', detail='run_id', run_at='started_at'
        ) }}
    from {{ ref('mon_runs') }}
    where
        nth_newest = 1
        and finished_at is null
    union all
    select {{ measured('run_overdue_hours', hours_since('started_at'), run_at='started_at') }}
    from {{ ref('mon_runs') }}
    where
        nth_newest = 1
        and command = 'sync'
    union all
    -- What has a check of its own above is not told twice.
    select
        {{ measured(
            'failed_tests', 'count(*)', detail="string_agg(results.name, ', ' order by results.name)"
        ) }}
    from {{ ref('mon_test_results') }} as results
    inner join newest_tested_run on results.run_id = newest_tested_run.run_id
    where
        results.status in ('fail', 'error')
        and results.name not in (
            'trades_has_no_duplicate_keys', 'trades_has_each_key_of_the_batch_once', 'no_fill_shares_its_key',
            'sources_tell_of_nothing_strange'
        )
    union all
    {% for finding in ['silent_exchange', 'unknown_exchange', 'token_without_market'] %}
    select
        {{ measured(
            finding, 'count(*)', affected='sum(fill_count)', detail="string_agg(subject, ', ' order by subject)"
        ) }}
    from {{ ref('mon_source_findings') }}
    where finding = '{{ finding }}'
    union all
    {% endfor %}
    select
        {{ measured(
            'budget_share',
            'coalesce(costs.bytes_billed, 0) / nullif(newest_budget.bytes_budget, 0)',
            affected='costs.bytes_billed'
        ) }}
    from newest_budget
    left join {{ ref('mon_daily_costs') }} as costs on costs.day = {{ utc_day(now()) }}
),

limits as (
    {{ check_limits_as_rows() }}
)

select
    measured.check_name,
    measured.subject,
    measured.measured,
    measured.affected,
    measured.detail,
    measured.run_at,
    limits.warn_above,
    limits.fail_above,
    case
        when measured.measured > limits.fail_above then 'FAIL'
        when measured.measured > limits.warn_above then 'WARN'
        else 'OK'
    end as verdict
from measured
inner join limits on measured.check_name = limits.check_name
