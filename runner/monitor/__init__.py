"""Reads what a run left behind and gives a verdict."""
