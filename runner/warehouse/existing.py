"""A table `trades` that was there before: looked at whole once, then taken on as it is."""

from datetime import datetime

from runner import project
from runner.errors import UsageError
from runner.warehouse.adoption import Adoption
from runner.warehouse.statements import Statements

_LEGACY_COLUMNS = 14
"""The first columns of `trades` are those of the table that it replaces; the others are ours and may be missing."""
_ADOPTED = "adopted_trades"
"""In state.recorded_settings: a table `trades` that was not made here has been adopted."""


class Existing(Statements):
    """Adoption. Nothing in here drops or rewrites anything."""

    def find_adoption(self, count: bool = True) -> Adoption | None:
        """See Warehouse."""
        if self._is_ours():
            return None
        columns = self._columns(self._schemas.production, "trades")
        others = self._problems_of_others()
        if columns is None and not others:
            return None
        table = self._mart("trades")
        found = Adoption(table, problems=others)
        if columns is None:
            return found
        wanted = project.mart_columns("trades")
        for name, kind in list(wanted.items())[:_LEGACY_COLUMNS]:
            if name not in columns:
                found.problems.append(f"The column {name} ({kind}) is missing: {self._add_column(name, kind)}")
        found.missing_columns = [name for name in wanted if name not in columns]
        for name, kind in wanted.items():
            if name in columns and not self._is_same_type(columns[name], kind):
                found.problems.append(
                    f"The column {name} is {columns[name]}, not {self._type(kind)}: make a copy of the table in which "
                    f"it is cast, and give the copy this name."
                )
        found.problems += self._layout_problems()
        keys = ("wallet_address", "tx_hash", "order_hash")
        if count and not found.problems and all(name in columns for name in (*keys, "timestamp")):
            key = ", ".join(keys)
            is_null = " or ".join(f"{name} is null" for name in (*keys, "timestamp"))
            is_other_case = " or ".join(f"{name} <> lower({name})" for name in keys)
            (
                found.rows,
                found.wallets,
                found.first_fill_at,
                found.last_fill_at,
                found.null_keys,
                found.other_case_keys,
            ) = self._one(
                "look_at_existing_trades",
                "select count(*), count(distinct wallet_address), min(timestamp), max(timestamp), "
                f"count(case when {is_null} then 1 end), count(case when {is_other_case} then 1 end) from {table}",
            )
            (found.duplicate_keys,) = self._one(
                "count_existing_duplicates",
                f"select count(*) from (select {key} from {table} where not ({is_null}) "
                f"group by {key} having count(*) > 1) as twice",
            )
        return found

    def _problems_of_others(self) -> list[str]:
        """Tables beside `trades` that would be merged into and are not as ours are."""
        problems = []
        for mart in ("trade_collisions", "markets", "events", "traders"):
            columns = self._columns(self._schemas.production, mart)
            wanted = project.mart_columns(mart)
            if columns is not None and any(
                name not in columns or not self._is_same_type(columns[name], kind) for name, kind in wanted.items()
            ):
                problems.append(
                    f"{self._mart(mart)} was there before too and has other columns or types than ours: rename it, "
                    f"alter table {self._mart(mart)} rename to {mart}_before, and the next build makes its own"
                )
        return problems

    def _add_column(self, name: str, kind: str) -> str:
        return f"alter table {self._mart('trades')} add column if not exists {self._quoted(name)} {self._type(kind)}"

    def _is_same_type(self, found: str, kind: str) -> bool:
        return found.lower() == self._type(kind).lower()

    def _is_ours(self) -> bool:
        """Whether `trades` was made by a build, which records its policy first, or adopted.

        Raises:
            UsageError: state speaks of the tables of another production schema.
        """
        if not self._has_state("recorded_settings"):
            return False
        settings = dict(
            self._query(
                "recorded_settings",
                f"select name, value from {self._state('recorded_settings')} where name in (@made, @adopted, @schema)",
                made="missing_order_hash",
                adopted=_ADOPTED,
                schema="production_schema",
            )
        )
        recorded, now = settings.pop("production_schema", None), self._schemas.production
        if recorded not in (None, now):
            raise UsageError(
                f"This warehouse was built with production_schema: {recorded}, and its state speaks of the tables in "
                f"it; the project now says {now}. Nothing was changed. Set the var production_schema back to "
                f"{recorded}, or build into an empty warehouse."
            )
        return bool(settings)

    def adopt(self, adoption: Adoption, run_id: str, at: datetime) -> None:
        """See Warehouse. Every statement is safe to run twice; the record that ends the adoption comes last."""
        for name in adoption.missing_columns:
            self._execute("append_column", self._add_column(name, project.mart_columns("trades")[name]))
        with self._step():
            self._execute(
                "inherit_coverage",
                f"insert into {self._state('coverage')} (source, wallet_address, window_start, window_end, status, "
                "records_received, run_id, recorded_at) "
                "select @source, lower(wallet_address), min(timestamp), max(timestamp), 'inherited', count(*), "
                f"@run_id, @at from {self._mart('trades')} where wallet_address is not null "
                "group by lower(wallet_address)",
                source="dome",
                run_id=run_id,
                at=at,
            )
            self._execute(
                "inherit_checkpoints",
                f"insert into {self._state('checkpoints')} "
                "(source, wallet_address, fetched_until, run_id, recorded_at) "
                "select coverage.source, coverage.wallet_address, max(coverage.window_end), @run_id, @at "
                f"from {self._state('coverage')} as coverage "
                f"left join {self._state('checkpoints')} as known "
                "on coverage.wallet_address = known.wallet_address and coverage.source = known.source "
                "where coverage.status = 'inherited' and known.wallet_address is null "
                "group by coverage.source, coverage.wallet_address",
                run_id=run_id,
                at=at,
            )
            defects = f"{adoption.null_keys} null keys, {adoption.duplicate_keys} duplicate keys"
            self._insert(
                "record_adoption",
                project.source_table("state", "recorded_settings"),
                [{"name": _ADOPTED, "value": f"{adoption.rows} rows, {defects}", "recorded_at": at}],
            )
