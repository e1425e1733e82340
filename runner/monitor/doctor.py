"""`polytrades doctor`: is everything there that a run needs? Changes nothing; a fix for each finding."""

import asyncio
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial

from pydantic import SecretStr

from runner import dbt, project
from runner.errors import KeyRefused, PolytradesError
from runner.monitor.check import Check
from runner.settings import Settings
from runner.sources import gamma, orders, polygon
from runner.units import duration
from runner.warehouse.connect import connect

_NOBODY = "0x" + "0" * 40
"""A wallet without fills."""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which a run would meet the trouble."""
    checks: list[Callable[[Settings], list[Check]]] = [
        _python,
        _dbt,
        _profile,
        _folders,
        _warehouse,
        _orders,
        _polygon,
        _gamma,
    ]
    once = settings.model_copy(update={"request_attempts": 1})  # somebody is waiting to be told
    return [found for check in checks for found in check(once)]


def _python(_settings: Settings) -> list[Check]:
    # On an older Python the package does not install, so none gets here.
    return [Check("Python", True, f"Python {platform.python_version()} at {sys.executable}")]


def _dbt(settings: Settings) -> list[Check]:
    try:
        adapter = f"dbt-{project.read_output(project.find_profiles(), settings.target).type}"
    except PolytradesError:
        adapter = "dbt-duckdb"  # what is wrong with the profile is said by the next check
    found = []
    for package, series, install in (
        ("dbt-core", ("1.11",), "make install"),
        (adapter, ("1.11", "1.12"), "make install" if adapter == "dbt-duckdb" else "make install-bigquery"),
    ):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return [Check("dbt", False, f"{package} is not installed", f"Run `{install}`.")]
        if not version.startswith(tuple(f"{part}." for part in series)):
            return [
                Check(
                    "dbt",
                    False,
                    f"{package} is {version}, not {' or '.join(series)}",
                    f"Run `{install}`: versions are pinned.",
                )
            ]
        found.append(f"{package} {version}")
    return [Check("dbt", True, ", ".join(found))]


def _profile(settings: Settings) -> list[Check]:
    profiles = project.find_profiles()
    try:
        project.check_output(project.read_output(profiles, settings.target), settings.duckdb_file)
    except PolytradesError as error:
        return [Check("profile", False, str(error), "See profiles.example.yml.")]
    note = " (the example: there is no profiles.yml)" if profiles.is_example else ""
    return [Check("profile", True, f"target {settings.target} in {profiles.file}{note}")]


def _folders(settings: Settings) -> list[Check]:
    for folder in (settings.duckdb_file.parent, dbt.artifacts_dir(settings)):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        if not os.access(existing, os.W_OK):
            return [
                Check(
                    "folders", False, f"{existing} cannot be written", "Set POLYTRADES_DUCKDB_PATH or DBT_TARGET_PATH."
                )
            ]
    return [Check("folders", True, f"{settings.duckdb_file.parent} can be written")]


def _warehouse(settings: Settings) -> list[Check]:
    try:
        warehouse = connect(settings)
        if warehouse.name == "bigquery":
            from runner.monitor.doctor_bigquery import examine_bigquery

            found = examine_bigquery(warehouse)
            if any(not check.passed for check in found):
                return found
        else:
            found = []
        totals = warehouse.totals()
        adoption = warehouse.find_adoption(count=False)
        lease = warehouse.lease()
    except PolytradesError as error:
        return [Check("warehouse", False, str(error), "Do what it says, then run `polytrades doctor` again.")]
    if totals.fills is None and not totals.last_runs:
        finding = f"{warehouse.place} is empty or not there yet; the first run makes what it needs"
    else:
        finding = f"{warehouse.place}: {totals.fills or 0:,} fills"
    found.append(Check("warehouse", True, finding))
    if adoption is not None:
        refusal = adoption.refusal(accept_defects=False)
        if refusal:
            found.append(Check("existing table", False, refusal, "Follow the plan, then run `polytrades adopt`."))
        else:
            found.append(
                Check(
                    "existing table",
                    True,
                    f"{adoption.table} has the right columns and storage; `polytrades adopt --dry-run` reads and "
                    "counts its keys",
                )
            )
    if lease is not None and lease.run_id is not None:
        until = f", until {lease.expires_at:%Y-%m-%d %H:%M} UTC" if lease.expires_at else ""
        found.append(Check("lease", True, f"held by {lease.holder}{until}; `polytrades lease` says more"))
    return found


def _orders(settings: Settings) -> list[Check]:
    if settings.source == "polygon":
        return []

    async def ask(path: str, wallet: str) -> str:
        async with orders.client(settings) as http:
            await http.get(path, [(wallet, _NOBODY), ("limit", "1")])  # Predexon's first version refuses to name nobody
        return f"{settings.dome_base_url} answers, " + ("key accepted" if settings.dome_api_key else "no key needed")

    fix = "Set POLYTRADES_DOME_BASE_URL to an order API that answers, or try a local one: `polytrades simulate`."
    chosen = orders.dialect_of(settings)
    found = _asked("order API", lambda: ask(settings.orders_path or chosen.path, chosen.wallet), fix)
    if found.passed or settings.orders_path:
        return [found]
    for name, dialect in orders.DIALECTS.items():
        if name != settings.order_api and _asked("order API", partial(ask, dialect.path, dialect.wallet), fix).passed:
            fix = f"It speaks another dialect: set POLYTRADES_ORDER_API={name}."
            return [Check("order API", False, found.finding, fix)]
    return [found]


def _polygon(settings: Settings) -> list[Check]:
    """The nodes, where one is set or the chain is the source."""
    if settings.source != "polygon" and not settings.polygon_rpc_urls:
        return []

    async def ask() -> str:
        answers, silent = [], []
        for address in polygon.addresses(settings):
            alone = settings.model_copy(update={"polygon_rpc_urls": SecretStr(address)})
            try:
                async with polygon.Nodes(alone) as node:
                    await node.check_chain()
                    answers.append(await node.head(settings.polygon_finality))
            except PolytradesError as error:
                silent.append(error)
        if not answers:
            raise silent[0]
        head, is_final = max(answers, key=lambda answer: answer[0].number)
        kind = "final" if is_final else "newest, since no node knows `finalized`"
        behind = duration(max(0.0, datetime.now(UTC).timestamp() - head.time))
        asked = len(answers) + len(silent)
        count = "The node answers" if asked == 1 else f"{len(answers)} of {asked} nodes answer"
        return "; ".join([f"{count}: block {head.number:,} is the {kind}, {behind} old", *map(str, silent)])

    fix = "Set POLYTRADES_POLYGON_RPC_URLS to JSON-RPC endpoints of Polygon that answer."
    return [_asked("Polygon", ask, fix)]


def _gamma(settings: Settings) -> list[Check]:
    async def ask() -> str:
        async with gamma.client(settings) as http:
            await gamma.Gamma(http, settings.gamma_lists).markets(["0x" + "0" * 64])
        return f"{settings.gamma_base_url} answers"

    fix = "Set POLYTRADES_GAMMA_BASE_URL. Without Gamma, fills come in and markets may be missing."
    return [_asked("Gamma", ask, fix)]


def _asked(name: str, ask: Callable[[], Coroutine[None, None, str]], fix: str) -> Check:
    try:
        return Check(name, True, asyncio.run(ask()))
    except KeyRefused as error:
        return Check(name, False, str(error), fix if name == "Polygon" else "Set POLYTRADES_DOME_API_KEY.")
    except PolytradesError as error:
        return Check(name, False, str(error), fix)
