-- Which blocks the table has of a window and a little before and after it. Polygon's transactions leave a log of their
-- fee; a block without any log is taken for one that is missing.
select
    count(distinct block_number) as blocks,
    min(block_number) as lowest_block,
    max(block_number) as highest_block,
    min(case when block_timestamp >= @since then block_number end) as first_block,
    max(case when block_timestamp < @until then block_number end) as last_block
from {{ source('polygon_public', 'logs') }}
where
    block_timestamp >= @earlier
    and block_timestamp < @later
