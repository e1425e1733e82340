"""Moving a table of trades that was there before: audit, copy, verify, drop, rollback."""
