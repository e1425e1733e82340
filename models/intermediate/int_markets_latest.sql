{{ config(meta={'built_from_pending_batches': true}) }}

with batched as (
    select
        *,
        {{ fingerprint([
            'condition_id', 'market_slug', 'event_slug', 'title', 'description', 'status', 'side_a_id',
            'side_a_label', 'side_b_id', 'side_b_label', 'winning_id', 'winning_label',
            float_text('liquidity'), float_text('volume_1_week'), float_text('volume_1_month'),
            float_text('volume_1_year'), float_text('volume_total'), epoch_micros('start_time'),
            epoch_micros('end_time'), epoch_micros('close_time'), epoch_micros('completed_time'),
            epoch_micros('game_start_time'), 'resolution_source', 'image', 'negative_risk_id', 'tags',
            'source'
        ]) }} as content_hash
    from {{ ref('stg_landing__markets') }}
    where {{ in_pending_batches('markets') }}
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
    condition_id,
    market_slug,
    event_slug,
    title,
    description,
    status,
    side_a_id,
    side_a_label,
    side_b_id,
    side_b_label,
    winning_id,
    winning_label,
    liquidity,
    volume_1_week,
    volume_1_month,
    volume_1_year,
    volume_total,
    start_time,
    end_time,
    close_time,
    completed_time,
    game_start_time,
    resolution_source,
    image,
    negative_risk_id,
    tags,
    as_of,
    source,
    content_hash,
    row_version
from versioned
qualify {{ is_newest(['condition_id'], ['row_version']) }}
