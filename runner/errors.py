"""Every error that the runner raises on purpose.

PolytradesError        what happened, to what, what to do next; the exit code is on the class
├── UsageError         2  a command or a setting is wrong; nothing was done
│   └── KeyRefused     2  the upstream refuses the API key
├── UpstreamError      1  an upstream did not answer usably; the wallet keeps its checkpoint
│   ├── Unavailable    1  … for a reason that may pass: retried
│   │   └── Throttled  1  … because we ask too often
│   ├── TooLong        1  … it is longer than what we take
│   └── BudgetSpent    1  the run may send no more requests
├── HeldBack           3  something durable stands, or another process holds what we need: run again
└── Failed             1  the run failed and nothing durable happened
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code means. Where several apply, the order is USAGE, FAILED, PARTLY_DONE, CHECK_FAILED."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY_DONE = 3
    CHECK_FAILED = 4


class PolytradesError(Exception):
    """Base of the family. `str()` is one paragraph for a person: what happened, to what, what to do next."""

    exit_code = ExitCode.FAILED


class UsageError(PolytradesError):
    """A command line, a setting or a file named by one is wrong. Nothing was done."""

    exit_code = ExitCode.USAGE


class UpstreamError(PolytradesError):
    """An upstream's answer cannot be used. It is not retried, and it is never taken for the end of the data."""


class Unavailable(UpstreamError):
    """An upstream could not be reached or asked us to come back. `retry_after` is in seconds, if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """An upstream says in its answer that we ask too often."""


class TooLong(UpstreamError):
    """An answer is longer than what we take: ask for less."""


class BudgetSpent(UpstreamError):
    """The run has sent all the requests that it may."""


class KeyRefused(UsageError):
    """The upstream wants an API key, or another one."""


class HeldBack(PolytradesError):
    """The run stopped where it can go on: another process holds the warehouse, dbt failed after landing, Ctrl-C."""

    exit_code = ExitCode.PARTLY_DONE


class Failed(PolytradesError):
    """The run failed before anything durable happened."""
