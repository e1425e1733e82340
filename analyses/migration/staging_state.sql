-- The staging table as one number of rows and two sums, by which it is known again. Every column counts, as it stands there.
select
    count(*) as row_count,
    cast(coalesce(sum({{ wide_integer(legacy_row_hash(1)) }}), 0) as {{ dbt.type_string() }}) as sum_1,
    cast(coalesce(sum({{ wide_integer(legacy_row_hash(2)) }}), 0) as {{ dbt.type_string() }}) as sum_2
from {{ legacy_relation() }} as staging
