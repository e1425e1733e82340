-- The staging table by key: one row per key that the old copy went by (wallet, transaction, id) and per key that we
-- give it. `content_from` and `content_to` are the least and the greatest hash of what a row says but for its time.
with staged as (
    select
        *,
        case
            when coalesce(record_id, '') = '' then 'empty'
            when record_id = tx_hash then 'transaction hash'
            when key_quality = 'repaired' then 'order hash'
            when key_quality = 'exact' then 'beside an order hash'
            else 'other'
        end as id_kind
    from {{ ref('stg_legacy__trades') }}
),

hashed as (
    select
        {{ row_hashes('staged', 0) }},
        {{ fingerprint_64([
            "coalesce(staged.wallet_address, '')", "coalesce(staged.tx_hash, '')", "coalesce(staged.record_id, '')"
        ]) }} as raw_key,
        {{ fingerprint_64([
            "coalesce(side, '')", "coalesce(token_id, '')", "coalesce(token_label, '')", "coalesce(condition_id, '')",
            "cast(coalesce(shares_raw, -1) as " ~ dbt.type_string() ~ ")",
            "cast(coalesce(usdc_raw, -1) as " ~ dbt.type_string() ~ ")"
        ]) }} as content,
        {{ fingerprint_64([
            "coalesce(side, '')", "coalesce(token_id, '')",
            "cast(coalesce(shares_raw, -1) as " ~ dbt.type_string() ~ ")",
            "cast(coalesce(usdc_raw, -1) as " ~ dbt.type_string() ~ ")"
        ]) }} as fill,
        timestamp,
        id_kind,
        key_quality,
        case when broken_value is not null then 1 else 0 end as broken
    from staged
)

select
    raw_key,
    key_1,
    key_2,
    min(pair) as pair,
    count(*) as row_count,
    sum(broken) as broken_rows,
    min(timestamp) as first_at,
    max(timestamp) as last_at,
    min(content) as content_from,
    max(content) as content_to,
    min(fill) as fill_from,
    max(fill) as fill_to,
    min(id_kind) as id_kind,
    min(key_quality) as key_quality
from hashed
group by raw_key, key_1, key_2
