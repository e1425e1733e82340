"""The upstreams, each behind the same few functions."""
