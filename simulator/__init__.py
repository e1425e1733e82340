"""A local stand-in for the upstream services: deterministic worlds, recorded files, and faults on demand.

The simulator runs as its own process (`python -m simulator`) and speaks HTTP on a real socket. It shares no code with
the runner, so a misreading of a wire format on one side cannot hide behind the same misreading on the other.
"""
