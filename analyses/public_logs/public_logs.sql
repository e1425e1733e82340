-- Work table: the logs of a window that may be fills of the wallets. The one statement that reads the wide columns.
select
    logs.address,
    logs.topics,
    logs.data,
    logs.block_number,
    logs.block_timestamp,
    logs.transaction_hash,
    logs.log_index
from {{ source('polygon_public', 'logs') }} as logs
where
    logs.block_timestamp >= @since
    and logs.block_timestamp < @until
    and lower(logs.address) in (select exchanges.contract_address from {{ ref('exchange_contracts') }} as exchanges)
    and lower({{ list_item('logs.topics', 2) }}) in (
        select concat('0x{{ '0' * 24 }}', substr(wallet, 3)) as maker from unnest(@wallets) as wallet
    )
