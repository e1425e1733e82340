-- `trades` as one number of rows and two sums, by which it is known again.
with hashed as (
    select {{ row_hashes('stored') }}
    from {{ migrated_into() }} as stored
)

select
    {{ multiset_sums() }}
from hashed
