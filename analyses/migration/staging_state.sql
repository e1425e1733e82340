-- The staging table as one number of rows and two sums, by which it is known again. Every column counts as it stands.
select
    count(*) as row_count,
    {{ sum_of_hashes(legacy_row_hash(1)) }} as sum_1,
    {{ sum_of_hashes(legacy_row_hash(2)) }} as sum_2
from {{ legacy_relation() }} as staging
