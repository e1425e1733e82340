-- Work table: the logs of a window that may be fills of the wallets. The one statement that reads the wide columns.
select
    address,
    topics,
    data,
    block_number,
    block_timestamp,
    transaction_hash,
    log_index
from {{ source('polygon_public', 'logs') }}
where
    block_timestamp >= @since
    and block_timestamp < @until
    and lower(address) in (select contract_address from {{ ref('exchange_contracts') }})
    and lower({{ list_item('topics', 2) }}) in (
        select concat('0x{{ '0' * 24 }}', substr(wallet, 3)) as maker from unnest(@wallets) as wallet
    )
