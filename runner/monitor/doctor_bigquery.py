"""What `polytrades doctor` looks at on BigQuery: credentials, rights, place, storage, and jobs that a dead run left."""

from typing import cast

from google.cloud import bigquery

from runner import project
from runner.errors import Failed, PolytradesError, UsageError
from runner.monitor.check import Check
from runner.warehouse.bigquery import BigQueryWarehouse
from runner.warehouse.protocol import Warehouse

_MARTS_BY_DAY = ("trades", "trade_collisions")
_JOB_USER = "gcloud projects add-iam-policy-binding {project} --member=… --role=roles/bigquery.jobUser"
_EDITOR = "Grant roles/bigquery.dataEditor on the dataset {dataset} to the account that runs polytrades."


def examine_bigquery(warehouse: Warehouse) -> list[Check]:
    """All checks; later ones are left out where an earlier one makes them pointless. Nothing is changed."""
    bigquery_warehouse = cast(BigQueryWarehouse, warehouse)
    may_query = _may_query(bigquery_warehouse)
    if not may_query.passed:
        return [may_query]
    schemas = project.schemas("bigquery")
    found = [may_query, *_datasets(bigquery_warehouse, schemas)]
    if all(check.passed for check in found):
        found += [
            _may_write(bigquery_warehouse, schemas),
            *_tables(bigquery_warehouse, schemas),
            _orphans(bigquery_warehouse),
        ]
        found.append(_account(bigquery_warehouse))
    return found


def _may_query(warehouse: BigQueryWarehouse) -> Check:
    jobs = warehouse.jobs
    try:
        jobs.dry_run("doctor", "select 1 as one", {})
    except Failed as error:
        return Check("credentials", False, str(error), "Check the network, and that the project exists.")
    except PolytradesError as error:
        return Check("credentials", False, str(error), _JOB_USER.format(project=jobs.project))
    return Check("credentials", True, f"may run jobs in {jobs.project}")


def _datasets(warehouse: BigQueryWarehouse, schemas: project.Schemas) -> list[Check]:
    jobs = warehouse.jobs
    found, missing = [], []
    for name in (schemas.landing, schemas.state, schemas.production):
        try:
            dataset = jobs.dataset(name)
        except PolytradesError as error:
            found.append(Check("location", False, str(error), _EDITOR.format(dataset=name)))
            continue
        if dataset is None:
            missing.append(name)
            continue
        location = (dataset.location or jobs.location).upper()
        if location != jobs.location.upper():
            fix = (
                f"Set POLYTRADES_BIGQUERY_LOCATION={location}, or name another dataset in dbt_project.yml: a dataset "
                "cannot be moved."
            )
            found.append(
                Check("location", False, f"dataset {name} is in {location}, the profile says {jobs.location}", fix)
            )
        elif days := _expires_after(dataset):
            fix = (
                f"alter schema `{jobs.data_project}.{name}` set options (default_table_expiration_days = null, "
                "default_partition_expiration_days = null). In the BigQuery sandbox this cannot be changed: add "
                "billing."
            )
            found.append(Check("expiry", False, f"dataset {name} deletes what is older than {days:,.0f} days", fix))
        else:
            found.append(Check("location", True, f"dataset {name} is in {location} and keeps what it has"))
    if missing:
        found.append(_may_create(warehouse, missing))
    return found


def _expires_after(dataset: bigquery.Dataset) -> float | None:
    """Days after which new tables or partitions of a dataset are deleted; None if they stay."""
    spans = [dataset.default_table_expiration_ms, dataset.default_partition_expiration_ms]
    return min((span / 86_400_000 for span in spans if span), default=None)


