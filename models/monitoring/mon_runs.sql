{{ config(materialized='view') }}

-- The newest row of each run counts; one that holds the lease is at work, one without an end that does not was killed.
with runs as (
    select * from {{ source('state', 'runs') }}
    where true
    qualify row_number() over (
        partition by run_id
        order by recorded_at desc, case when finished_at is null then 1 else 0 end
    ) = 1
),

working as (
    select run_id from {{ source('state', 'lease') }}
    where expires_at > {{ now() }}
)

select
    runs.*,
    (({{ epoch_micros('runs.finished_at') }}) - ({{ epoch_micros('runs.started_at') }})) / 1000000 as seconds,
    runs.finished_at is null and working.run_id is not null as is_working,
    row_number() over (partition by runs.command order by runs.started_at desc, runs.run_id desc) as nth_newest
from runs
left join working on runs.run_id = working.run_id
