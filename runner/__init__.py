"""The runner: fetches raw trades, lands them, invokes dbt, reports. Every transformation is SQL in the dbt project."""

__version__ = "0.1.0"
