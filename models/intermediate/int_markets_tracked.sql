{{ config(materialized='view') }}

-- What the history of markets follows. Volumes are left out: with them each night would be a version of every market.
select
    condition_id,
    market_slug,
    event_slug,
    title,
    status,
    winning_id,
    winning_label,
    end_time,
    close_time,
    game_start_time,
    resolution_source
from {{ ref('markets') }}
