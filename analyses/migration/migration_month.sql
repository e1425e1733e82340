{% set columns = contract_columns('trades') | map(attribute='name') | list %}
-- A month of what `trades` is to get. Left out: stand-ins whose fill is known, and keys that have come since. `@since`
-- and `@until` are the month and a day more on both sides, so that `trades` is read by its days.
-- Joins and not `not exists`: DuckDB collects the keys of two nested ones anew for each of them.
with stored as (
    select
        wallet_address,
        tx_hash,
        order_hash
    from {{ migrated_into() }}
    where
        timestamp >= @since
        and timestamp < @until
),

given as (
    -- `id` is the order hash once more and is not kept twice
    select
        *,
        order_hash as id
    from {{ work_table('rows') }}
)

select
    given.{{ columns | join(',\n    given.') }}
from given
left join {{ work_table('claimed') }} as claimed
    on
        given.key_1 = claimed.key_1
        and given.key_2 = claimed.key_2
left join stored
    on
        given.wallet_address = stored.wallet_address
        and given.tx_hash = stored.tx_hash
        and given.order_hash = stored.order_hash
where
    {{ in_month('given') }}
    and given.broken_rule is null
    and claimed.key_1 is null
    and stored.order_hash is null
    and (select lease.run_id from {{ source('state', 'lease') }} as lease) = @lease
{{ stored_in_order(['given.timestamp', 'given.wallet_address', 'given.tx_hash', 'given.order_hash']) }}
