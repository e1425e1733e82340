"""What may go wrong between a client and BigQuery, said as rules: which request, and what becomes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

HTTP_KINDS: dict[str, tuple[int, str, str, str]] = {
    "429": (429, "rateLimitExceeded", "RESOURCE_EXHAUSTED", "Exceeded rate limits: too many api requests."),
    "500": (500, "backendError", "INTERNAL", "An internal error occurred and the request could not be completed."),
    "503": (503, "backendError", "UNAVAILABLE", "Error encountered during execution. Retrying may solve the problem."),
    "rateLimitExceeded": (403, "rateLimitExceeded", "PERMISSION_DENIED", "Exceeded rate limits: too many jobs."),
    "quotaExceeded": (403, "quotaExceeded", "PERMISSION_DENIED", "Quota exceeded: your project exceeded a quota."),
    "accessDenied": (403, "accessDenied", "PERMISSION_DENIED", "Access Denied: the user lacks a permission."),
}
"""Kinds that are answered at once: code, reason, status, message. Nothing reaches the emulator."""

JOB_KINDS = ("backendError", "job_error", "slow")
"""Kinds of jobs: only requests that create a job match."""

CONNECTION_KINDS = ("drop_before", "drop_after")
"""Kinds that end the connection without an answer: before the emulator sees the request, or after it accepted it."""


@dataclass(frozen=True)
class Creation:
    """The job a request creates, as far as rules look at it."""

    statement: str
    labels: dict[str, str]


@dataclass
class Fault:
    """One rule. It strikes `times` requests in a row from the `nth` that matches on; `times` None: all of them.

    `label` is a key, or `key=value`; `statement` and `path` are regular expressions that are searched for, without
    regard to case. `path` is the whole target, query string included. A rule without a matcher counts every request;
    one with a label, a statement or a kind of `JOB_KINDS` counts only requests that create a job.
    """

    kind: str
    nth: int = 1
    times: int | None = 1
    method: str | None = None
    path: str | None = None
    label: str | None = None
    statement: str | None = None
    seconds: float = 0.0
    """`slow`: for how long the job looks as if it ran. It is executed at once; only its state is held back."""
    reason: str = "invalid"
    """`job_error`: the reason of the errorResult, `invalid` or `internalError` for example."""
    message: str = "An injected error."
    seen: int = field(default=0, init=False)
    """Requests that matched."""
    hits: int = field(default=0, init=False)
    """Requests that were struck."""

    def __post_init__(self) -> None:
        if self.kind not in (*HTTP_KINDS, *JOB_KINDS, *CONNECTION_KINDS):
            raise ValueError(f"no such kind of fault: {self.kind}")

    def strikes(self, method: str, path: str, creation: Creation | None) -> bool:
        """Counts a request, and says whether it is struck."""
        if not self._matches(method, path, creation):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)

    def _matches(self, method: str, path: str, creation: Creation | None) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        if self.path is not None and not re.search(self.path, path, re.IGNORECASE):
            return False
        if self.label is None and self.statement is None and self.kind not in JOB_KINDS:
            return True
        if creation is None:
            return False
        if self.label is not None:
            key, _, value = self.label.partition("=")
            if key not in creation.labels or (value and creation.labels[key] != value):
                return False
        return self.statement is None or bool(re.search(self.statement, creation.statement, re.IGNORECASE | re.DOTALL))


def error_body(code: int, reason: str, message: str, status: str) -> dict[str, Any]:
    """An error as BigQuery's REST API words it."""
    error = {"message": message, "domain": "global", "reason": reason}
    return {"error": {"code": code, "message": message, "errors": [error], "status": status}}
