"""One run: which wallets, which windows, fetch, land, build, record."""
