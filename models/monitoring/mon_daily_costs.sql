{{ config(materialized='view') }}

select
    billed_on as day,
    count(*) as jobs,
    coalesce(sum(bytes_billed), 0) as bytes_billed,
    coalesce(sum(case when kind = 'test' then bytes_billed end), 0) as bytes_billed_by_tests
from {{ source('state', 'job_costs') }}
where billed_on >= {{ days_before(utc_day(now()), 60) }}
group by billed_on
