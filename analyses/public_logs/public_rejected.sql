-- The logs among those taken that break a rule, as the quarantine keeps them.
with fills as (
    {{ logs_as_fills(work_table('logs')) | indent(4) }}
),

hashed as (
    select distinct
        broken_rule as reason,
        record,
        {{ sha256_hex('record') }} as record_hash
    from fills
    where broken_rule is not null
)

select
    hashed.record_hash,
    hashed.reason,
    'A log of the public table' as detail,
    hashed.record,
    cast(@origin as {{ dbt.type_string() }}) as origin,
    'polygon' as source,
    cast(@run_id as {{ dbt.type_string() }}) as run_id,
    @landed_at as landed_at
from hashed
where not exists (
    select 1
    from {{ source('landing', 'rejected_records') }} as known
    where
        known.record_hash = hashed.record_hash
        and known.reason = hashed.reason
)
