-- The wallets of the copied fills, and when each was first and last seen.
select
    rows_to_copy.wallet_address,
    coalesce(
        max(case when followed.followed_from is not null and followed.followed_until is null then 1 end), 0
    ) = 1 as is_followed,
    min(rows_to_copy.timestamp) as first_at,
    max(rows_to_copy.timestamp) as last_at
from {{ work_table('rows') }} as rows_to_copy
left join {{ source('state', 'followed_wallets') }} as followed
    on rows_to_copy.wallet_address = followed.wallet_address
where rows_to_copy.broken_rule is null
group by rows_to_copy.wallet_address
