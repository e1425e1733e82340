"""What `polytrades doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `fix` is empty where there is nothing to do."""

    name: str
    passed: bool
    finding: str
    fix: str = ""
