{{ rows_at_addresses() }}
