-- What breaks a rule, as the quarantine keeps it. Its text has the names of an order record, to be replayed.
with broken as (
    select
        *,
        {{ record_json() }} as record
    from {{ work_table('rows') }}
    where broken_rule is not null
),

hashed as (
    select distinct
        broken_rule as reason,
        record,
        {{ sha256_hex('record') }} as record_hash
    from broken
)

select
    hashed.record_hash,
    hashed.reason,
    'A row of the migrated table' as detail,
    hashed.record,
    cast(@staging as {{ dbt.type_string() }}) as origin,
    'legacy' as source,
    cast(@run_id as {{ dbt.type_string() }}) as run_id,
    @at as landed_at
from hashed
where not exists (
    select 1
    from {{ source('landing', 'rejected_records') }} as known
    where
        known.record_hash = hashed.record_hash
        and known.reason = hashed.reason
)
