-- How many keys are missing by right, and why.
select
    reason,
    count(*) as row_count
from {{ work_table('excused') }}
group by reason
