{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key='condition_id',
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook='{{ record_merged_batches() }}',
    meta={'merge': {'newer_by': 'row_version', 'changed_by': 'content_hash'}},
    **table_layout(cluster_by=['condition_id'])
) }}

{% if is_production() %}

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
from {{ ref('int_markets_latest') }}
where {{ if_built_from_pending_batches() }}

{% else %}

{{ select_from_production('markets') }}

{% endif %}
