-- How many keys differ, by kind and month.
select
    kind,
    month,
    count(*) as row_count
from {{ work_table('differences') }}
group by kind, month
order by kind, month
