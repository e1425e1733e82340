"""`polytrades doctor`: is everything there that a run needs? Changes nothing; a fix for each finding."""

import asyncio
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from runner import dbt, project
from runner.errors import KeyRefused, PolytradesError
from runner.settings import Settings
from runner.sources import dome, gamma
from runner.warehouse.connect import connect


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `fix` is empty where there is nothing to do."""

    name: str
    passed: bool
    finding: str
    fix: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which a run would meet the trouble."""
    checks: list[Callable[[Settings], Check]] = [_python, _dbt, _profile, _folders, _warehouse, _orders, _gamma]
    return [check(settings) for check in checks]


def _python(_settings: Settings) -> Check:
    # On an older Python the package does not install, so none gets here.
    return Check("Python", True, f"Python {platform.python_version()} at {sys.executable}")


def _dbt(_settings: Settings) -> Check:
    wanted = {"dbt-core": "1.11", "dbt-duckdb": "1.11"}
    found = []
    for package, series in wanted.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return Check("dbt", False, f"{package} is not installed", "Run `make install`.")
        if not version.startswith(series + "."):
            return Check(
                "dbt", False, f"{package} is {version}, not {series}", "Run `make install`: versions are pinned."
            )
        found.append(f"{package} {version}")
    return Check("dbt", True, ", ".join(found))


def _profile(settings: Settings) -> Check:
    profiles = project.find_profiles()
    try:
        output = project.check_target(profiles, settings.target)
        project.check_output(output, profiles, settings.duckdb_file)
    except PolytradesError as error:
        return Check("profile", False, str(error), "See profiles.example.yml.")
    note = " (the example: there is no profiles.yml)" if profiles.is_example else ""
    return Check("profile", True, f"target {settings.target} in {profiles.file}{note}")


def _folders(settings: Settings) -> Check:
    for folder in (settings.duckdb_file.parent, dbt.artifacts_dir(settings)):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        if not os.access(existing, os.W_OK):
            return Check(
                "folders", False, f"{existing} cannot be written", "Set POLYTRADES_DUCKDB_PATH or DBT_TARGET_PATH."
            )
    return Check("folders", True, f"{settings.duckdb_file.parent} can be written")


def _warehouse(settings: Settings) -> Check:
    try:
        totals = connect(settings).totals()
    except PolytradesError as error:
        return Check("warehouse", False, str(error), "Do what it says, then run `polytrades doctor` again.")
    if totals.fills is None and not totals.last_runs:
        return Check("warehouse", True, f"{settings.duckdb_file} is empty or not there yet; the first run makes it")
    return Check("warehouse", True, f"{settings.duckdb_file}: {totals.fills or 0:,} fills")


def _orders(settings: Settings) -> Check:
    async def ask() -> str:
        async with dome.client(settings) as http:
            await http.get("/polymarket/orders", [("limit", "1")])
        return f"{settings.dome_base_url} answers, " + ("key accepted" if settings.dome_api_key else "no key needed")

    fix = "Set POLYTRADES_DOME_BASE_URL to an order API that answers, or try a local one: `polytrades simulate`."
    return _asked("order API", ask, fix)


def _gamma(settings: Settings) -> Check:
    async def ask() -> str:
        async with gamma.client(settings) as http:
            await http.get("/markets", [("limit", "1"), ("closed", "false")])
        return f"{settings.gamma_base_url} answers"

    return _asked(
        "Gamma", ask, "Set POLYTRADES_GAMMA_BASE_URL. Without Gamma, fills come in and markets may be missing."
    )


def _asked(name: str, ask: Callable[[], Coroutine[None, None, str]], fix: str) -> Check:
    try:
        return Check(name, True, asyncio.run(ask()))
    except KeyRefused as error:
        return Check(name, False, str(error), "Set POLYTRADES_DOME_API_KEY.")
    except PolytradesError as error:
        return Check(name, False, str(error), fix)
