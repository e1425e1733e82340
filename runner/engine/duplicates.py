"""Looks for keys that stand several times, now, and takes out all rows but the one that wins."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from runner import dbt
from runner.engine.build import Display
from runner.engine.writer import new_run_id, writing
from runner.errors import Failed, HeldBack
from runner.settings import Settings
from runner.warehouse.protocol import Warehouse
from runner.windows import Window, utc_now

Row = dict[str, Any]
_MODELS = ("mon_duplicate_keys", "mon_duplicate_rows")


@dataclass
class Found:
    """Rows of keys that stand several times, key by key, the one that would be kept first."""

    keys: list[list[Row]] = field(default_factory=list)

    @property
    def repairable(self) -> list[list[Row]]:
        """Keys whose rows are all one fill, and whole: all but the first row can go."""
        return [rows for rows in self.keys if rows[0]["is_one_fill"] and all(_key(rows[0]))]

    @property
    def surplus(self) -> int:
        """Rows that a repair would take out."""
        return sum(len(rows) - 1 for rows in self.repairable)


def look(settings: Settings, warehouse: Warehouse, window: Window | None, display: Display, run_id: str = "") -> Found:
    """Has dbt check the whole table, or the whole days of a window, and reads what it found.

    Raises:
        Failed: there is no table to look at.
        HeldBack: dbt could not build the check; the message says why.
    """
    is_duckdb = warehouse.name == "duckdb"
    variables: tuple[tuple[str, str], ...] = ()
    if window is not None:
        days = {"FROM": f"{window.begins:%Y-%m-%d}", "TO": f"{window.end:%Y-%m-%d}"}
        variables = tuple((f"POLYTRADES_CHECK_{name}", day) for name, day in days.items())
    job = dbt.Job(
        "duplicates",
        run_id or new_run_id(),
        ("-s", *_MODELS),
        None if is_duckdb else settings.whole_table_bytes_limit,
        "" if is_duckdb else "whole_table",
        variables,
    )
    built = dbt.build(settings, lambda done, total, node: display.progress("Checking", done, total, node), job)
    if not built.is_complete:
        if warehouse.totals().fills is None:
            raise Failed("There is no table trades yet, so there is nothing to look at. Run `polytrades sync` first.")
        name, message = next(iter(built.failed_nodes.items()), ("dbt", "it gave no reason"))
        raise HeldBack(f"The check could not be made: {name} failed ({message}). Nothing was changed.")
    rows = warehouse.duplicate_rows(window is not None)
    return Found([list(group) for _, group in groupby(rows, _key)])


def repair(
    settings: Settings, warehouse: Warehouse, window: Window | None, confirmed: Found, display: Display
) -> tuple[int, int]:
    """Takes out what was confirmed; gives the numbers of keys and of rows that went.

    Raises:
        HeldBack: somebody else writes, or the rows are not those that were confirmed any more.
    """
    warehouse.prepare()
    run_id = new_run_id()
    with writing(settings, warehouse, "duplicates", run_id, display):
        now = look(settings, warehouse, window, display, run_id)
        if now.keys != confirmed.keys:
            raise HeldBack(
                "The duplicates are not those that were shown any more; somebody has written meanwhile. Nothing was "
                "changed: look again."
            )
        done = warehouse.keep_one_row(window is not None, run_id, utc_now())
        look(settings, warehouse, window, display, run_id)
    return done


def _key(row: Row) -> tuple[Any, ...]:
    return row["wallet_address"], row["tx_hash"], row["order_hash"]
