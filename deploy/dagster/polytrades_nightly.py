"""A job and its schedule: sync every night, then the report. Secrets are in the environment of the run."""

import subprocess

from dagster import Backoff, Definitions, In, Nothing, RetryPolicy, ScheduleDefinition, job, op

HOME = "/srv/polytrades"
COMPLETE = (0, 4)  # with 4 a check failed, and the run has told of it by itself


def polytrades(*arguments: str) -> int:
    """Runs the command line; gives its exit code."""
    return subprocess.run([".venv/bin/polytrades", *arguments], cwd=HOME, check=False).returncode


@op(retry_policy=RetryPolicy(max_retries=3, delay=900, backoff=Backoff.LINEAR))
def sync() -> None:
    """A night; what it could not finish, the next attempt goes on with."""
    code = polytrades("sync")
    if code not in COMPLETE:
        raise RuntimeError(f"polytrades sync ended with {code}; its output says what to do")


@op(ins={"after": In(Nothing)})
def report() -> None:
    """The page to look at in the morning."""
    polytrades("report", "--out", "reports/today.html")


@job
def polytrades_nightly() -> None:
    """Both, one after the other."""
    report(after=sync())


defs = Definitions(
    jobs=[polytrades_nightly],
    schedules=[ScheduleDefinition(job=polytrades_nightly, cron_schedule="15 2 * * *", execution_timezone="UTC")],
)
