{{ config(meta={'built_from_pending_batches': true}) }}

with batched as (
    select
        *,
        {{ fingerprint([
            'event_slug', 'title', 'category', 'tags', 'status', 'description', 'image', 'negative_risk_id',
            float_text('volume'), epoch_micros('start_time'), epoch_micros('end_time'), 'source'
        ]) }} as content_hash
    from {{ ref('stg_landing__events') }}
    where {{ in_pending_batches('events') }}
),

versioned as (
    select
        *,
        lpad(cast({{ epoch_micros('as_of') }} as {{ dbt.type_string() }}), 17, '0')
        || '.'
        || content_hash as row_version
    from batched
)

select
    event_slug,
    title,
    category,
    tags,
    status,
    description,
    image,
    negative_risk_id,
    volume,
    start_time,
    end_time,
    as_of,
    source,
    content_hash,
    row_version
from versioned
qualify {{ is_newest(['event_slug'], ['row_version']) }}
