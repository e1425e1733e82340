{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key='event_slug',
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook='{{ record_merged_batches() }}',
    meta={'merge': {'newer_by': 'row_version', 'changed_by': 'content_hash'}},
    **table_layout(cluster_by=['event_slug'])
) }}

{% if is_production() %}

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
from {{ ref('int_events_latest') }}
where {{ if_built_from_pending_batches() }}

{% else %}

{{ select_from_production('events') }}

{% endif %}
