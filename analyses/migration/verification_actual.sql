-- What `trades` holds, as hashes.
select
    {{ row_hashes('stored') }},
    {{ utc_month('stored.timestamp') }} as month
from {{ migrated_into() }} as stored
