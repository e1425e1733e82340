"""What is known of the chain between runs: limits of nodes, blocks that may still change, fills that logs told."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from runner import project
from runner.warehouse.protocol import ChainFill, KnownBlock, Reconciliation, SourceDifference
from runner.warehouse.statements import Statements
from runner.windows import utc_now

_SOURCE = "polygon"
_FILL = (
    "wallet_address, tx_hash, order_hash, {at} as traded_at, side, token_id, price, shares_normalized, shares_raw, "
    "usdc_raw, taker, log_index, block_number, contract_address, upstream_version"
)


class ChainState(Statements):
    """State.rpc_limits and state.chain_blocks, both append-only, and fills by block."""

    def rpc_limits(self) -> dict[tuple[str, str], int]:
        """See Warehouse."""
        if not self._has_state("rpc_limits"):
            return {}
        rows = self._query(
            "rpc_limits",
            f"select host, kind, blocks from {self._state('rpc_limits')} "
            "where true qualify row_number() over (partition by host, kind order by recorded_at desc, blocks) = 1",
        )
        return {(host, kind): blocks for host, kind, blocks in rows}

    def note_rpc_limits(self, limits: Mapping[tuple[str, str], int], run_id: str, at: datetime) -> None:
        """See Warehouse."""
        if limits:
            self._insert(
                "note_rpc_limits",
                project.source_table("state", "rpc_limits"),
                [
                    {"host": host, "kind": kind, "blocks": blocks, "run_id": run_id, "recorded_at": at}
                    for (host, kind), blocks in sorted(limits.items())
                ],
            )

    def chain_blocks(self) -> list[KnownBlock]:
        """See Warehouse."""
        if not self._has_state("chain_blocks"):
            return []
        rows = self._query(
            "chain_blocks",
            f"select block_number, block_hash, block_time from {self._state('chain_blocks')} "
            "where true qualify rank() over (order by recorded_at desc, run_id desc) = 1 order by block_number",
        )
        return [KnownBlock(*row) for row in rows]

    def note_chain_blocks(self, blocks: Sequence[KnownBlock], run_id: str, at: datetime) -> None:
        """See Warehouse."""
        self._insert(
            "note_chain_blocks",
            project.source_table("state", "chain_blocks"),
            [{**block.__dict__, "run_id": run_id, "recorded_at": at} for block in blocks],
        )

    def chain_fills(self, first_block: int, last_block: int, since: datetime, until: datetime) -> list[ChainFill]:
        """See Warehouse. Of each fill its newest version counts."""
        within = "source = @source and block_number between @first_block and @last_block"
        parts = [
            f"select {_FILL.format(at='traded_at')}, is_removed from {self._landing('trades')} "
            f"where landed_on >= @landed_since and {within}"
        ]
        bounds: dict[str, datetime] = {}
        for mart in ("trades", "trade_collisions"):
            columns = self._columns(self._schemas.production, mart)
            if columns is not None:
                bounds = {"since": since - timedelta(days=1), "until": until + timedelta(days=1)}
                removed = "is_removed" if "is_removed" in columns else "false as is_removed"
                parts.append(
                    f"select {_FILL.format(at='timestamp')}, {removed} from {self._mart(mart)} "
                    f"where timestamp >= @since and timestamp < @until and {within}"
                )
        days = timedelta(days=self._settings.landing_retention_days + 1)
        rows = self._query(
            "chain_fills",
            f"select * from ({' union all '.join(parts)}) as told "
            "where true qualify row_number() over (partition by wallet_address, tx_hash, order_hash, token_id, side, "
            "shares_raw, usdc_raw, log_index order by upstream_version desc, is_removed desc) = 1 "
            "order by block_number, log_index",
            source=_SOURCE,
            first_block=first_block,
            last_block=last_block,
            landed_since=(utc_now() - days).date(),
            **bounds,
        )
        return [ChainFill(*row[:-1]) for row in rows if not row[-1]]

    def note_reconciliation(self, reconciliation: Reconciliation, at: datetime) -> None:
        """See Warehouse."""
        self._insert(
            "note_reconciliation",
            project.source_table("state", "reconciliations"),
            [
                {
                    "run_id": reconciliation.run_id,
                    "source": reconciliation.source,
                    "compared": reconciliation.compared,
                    "wallet_address": wallet,
                    "window_start": reconciliation.window_start,
                    "window_end": reconciliation.window_end,
                    "recorded_at": at,
                }
                for wallet in reconciliation.wallets
            ],
        )

    def source_differences(self) -> list[SourceDifference]:
        """See Warehouse."""
        rows = self._query(
            "source_differences",
            "select wallet_address, filled_on, difference, count(*) as keys, "
            "min(concat(tx_hash, ' ', order_hash)) as example "
            f"from {self._quoted(self._schemas.monitoring, 'mon_source_differences')} "
            "group by wallet_address, filled_on, difference order by wallet_address, filled_on, difference",
        )
        return [SourceDifference(*row) for row in rows]
