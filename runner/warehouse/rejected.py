"""Quarantine: records that broke a rule, kept until a better rule lets them in."""

from collections.abc import Sequence
from datetime import datetime

from runner import failpoints, project
from runner.warehouse.protocol import RejectedRecord, Rejection
from runner.warehouse.statements import Statements

_REPLAYED_AT_ONCE = 10_000


class Rejected(Statements):
    """landing.rejected_records, and state.replayed_records, which says which of them have been let in."""

    def _reject(self, rejections: Sequence[Rejection], run_id: str, at: datetime) -> None:
        """Adds the rejections that are not there yet: the overlap sends the same bad record every night."""
        if not rejections:
            return
        incoming = {(row.record_hash, row.reason): row for row in reversed(rejections)}
        known = set(
            self._query(
                "known_rejections",
                f"select record_hash, reason from {self._landing('rejected_records')} "
                f"where record_hash in (select seen from {self._each('hashes', 'seen')})",
                hashes=sorted({record_hash for record_hash, _ in incoming}),
            )
        )
        rows = [
            {**row.__dict__, "run_id": run_id, "landed_at": at} for key, row in incoming.items() if key not in known
        ]
        if rows:
            self._insert("keep_rejections", project.source_table("landing", "rejected_records"), rows)
        failpoints.passing("rejections.kept")

    def _waiting(self) -> str:
        """The rejected records that have not been replayed, as a query's FROM."""
        return (
            f"{self._landing('rejected_records')} as rejected left join (select distinct record_hash "
            f"from {self._state('replayed_records')}) as replayed on rejected.record_hash = replayed.record_hash "
            "where replayed.record_hash is null"
        )

    def rejected_by_reason(self) -> list[tuple[str, int, datetime]]:
        """See Warehouse."""
        if not self._has_state("replayed_records"):
            return []
        rows = self._query(
            "rejected_by_reason",
            "select rejected.reason, count(distinct rejected.record_hash) as records, max(rejected.landed_at) as "
            f"newest from {self._waiting()} group by rejected.reason order by records desc, rejected.reason",
        )
        return [(reason, count, newest) for reason, count, newest in rows]

    def rejected_records(self, reason: str | None, limit: int, after: str = "") -> list[RejectedRecord]:
        """See Warehouse."""
        if not self._has_state("replayed_records"):
            return []
        only = "" if reason is None else " and rejected.reason = @reason"
        rows = self._query(
            "rejected_records",
            "select rejected.record_hash, rejected.reason, rejected.detail, rejected.record, rejected.origin, "
            f"rejected.source, rejected.run_id, rejected.landed_at from {self._waiting()} "
            f"and rejected.record_hash > @after{only} "
            "qualify row_number() over (partition by rejected.record_hash order by rejected.landed_at) = 1 "
            f"order by rejected.record_hash limit {int(limit)}",
            after=after,
            **({} if reason is None else {"reason": reason}),
        )
        return [RejectedRecord(*row) for row in rows]

    def mark_replayed(self, record_hashes: Sequence[str], run_id: str, at: datetime) -> None:
        """See Warehouse."""
        for start in range(0, len(record_hashes), _REPLAYED_AT_ONCE):
            with self._step():
                self._insert(
                    "mark_replayed",
                    project.source_table("state", "replayed_records"),
                    [
                        {"record_hash": record_hash, "run_id": run_id, "replayed_at": at}
                        for record_hash in record_hashes[start : start + _REPLAYED_AT_ONCE]
                    ],
                )
        failpoints.passing("replay.recorded")
