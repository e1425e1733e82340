-- Rows that break a rule, by rule.
select
    coalesce(broken_key, broken_value) as rule,
    count(*) as row_count
from {{ ref('stg_legacy__trades') }}
where coalesce(broken_key, broken_value) is not null
group by 1
order by 1
