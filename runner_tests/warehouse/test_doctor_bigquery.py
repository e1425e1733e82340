"""What `doctor` says of a BigQuery project: what is missing, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import PolytradesError, UsageError
from runner.monitor.check import Check
from runner.monitor.doctor_bigquery import examine_bigquery
from runner.settings import load
from runner.warehouse.connect import connect


def found(place: Any) -> dict[str, Check]:
    """Checks by name, a failed one before those that passed."""
    checks = examine_bigquery(place.open())
    return {check.name: check for check in sorted(checks, key=lambda check: not check.passed, reverse=True)} | {
        check.name: check for check in checks if not check.passed
    }


def test_a_project_in_order_passes(bigquery: Any) -> None:
    checks = examine_bigquery(bigquery.open())
    assert [check for check in checks if not check.passed] == []
    assert {check.name for check in checks} >= {"credentials", "location", "rights", "orphaned jobs", "account"}


def test_nothing_is_changed_by_looking(bigquery: Any) -> None:
    before = len(bigquery.proxy.jobs)
    examine_bigquery(bigquery.open())
    for job in bigquery.proxy.jobs[before:]:
        assert job.statement.lstrip().lower().startswith("select"), job.statement


def test_without_the_right_to_run_jobs_the_command_that_grants_it_is_named(bigquery: Any) -> None:
    bigquery.proxy.fault("accessDenied", path=r"/jobs\?", times=None)
    bigquery.proxy.fault("accessDenied", path=r"/queries\?", times=None)
    (check,) = examine_bigquery(bigquery.open())
    assert not check.passed
    assert "Access Denied" in check.finding
    assert "--role=roles/bigquery.jobUser" in check.fix


def test_without_the_right_to_write_the_dataset_and_role_are_named(bigquery: Any) -> None:
    bigquery.proxy.fault("accessDenied", statement="^update", times=None)
    check = found(bigquery)["rights"]
    assert not check.passed
    assert "roles/bigquery.dataEditor on the dataset polytrades_landing" in check.fix


def test_a_dataset_in_another_place_is_found(bigquery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTRADES_BIGQUERY_LOCATION", "EU")
    check = found(bigquery)["location"]
    assert not check.passed
    assert check.finding.endswith("is in US, the profile says EU")
    assert "POLYTRADES_BIGQUERY_LOCATION=US" in check.fix


def test_a_dataset_that_deletes_what_is_old_is_found(bigquery: Any) -> None:
    warehouse = bigquery.open()
    warehouse._execute("test", "alter schema `polytrades_landing` set options (default_table_expiration_days = 60)")
    check = found(bigquery)["expiry"]
    assert "dataset polytrades_landing deletes what is older than 60 days" in check.finding
    assert "default_table_expiration_days = null" in check.fix


def test_a_landing_table_that_forgets_days_is_found(bigquery: Any) -> None:
    warehouse = bigquery.open()
    client = warehouse.jobs._client
    table = client.get_table(f"{warehouse.jobs.data_project}.polytrades_landing.trades")
    table.partition_expiration = 30 * 86_400_000
    client.update_table(table, ["time_partitioning"])
    check = found(bigquery)["storage"]
    assert not check.passed
    assert "polytrades_landing.trades forgets days, merged or not" in check.finding


def test_jobs_that_work_without_the_lease_are_found(bigquery: Any) -> None:
    dead = bigquery.open()
    dead.names_jobs("sync", "run-1")
    bigquery.proxy.fault("slow", label="model=orphan", seconds=20)
    dead.jobs._client.query("select 1", job_config=dead.jobs._config("orphan", {}))
    check = found(bigquery)["orphaned jobs"]
    assert not check.passed
    assert "(run run-1)" in check.finding
    assert "bq cancel" in check.fix


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"POLYTRADES_BIGQUERY_PROJECT": ""}, "names no project. Set POLYTRADES_BIGQUERY_PROJECT"),
        ({"POLYTRADES_BIGQUERY_PROJECT": "a`; drop"}, "is no id of a Google Cloud project"),
        (
            {"POLYTRADES_BIGQUERY_METHOD": "service-account", "POLYTRADES_BIGQUERY_KEYFILE": "nowhere.json"},
            "The key file 'nowhere.json' cannot be used",
        ),
        ({"POLYTRADES_BIGQUERY_METHOD": "magic"}, "The profile's method is 'magic'"),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "nowhere.json"}, "Google refuses the credentials|no Google credentials"),
    ],
    ids=["project", "no project id", "key file", "method", "no login"],
)
def test_what_is_missing_in_the_profile_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("POLYTRADES_BIGQUERY_PROJECT", "some-project")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        connect(load(target="bigquery"))
    assert issubclass(UsageError, PolytradesError)
