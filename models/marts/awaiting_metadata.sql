{{ config(
    materialized=mart_materialization(),
    incremental_strategy='merge',
    unique_key=['wallet_address', 'tx_hash', 'order_hash', 'collision_id'],
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook='{{ record_merged_batches() }}',
    meta={'merge': {
        'day_of': 'timestamp',
        'days_from': ['int_trades_batched', 'int_trades_stored'],
        'retires': "missing = ''",
    }},
    **table_layout(day_of='timestamp', cluster_by=['wallet_address'])
) }}

{% set facts = token_columns() %}
{% if is_production() %}

-- Whatever changes a fill passes through int_trades_versions, so a fill comes and goes here with its own build.
with standing as (
    select
        *,
        not is_superseded and not coalesce(is_removed, false) as is_standing
    from {{ ref('int_trades_versions') }}
),

versions as (
    select
        *,
        trim(
            concat(
                {% for column in facts %}
                case when {{ column }} is null and is_standing then '{{ column }} ' else '' end
                {{- ',' if not loop.last }}
                {% endfor %}
            )
        ) as missing
    from standing
){% if is_incremental() %},

waiting as (
    select distinct
        stored.wallet_address,
        stored.tx_hash,
        stored.order_hash
    from {{ this }} as stored
    where {{ merge_window(batch_relations(), 'timestamp', 'stored') }}
){% endif %}

select
    versions.wallet_address,
    versions.tx_hash,
    versions.order_hash,
    {{ collision_id('versions') }} as collision_id,
    versions.timestamp,
    versions.token_id,
    versions.side,
    versions.shares_raw,
    versions.usdc_raw,
    versions.log_index,
    {% for column in facts %}
    versions.{{ column }},
    {% endfor %}
    versions.missing
from versions
{% if is_incremental() -%}
left join waiting
    on
        versions.wallet_address = waiting.wallet_address
        and versions.tx_hash = waiting.tx_hash
        and versions.order_hash = waiting.order_hash
{% endif -%}
where
    {{ if_built_from_pending_batches() }}
    and (versions.missing <> ''{% if is_incremental() %} or waiting.order_hash is not null{% endif %})

{% else %}

{{ select_from_production('awaiting_metadata') }}

{% endif %}
