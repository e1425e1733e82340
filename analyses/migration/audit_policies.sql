-- Distinct keys under each key that somebody might take.
select
    'wallet, transaction' as policy,
    count(*) as keys
from (
    select pair from {{ work_table('keys') }}
    group by pair
) as grouped
union all
select
    'wallet, transaction, id' as policy,
    count(*) as keys
from (
    select raw_key from {{ work_table('keys') }}
    group by raw_key
) as grouped
union all
select
    'wallet, transaction, order hash, one without' as policy,
    count(*) as keys
from (
    select distinct
        case when key_quality in ('exact', 'repaired') then key_1 else pair end as collapsed_key,
        key_quality in ('exact', 'repaired') as has_hash
    from {{ work_table('keys') }}
) as grouped
union all
select
    'wallet, transaction, repaired order hash' as policy,
    count(*) as keys
from (
    select
        key_1,
        key_2
    from {{ work_table('keys') }}
    group by key_1, key_2
) as grouped
