"""From raw records to landed batches: validation, quarantine, idempotent load."""
