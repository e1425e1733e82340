with landed as (
    select * from {{ source('landing', 'markets') }}
),

-- Gamma keeps lists as JSON inside JSON texts; clobTokenIds[i] belongs to outcomes[i] and outcomePrices[i].
gamma as (
    select
        condition_id,
        {{ json_text('payload', '$.slug') }} as market_slug,
        {{ json_text('payload', '$.events[0].slug') }} as event_slug,
        {{ json_text('payload', '$.question') }} as title,
        {{ json_text('payload', '$.description') }} as description,
        case {{ json_text('payload', '$.closed') }} when 'true' then 'closed' else 'open' end as status,
        {{ json_text(json_text('payload', '$.clobTokenIds'), '$[0]') }} as side_a_id,
        {{ json_text(json_text('payload', '$.outcomes'), '$[0]') }} as side_a_label,
        {{ json_text(json_text('payload', '$.clobTokenIds'), '$[1]') }} as side_b_id,
        {{ json_text(json_text('payload', '$.outcomes'), '$[1]') }} as side_b_label,
        -- Resolved: one outcome is worth exactly 1. Old markets were closed at a price between, without a winner.
        case
            when {{ json_text('payload', '$.closed') }} <> 'true' then null
            when {{ json_text(json_text('payload', '$.outcomePrices'), '$[0]') }} = '1' then 0
            when {{ json_text(json_text('payload', '$.outcomePrices'), '$[1]') }} = '1' then 1
        end as winning_side,
        {{ try_cast_to(json_text('payload', '$.liquidity'), column_type('float64')) }} as liquidity,
        {{ try_cast_to(json_text('payload', '$.volume1wk'), column_type('float64')) }} as volume_1_week,
        {{ try_cast_to(json_text('payload', '$.volume1mo'), column_type('float64')) }} as volume_1_month,
        {{ try_cast_to(json_text('payload', '$.volume1yr'), column_type('float64')) }} as volume_1_year,
        {{ try_cast_to(json_text('payload', '$.volume'), column_type('float64')) }} as volume_total,
        {{ text_to_instant(json_text('payload', '$.startDate')) }} as start_time,
        {{ text_to_instant(json_text('payload', '$.endDate')) }} as end_time,
        {{ text_to_instant(json_text('payload', '$.closedTime')) }} as close_time,
        cast(null as {{ column_type('timestamp') }}) as completed_time,
        {{ text_to_instant(json_text('payload', '$.gameStartTime')) }} as game_start_time,
        {{ json_text('payload', '$.resolutionSource') }} as resolution_source,
        {{ json_text('payload', '$.image') }} as image,
        {{ json_text('payload', '$.negRiskMarketID') }} as negative_risk_id,
        cast(null as {{ column_type('string') }}) as tags,
        fetched_at as as_of,
        source,
        batch_id,
        landed_on
    from landed
    where source = 'gamma'
),

dome as (
    select
        condition_id,
        {{ json_text('payload', '$.market_slug') }} as market_slug,
        {{ json_text('payload', '$.event_slug') }} as event_slug,
        {{ json_text('payload', '$.title') }} as title,
        {{ json_text('payload', '$.description') }} as description,
        {{ json_text('payload', '$.status') }} as status,
        {{ json_text('payload', '$.side_a.id') }} as side_a_id,
        {{ json_text('payload', '$.side_a.label') }} as side_a_label,
        {{ json_text('payload', '$.side_b.id') }} as side_b_id,
        {{ json_text('payload', '$.side_b.label') }} as side_b_label,
        -- An object in real answers, a label in the published schema.
        case
        coalesce({{ json_text('payload', '$.winning_side.label') }}, {{ json_text('payload', '$.winning_side') }})
            when {{ json_text('payload', '$.side_a.label') }} then 0
            when {{ json_text('payload', '$.side_b.label') }} then 1
        end as winning_side,
        cast(null as {{ column_type('float64') }}) as liquidity,
        {{ try_cast_to(json_text('payload', '$.volume_1_week'), column_type('float64')) }} as volume_1_week,
        {{ try_cast_to(json_text('payload', '$.volume_1_month'), column_type('float64')) }} as volume_1_month,
        {{ try_cast_to(json_text('payload', '$.volume_1_year'), column_type('float64')) }} as volume_1_year,
        {{ try_cast_to(json_text('payload', '$.volume_total'), column_type('float64')) }} as volume_total,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.start_time'), 'bigint')) }} as start_time,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.end_time'), 'bigint')) }} as end_time,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.close_time'), 'bigint')) }} as close_time,
        {{ seconds_to_instant(try_cast_to(json_text('payload', '$.completed_time'), 'bigint')) }} as completed_time,
        {{ text_to_instant(json_text('payload', '$.game_start_time')) }} as game_start_time,
        {{ json_text('payload', '$.resolution_source') }} as resolution_source,
        {{ json_text('payload', '$.image') }} as image,
        {{ json_text('payload', '$.negative_risk_id') }} as negative_risk_id,
        {{ json_part('payload', '$.tags') }} as tags,
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
    -- key
    condition_id,

    -- names
    market_slug,
    event_slug,
    title,
    description,

    -- outcomes
    status,
    side_a_id,
    side_a_label,
    side_b_id,
    side_b_label,
    case winning_side when 0 then side_a_id when 1 then side_b_id end as winning_id,
    case winning_side when 0 then side_a_label when 1 then side_b_label end as winning_label,

    -- numbers
    liquidity,
    volume_1_week,
    volume_1_month,
    volume_1_year,
    volume_total,

    -- times
    start_time,
    end_time,
    close_time,
    completed_time,
    game_start_time,

    -- the rest
    resolution_source,
    image,
    negative_risk_id,
    tags,

    -- the record
    as_of,
    source,
    batch_id,
    landed_on
from both_shapes
