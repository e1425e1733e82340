-- A month of what `trades` is to get. Left out: stand-ins whose fill is known, and keys that have come since. `@since`
-- and `@until` are the month and a day more on both sides, so that `trades` is read by its days.
select
    {% for column in contract_columns('trades') %}
    given.{{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from {{ work_table('rows') }} as given
where
    {{ in_month('given') }}
    and given.broken_rule is null
    and not exists (
        select 1
        from {{ work_table('claimed') }} as claimed
        where
            claimed.key_1 = given.key_1
            and claimed.key_2 = given.key_2
    )
    and not exists (
        select 1
        from {{ migrated_into() }} as stored
        where
            stored.timestamp >= @since
            and stored.timestamp < @until
            and stored.wallet_address = given.wallet_address
            and stored.tx_hash = given.tx_hash
            and stored.order_hash = given.order_hash
    )
    and (select lease.run_id from {{ source('state', 'lease') }} as lease) = @lease
{{ stored_in_order(['given.timestamp', 'given.wallet_address', 'given.tx_hash', 'given.order_hash']) }}
