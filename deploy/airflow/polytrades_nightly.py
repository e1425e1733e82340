"""A DAG: sync every night, then the report. Secrets are in the worker's environment, not in the DAG."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

HOME = "/srv/polytrades"

# 4: complete, but a check failed. The run has told of it by itself, so the night counts.
SYNC = ".venv/bin/polytrades sync || [ $? -eq 4 ]"
REPORT = ".venv/bin/polytrades report --out reports/{{ ds }}.html"

with DAG(
    dag_id="polytrades_nightly",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a night that was missed is fetched by the next one
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=15)},
) as dag:
    sync = BashOperator(task_id="sync", bash_command=SYNC, cwd=HOME, append_env=True)
    report = BashOperator(task_id="report", bash_command=REPORT, cwd=HOME, append_env=True, trigger_rule="all_done")
    # What became of a run of the DAG is told by its last tasks; the report alone would call a failed night good.
    complete = EmptyOperator(task_id="complete")
    sync >> [report, complete]
