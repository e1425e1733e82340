-- Production before the copy: key and content of each row as hashes.
select
    {{ row_hashes('stored') }},
    stored.timestamp
from {{ migrated_into() }} as stored
