-- What is to be copied, by month; `rejected` is what breaks a rule.
select
    month,
    count(*) as row_count
from {{ work_table('rows') }}
group by month
order by month
