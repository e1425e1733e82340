"""What has been asked for and answered: the coverage ledger and the checkpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from runner import failpoints, project
from runner.warehouse.protocol import CheckpointMove, Covered, Difference
from runner.warehouse.statements import Statements
from runner.windows import EVER, Window, holes, intersection, union


class Coverage(Statements):
    """State.coverage and state.checkpoints. Both are append-only; a covered instant never becomes uncovered."""

    def checkpoints(self, source: str) -> dict[str, datetime]:
        """See Warehouse."""
        if not self._has_state("checkpoints"):
            return {}
        rows = self._query(
            "checkpoints",
            f"select wallet_address, fetched_until from {self._state('checkpoints')} where source = @source "
            "qualify row_number() over (partition by wallet_address order by recorded_at desc, fetched_until desc) = 1",
            source=source,
        )
        return dict(rows)

    def completed_since(self, source: str, contracts: str | None = None) -> dict[str, list[Window]]:
        """See Warehouse."""
        if not self._has_state("coverage"):
            return {}
        rows = self._query(
            "completed_since",
            "with newest as ("
            f"select wallet_address, fetched_until, recorded_at from {self._state('checkpoints')} "
            "where source = @source qualify row_number() over ("
            "partition by wallet_address order by recorded_at desc, fetched_until desc) = 1) "
            "select parts.wallet_address, parts.window_start, parts.window_end "
            f"from {self._state('coverage')} as parts "
            "inner join newest on parts.wallet_address = newest.wallet_address "
            "where parts.source = @source and parts.status = 'complete' and parts.recorded_at > newest.recorded_at "
            "and parts.window_end > newest.fetched_until and coalesce(parts.contracts, '') = @contracts",
            source=source,
            contracts=contracts or "",
        )
        found: dict[str, list[Window]] = {}
        for wallet, starts, ends in rows:
            found.setdefault(wallet, []).append(Window(starts, ends))
        return {wallet: union(windows) for wallet, windows in found.items()}

    def last_heard(self, source: str, run_id: str) -> Window | None:
        """See Warehouse."""
        if not self._has_state("coverage"):
            return None
        rows = self._query(
            "last_heard",
            f"select min(window_start) as starts, window_end from {self._state('coverage')} "
            "where source = @source and status = 'complete' and records_received > 0 and run_id <> @run_id "
            "group by window_end order by window_end desc limit 1",
            source=source,
            run_id=run_id,
        )
        return Window(*rows[0]) if rows else None

    def coverage(
        self, sources: Sequence[str], with_skipped: bool = True, contracts: Mapping[str, int] | None = None
    ) -> dict[str, list[Window]]:
        """See Warehouse. What nobody wanted and somebody then asked for in vain is not covered any more."""
        if not self._has_state("coverage"):
            return {}
        if not contracts:
            return self._covered(self._islands(sources), with_skipped)
        each = [
            self._covered(self._islands(sources, contract, first_block), with_skipped)
            for contract, first_block in contracts.items()
        ]
        wallets = set.intersection(*(set(one) for one in each))
        return {wallet: intersection(one[wallet] for one in each) for wallet in sorted(wallets)}

    @staticmethod
    def _covered(islands: dict[str, dict[str, list[Window]]], with_skipped: bool) -> dict[str, list[Window]]:
        found = islands["covered"]
        for wallet, windows in (islands["skipped"] if with_skipped else {}).items():
            failed = islands["failed"].get(wallet, [])
            unwanted = [piece for window in windows for piece in holes(window, failed)]
            found[wallet] = union([*found.get(wallet, []), *unwanted])
        return found

    def _islands(
        self, sources: Sequence[str], contract: str | None = None, first_block: int = 0
    ) -> dict[str, dict[str, list[Window]]]:
        """The union of the windows of each kind: `covered`, `skipped`, `failed`.

        It is made where the rows are: a wallet has a row a night, and few islands. With a contract: of windows in which
        it was read, or that end before its first block.
        """
        of_contract = ""
        if contract is not None:
            of_contract = "and (contracts is null or strpos(contracts, @contract) > 0 or last_block < @first_block) "
        rows = self._query(
            "coverage",
            "with windows as ("
            "select case when status in ('complete', 'inherited') then 'covered' else status end as kind, "
            "wallet_address, coalesce(window_start, @ever) as starts, window_end as ends "
            f"from {self._state('coverage')} "
            "where status in ('complete', 'inherited', 'skipped', 'failed') "
            f"{of_contract}and source in (select name from {self._each('sources', 'name')})), "
            "reached as ("
            "select *, max(ends) over (partition by kind, wallet_address order by starts, ends "
            "rows between unbounded preceding and 1 preceding) as ended_before from windows), "
            "numbered as ("
            "select *, sum(case when ended_before is null or starts > ended_before then 1 else 0 end) over ("
            "partition by kind, wallet_address order by starts, ends "
            "rows between unbounded preceding and current row) as island from reached) "
            "select kind, wallet_address, min(starts) as starts, max(ends) as ends from numbered "
            "group by kind, wallet_address, island order by kind, wallet_address, starts",
            ever=EVER,
            sources=list(sources),
            **({"contract": contract, "first_block": first_block} if contract is not None else {}),
        )
        found: dict[str, dict[str, list[Window]]] = {"covered": {}, "skipped": {}, "failed": {}}
        for kind, wallet, starts, ends in rows:
            found[kind].setdefault(wallet, []).append(Window(None if starts <= EVER else starts, ends))
        return found

    def differences(self, sources: Sequence[str]) -> list[Difference]:
        """See Warehouse."""
        if not self._has_state("coverage"):
            return []
        rows = self._query(
            "differences",
            "select source, wallet_address, window_start, window_end, records_declared, records_received from ("
            "select *, row_number() over (partition by source, wallet_address, window_start, window_end "
            f"order by recorded_at desc) as age from {self._state('coverage')} "
            "where status = 'complete' and records_declared is not null "
            f"and source in (select name from {self._each('sources', 'name')})) as newest "
            "where age = 1 and records_declared <> records_received "
            "order by recorded_at desc, wallet_address limit 1000",
            sources=list(sources),
        )
        return [Difference(*row) for row in rows]

    def checkpoint_moves(self, wallet: str | None) -> list[CheckpointMove]:
        """See Warehouse."""
        if not self._has_state("checkpoints"):
            return []
        columns = "source, wallet_address, fetched_until, run_id, recorded_at"
        if wallet is None:
            rows = self._query(
                "newest_checkpoints",
                f"select {columns} from {self._state('checkpoints')} qualify row_number() over ("
                "partition by source, wallet_address order by recorded_at desc, fetched_until desc) = 1 "
                "order by fetched_until, wallet_address",
            )
        else:
            rows = self._query(
                "checkpoint_moves",
                f"select {columns} from {self._state('checkpoints')} where wallet_address = @wallet "
                "order by recorded_at desc, fetched_until desc",
                wallet=wallet,
            )
        return [CheckpointMove(*row) for row in rows]

    def set_checkpoints(self, moves: Sequence[CheckpointMove]) -> None:
        """See Warehouse."""
        # The newest row counts, and rows of one second are told apart by nothing else.
        latest = {(move.source, move.wallet_address): move.recorded_at for move in self.checkpoint_moves(None)}
        with self._step():
            self._insert(
                "set_checkpoints",
                project.source_table("state", "checkpoints"),
                [
                    {
                        **move.__dict__,
                        "recorded_at": max(
                            move.recorded_at,
                            latest.get((move.source, move.wallet_address), EVER) + timedelta(seconds=1),
                        ),
                    }
                    for move in moves
                ],
            )
        failpoints.passing("checkpoints.set")

    def _record_coverage(self, covered: Sequence[Covered], run_id: str, at: datetime) -> None:
        """Adds attempts, then moves the checkpoints that they move."""
        if not covered:
            return
        self._insert(
            "record_coverage",
            project.source_table("state", "coverage"),
            [
                {
                    "source": row.source,
                    "wallet_address": row.wallet_address,
                    "window_start": row.window_start,
                    "window_end": row.window_end,
                    "status": row.status,
                    "records_declared": row.declared,
                    "records_received": row.received,
                    "contracts": row.contracts,
                    "first_block": row.first_block,
                    "last_block": row.last_block,
                    "run_id": run_id,
                    "recorded_at": at,
                }
                for row in covered
            ],
        )
        failpoints.passing("coverage.recorded")
        moves = [
            {
                "source": row.source,
                "wallet_address": row.wallet_address,
                "fetched_until": row.checkpoint or row.window_end,
                "run_id": run_id,
                "recorded_at": at,
            }
            for row in covered
            if row.moves_checkpoint
        ]
        if moves:
            self._insert("move_checkpoints", project.source_table("state", "checkpoints"), moves)
            failpoints.passing("checkpoints.moved")
