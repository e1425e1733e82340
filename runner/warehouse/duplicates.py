"""Keys that stand several times in `trades`: their rows as the last check found them, and how all but one go."""

from abc import abstractmethod
from datetime import datetime
from typing import Any

from runner import project
from runner.errors import HeldBack
from runner.warehouse.lease import Lease

_SHOWN = 10_000


class Duplicates(Lease):
    """Which row stays was decided by the model mon_duplicate_rows; here nothing is."""

    @abstractmethod
    def _keep_one_row(self, statements: list[str], **parameters: Any) -> None:
        """Runs the statements as one transaction."""

    @abstractmethod
    def _row_as_json(self, alias: str) -> str:
        """A whole row as JSON text."""

    def duplicate_rows(self, of_window: bool) -> list[dict[str, Any]]:
        """See Warehouse."""
        names = [*project.mart_columns("trades"), "copies", "place", "is_one_fill", "reason"]
        rows = self._query(
            "duplicate_rows",
            f"select {', '.join(names)} from {self._rows_model(of_window)} "
            f"order by wallet_address, tx_hash, order_hash, place limit {_SHOWN}",
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def keep_one_row(self, of_window: bool, run_id: str, at: datetime) -> tuple[int, int]:
        """See Warehouse. Rows that are equal cannot be told apart, so all go and the kept one comes back."""
        lease = self.lease()
        if lease is None or lease.run_id != run_id:
            raise HeldBack("The lease has passed to another run. Nothing was changed: run the same command again.")
        model, trades = self._rows_model(of_window), self._mart("trades")
        named = ", ".join(self._quoted(column) for column in project.mart_columns("trades"))
        chosen = "is_one_fill and wallet_address is not null and tx_hash is not null and order_hash is not null"
        keys, rows, first, last = self._one(
            "count_repairs",
            "select sum(case when place = 1 then 1 else 0 end), count(*), min(timestamp), max(timestamp) "
            f"from {model} where {chosen}",
        )
        if not keys:
            return 0, 0
        self._keep_one_row(
            [
                f"insert into {self._state('removed_rows')} "
                "(run_id, wallet_address, tx_hash, order_hash, reason, record, removed_at) "
                "select @run_id, gone.wallet_address, gone.tx_hash, gone.order_hash, gone.reason, "
                f"{self._row_as_json('gone')}, @at from {model} as gone where {chosen} and place > 1",
                f"delete from {trades} as stored where stored.timestamp >= @first and stored.timestamp <= @last "
                f"and exists (select 1 from {model} as chosen where {chosen} "
                "and chosen.wallet_address = stored.wallet_address and chosen.tx_hash = stored.tx_hash "
                "and chosen.order_hash = stored.order_hash)",
                f"insert into {trades} ({named}) select {named} from {model} where {chosen} and place = 1",
                # Done twice, it would find nothing to do.
                f"delete from {model} where {chosen}",
            ],
            run_id=run_id,
            at=at,
            first=first,
            last=last,
        )
        return int(keys), int(rows) - int(keys)

    def _rows_model(self, of_window: bool) -> str:
        return self._quoted(self._schemas.monitoring, "mon_duplicate_rows" + ("_window" if of_window else ""))
