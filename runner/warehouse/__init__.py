"""The warehouses, each behind one protocol."""
