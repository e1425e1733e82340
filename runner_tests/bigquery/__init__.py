"""A local BigQuery for the tests: the emulator, the proxy in front of it, and what is asked of both."""