def _may_create(warehouse: BigQueryWarehouse, names: list[str]) -> Check:
    jobs = warehouse.jobs
    statement = f"create schema if not exists `{jobs.data_project}`.`{names[0]}` options (location = '{jobs.location}')"
    try:
        jobs.dry_run("doctor", statement, {})
    except UsageError as error:
        fix = f"Create the datasets {', '.join(names)} in {jobs.location}, or grant roles/bigquery.user on the project."
        return Check("datasets", False, str(error), fix)
    except PolytradesError:
        pass  # not everything can be asked without doing it
    return Check("datasets", True, f"{', '.join(names)} not there yet; the first run makes them in {jobs.location}")


def _may_write(warehouse: BigQueryWarehouse, schemas: project.Schemas) -> Check:
    """Asked by a dry run of a statement that needs the rights to read and to write."""
    asked = 0
    for schema, table, column in ((schemas.landing, "batches", "batch_id"), (schemas.state, "lease", "run_id")):
        if warehouse.jobs.table(schema, table) is None:
            continue
        asked += 1
        address = f"`{warehouse.jobs.data_project}`.`{schema}`.`{table}`"
        try:
            warehouse.jobs.dry_run("doctor", f"update {address} set {column} = {column} where false", {})
        except PolytradesError as error:
            return Check("rights", False, str(error), _EDITOR.format(dataset=schema))
    if not asked:
        return Check("rights", True, "not asked: there are no tables yet; the first run makes them")
    return Check("rights", True, "may read and write landing and state")


def _tables(warehouse: BigQueryWarehouse, schemas: project.Schemas) -> list[Check]:
    found = []
    for mart in _MARTS_BY_DAY:
        table = warehouse.jobs.table(schemas.production, mart)
        if table is None:
            continue
        findings = warehouse.layout_findings(mart)
        found += [Check("storage", False, finding, fix) for finding, fix in findings]
        if not findings:
            clustering = ", ".join(table.clustering_fields or []) or "nothing"
            note = (
                ""
                if (table.clustering_fields or [""])[0] == "wallet_address"
                else (
                    "; queries for one wallet read whole days, `bq update "
                    "--clustering_fields=wallet_address,condition_id` helps"
                )
            )
            found.append(
                Check("storage", True, f"{mart} is partitioned by day, clustered by {clustering}, never expires{note}")
            )
    for source in project.source_tables():
        schema = schemas.landing if source.source == "landing" else schemas.state
        table = warehouse.jobs.table(schema, source.name)
        partitioning = table.time_partitioning if table else None
        if table is not None and source.partition_by and partitioning is None:
            fix = f"Copy it partitioned by {source.partition_by}, or drop it when `status` shows nothing pending."
            found.append(Check("storage", False, f"{schema}.{source.name} is not partitioned", fix))
        elif partitioning is not None and partitioning.expiration_ms:
            fix = f"alter table `{schema}.{source.name}` set options (partition_expiration_days = null)"
            found.append(Check("storage", False, f"{schema}.{source.name} forgets days, merged or not", fix))
    return found


def _orphans(warehouse: BigQueryWarehouse) -> Check:
    lease = warehouse.lease()
    holder = (lease.run_id or "").lower() if lease else ""
    orphans = [job for job in warehouse.jobs.all_working() if job[1] != holder]
    if orphans:
        ids = ", ".join(f"{job_id} (run {run_id or 'unknown'})" for job_id, run_id in orphans[:5])
        return Check(
            "orphaned jobs",
            False,
            f"{len(orphans)} jobs of ours work without holding the lease: {ids}",
            "If nobody builds by hand just now: `bq cancel JOB_ID`. The next run waits for those of a dead run, then "
            "ends them.",
        )
    return Check("orphaned jobs", True, "none")


def _account(warehouse: BigQueryWarehouse) -> Check:
    from runner.windows import utc_now

    if warehouse.reconciled_bytes(utc_now().date()) is None:
        return Check(
            "account",
            True,
            "INFORMATION_SCHEMA.JOBS cannot be read: costs are counted from the jobs that we may list. To compare, "
            "grant roles/bigquery.resourceViewer on the project",
        )
    return Check("account", True, "INFORMATION_SCHEMA.JOBS can be read: `polytrades cost` compares with it")
