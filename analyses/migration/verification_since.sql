-- Transactions of which a batch has been merged since the copy began: there `trades` may have changed by right.
select distinct {{ pair_hash('landed') }} as pair
from {{ source('landing', 'trades') }} as landed
where
    landed.batch_id in (
        select merged.batch_id
        from {{ source('state', 'merged_batches') }} as merged
        where
            merged.mart = 'trades'
            and merged.merged_at >= @since
    )
