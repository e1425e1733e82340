{{ config(meta={'built_from_pending_batches': true}) }}

-- Frozen once per invocation: what lands while dbt runs waits for the next one, and everything after this
-- model reads the same batches. A watermark would pass over batches that land late or at the same time.
with manifest as (
    select * from {{ source('landing', 'batches') }}
),

ledger as (
    select * from {{ source('state', 'merged_batches') }}
),

fed_marts as (
    {{ fed_marts_as_rows() }}
)

select distinct
    manifest.batch_id,
    manifest.landing_table,
    fed_marts.mart,
    manifest.landed_on,
    '{{ invocation_id }}' as invocation_id
from manifest
inner join fed_marts
    on manifest.landing_table = fed_marts.landing_table
left join ledger
    on
        manifest.batch_id = ledger.batch_id
        and fed_marts.mart = ledger.mart
where ledger.batch_id is null
