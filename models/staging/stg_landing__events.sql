with landed as (
    select * from {{ source('landing', 'events') }}
),

gamma as (
    select
        event_slug,
        {{ json_text('payload', '$.title') }} as title,
        {{ json_text('payload', '$.tags[0].label') }} as category,
        {{ json_text_list('payload', '$.tags', '.label') }} as tags,
        case {{ json_text('payload', '$.closed') }} when 'true' then 'closed' else 'open' end as status,
        {{ json_text('payload', '$.description') }} as description,
        {{ json_text('payload', '$.image') }} as image,
        {{ json_text('payload', '$.negRiskMarketID') }} as negative_risk_id,
        {{ try_cast_to(json_text('payload', '$.volume'), column_type('float64')) }} as volume,
        {{ text_to_instant(json_text('payload', '$.startDate')) }} as start_time,
        {{ text_to_instant(json_text('payload', '$.endDate')) }} as end_time,
        fetched_at as as_of,
        source,
        batch_id,
        landed_on
    from landed
    where source = 'gamma'
),

dome as (
    select
        event_slug,
        {{ json_text('payload', '$.title') }} as title,
        {{ json_text('payload', '$.tags[0]') }} as category,
        {{ json_text_list('payload', '$.tags', '') }} as tags,
        {{ json_text('payload', '$.status') }} as status,
        cast(null as {{ column_type('string') }}) as description,
        {{ json_text('payload', '$.image') }} as image,
        cast(null as {{ column_type('string') }}) as negative_risk_id,
        {{ try_cast_to(json_text('payload', '$.volume_fiat_amount'), column_type('float64')) }} as volume,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.start_time'), 'bigint')) }} as start_time,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.end_time'), 'bigint')) }} as end_time,
        fetched_at as as_of,
        source,
        batch_id,
        landed_on
    from landed
    where source = 'dome'
),

both_shapes as (
    select * from gamma
    union all
    select * from dome
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
    batch_id,
    landed_on
from both_shapes
