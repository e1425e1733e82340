-- Production's own keys, and how many of the staging table's it has. Rows without an order hash are keys of nothing.
with stored as (
    select
        {{ key_hash_1('stored') }} as key_1,
        {{ key_hash_2('stored') }} as key_2,
        case
            when stored.wallet_address is null or stored.tx_hash is null or stored.order_hash is null then 1 else 0
        end as is_null
    from {{ ref('trades') }} as stored
),

keys_stored as (
    select
        key_1,
        key_2,
        count(*) as row_count
    from stored
    where is_null = 0
    group by key_1, key_2
),

staged as (
    select
        key_1,
        key_2
    from {{ work_table('keys') }}
    where row_count > broken_rows
    group by key_1, key_2
)

select
    (select count(*) from stored) as row_count,
    (select coalesce(sum(is_null), 0) from stored) as null_keys,
    (select count(*) from keys_stored) as keys,
    (
        select count(*) from keys_stored
        where row_count > 1
    ) as double_keys,
    (
        select count(*)
        from staged
        inner join keys_stored
            on
                staged.key_1 = keys_stored.key_1
                and staged.key_2 = keys_stored.key_2
    ) as keys_in_both
