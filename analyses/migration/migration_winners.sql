{{ newest_rows() }}
