"""`rejected replay`: records in quarantine through today's rules once more; those that pass now are landed."""

from runner import dbt
from runner.engine.build import Display, build
from runner.engine.record import Recorded, Summary
from runner.engine.run import spool_dir
from runner.engine.writer import new_run_id, writing
from runner.landing.intake import Intake
from runner.records import BrokenRule, is_wallet, read_order
from runner.settings import Settings
from runner.warehouse.protocol import RejectedRecord, Warehouse
from runner.windows import utc_now

_AT_ONCE = 20_000


def passes(record: RejectedRecord) -> bool:
    """Whether today's rules let the record in."""
    try:
        read_order(record.record.encode(), queried_wallet(record), utc_now())
    except BrokenRule:
        return False
    return True


def queried_wallet(record: RejectedRecord) -> str | None:
    """The wallet that was asked for when the record came; None if it came from a file."""
    return record.origin if is_wallet(record.origin) else None


def replay(settings: Settings, warehouse: Warehouse, reason: str | None, display: Display) -> Summary:
    """Lands the rejected records that pass now, under their own source, and merges them.

    Raises:
        PolytradesError: the run ended early; what had landed stays, and what was not replayed is still rejected.
    """
    dbt.prepare(settings)
    warehouse.prepare()
    run_id = new_run_id()
    with (
        writing(settings, warehouse, "rejected replay", run_id, display),
        Recorded("rejected replay", warehouse, run_id, wallets=0) as summary,
    ):
        after = ""
        while records := warehouse.rejected_records(reason, _AT_ONCE, after):
            after = records[-1].record_hash
            passing = [record for record in records if passes(record)]
            for source in sorted({record.source for record in passing}):
                mine = [record for record in passing if record.source == source]
                with Intake(warehouse, source, spool_dir(settings), run_id, settings.batch_rows) as intake:
                    for record in mine:
                        intake.add([record.record.encode()], queried_wallet(record), record.origin)
                    intake.flush()
                    summary.counts.add(intake.counts)
                # Landed first: a run that dies in between lands them again, as the same rows.
                warehouse.mark_replayed([record.record_hash for record in mine], run_id, utc_now())
            display.note(f"Replayed {len(passing):,} of {len(records):,} rejected records.")
        build(settings, warehouse, summary, display)
    return summary
