-- Of each key of the staging table the newest row, as hashes. A table of its own: the search for the newest and the
-- comparison with production each need all of the memory that a migration may have.
{{ newest_contents() }}
