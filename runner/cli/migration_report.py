"""What the commands of a migration print."""

from itertools import groupby

from runner.cli.output import shortened
from runner.engine.migration.audit import Audit
from runner.engine.migration.copy import Copied, CopyPlan
from runner.engine.migration.repair import Repaired
from runner.engine.migration.rollback import Undone
from runner.engine.migration.status import MigrationStatus
from runner.engine.migration.verify import Verdict
from runner.units import as_bytes, duration
from runner.warehouse.migrating import KeyDefects


def verdict_text(verdict: Verdict) -> str:
    """A verdict as lines: both sides, months that differ, and rows of what differs."""
    same = sum(month.is_same for month in verdict.months)
    lines = [
        f"{'Green' if verdict.is_green else 'RED'}. Verification {verdict.verification_id} of {verdict.staging}",
        f"  staging rows    {verdict.staging_state.rows:,}",
        f"  trades now      {verdict.production_state.rows:,} fills",
        f"  months          {same:,} of {len(verdict.months):,} hold the same rows on both sides",
        f"  rejected        {verdict.rejected:,} keys break a rule",
        f"  stand-ins       {verdict.claimed:,} keys without a hash are fills that are there with theirs",
    ]
    if verdict.came_since:
        lines.append(f"  since           {verdict.came_since:,} transactions came since the copy and are left out")
    lines.append(f"  time            {duration(sum(verdict.seconds.values()))}")
    for month in verdict.months:
        if not month.is_same:
            lines.append(f"  {month.month}  has {month.actual.rows:,} rows and has to have {month.expected.rows:,}")
    for difference in verdict.differences:
        lines.append(f"  {difference.kind:<8} {difference.keys:,} keys in {difference.month}")
    lines += _examples(verdict)
    lines.append(
        "Next: polytrades migrate drop"
        if verdict.is_green
        else "The staging table must stay. `polytrades migrate rollback` takes the copy back; then copy again."
    )
    return "\n".join(lines)


def _examples(verdict: Verdict) -> list[str]:
    lines = []
    for (kind, *key), rows in groupby(
        verdict.examples, lambda row: (row["kind"], row["wallet_address"], row["tx_hash"], row["order_hash"])
    ):
        lines.append(f"  {kind}: wallet {key[0]}, transaction {key[1]}, order {key[2]}")
        for row in rows:
            lines.append(
                f"    {row['side']:<8} {row['timestamp']}  price {row['price']!r}  shares {row['shares_raw']}  "
                f"usdc {row['usdc_raw']}  {row['token_label']}"
            )
    return shortened(lines, 40, "more lines; --json has them")


def audit_text(found: Audit, price_per_tib: float) -> str:
    """An audit as lines."""
    lines = [
        f"{found.staging}: {found.rows:,} rows of {found.keys:,} keys; {found.duplicate_share:.2%} are repeats.",
        "",
        "Distinct keys, by what one takes for the key:",
        *(f"  {policy:<46}{keys:>16,}" for policy, keys in sorted(found.policies.items(), key=lambda item: item[1])),
        "",
        f"Repeats, by what they are:{'keys':>36}{'rows beyond':>16}",
        *(
            f"  {nature:<46}{keys:>14,}{repeats:>16,}"
            for nature, (keys, repeats) in sorted(found.by_nature().items(), key=lambda item: -item[1][0])
        ),
        f"  The key that stands there most often: {max((part.most for part in found.natures), default=0):,} times.",
        "",
        "What `id` holds:",
        *(f"  {kind:<46}{rows:>14,} rows" for kind, rows in sorted(found.by_id().items(), key=lambda item: -item[1])),
        "",
        f"{'By month':<20}{'rows':>16}{'keys':>16}{'repeats':>10}",
        *(
            f"  {month:<18}{rows:>16,}{keys:>16,}{(rows - keys) / rows:>10.1%}"
            for month, (rows, keys) in found.by_month().items()
        ),
        "",
        "Rows that break a rule, and would be kept in quarantine:",
        *([f"  {rule:<46}{rows:>14,}" for rule, rows in found.rules.items()] or ["  none"]),
        "",
    ]
    if found.production:
        stored = found.production
        lines += [
            f"Production has {stored.rows:,} rows of {stored.keys:,} keys; {stored.double_keys:,} keys more than once, "
            f"{stored.null_keys:,} rows without a key.",
            f"  in both                                       {stored.keys_in_both:>14,} keys, which stay as they are",
            f"  to copy at most                               {found.keys - stored.keys_in_both:>14,} keys",
        ]
    else:
        lines.append("There is no production table yet; everything would be copied.")
    if found.bytes_of_copy is not None:
        total = sum(found.bytes_of_copy.values())
        lines.append(f"A copy reads {as_bytes(total)}, about {total / 2**40 * price_per_tib:,.2f} $.")
    lines.append(
        f"Counted in {duration(sum(found.seconds.values()))}. Next: polytrades migrate copy --staging {found.staging}"
    )
    return "\n".join(lines)


def plan_text(planned: CopyPlan) -> str:
    """What a copy would do."""
    if planned.is_copied:
        return f"{planned.staging} was copied already (migration {planned.migration_id}); nothing would be changed."
    if planned.migration_id:
        return (
            f"Would go on with the migration {planned.migration_id} of {planned.staging} ({planned.rows:,} rows): "
            f"{planned.months_done:,} months are copied."
        )
    return (
        f"Would begin a migration of {planned.staging} ({planned.rows:,} rows). Nothing that stands in production "
        "would be changed. `polytrades migrate audit` says what is in it."
    )


def copied_text(copied: Copied, seconds: float) -> str:
    """What a copy did."""
    if copied.was_copied_before:
        return (
            f"{copied.staging} was copied already (migration {copied.migration_id}); nothing was changed.\n"
            "Next: polytrades migrate verify"
        )
    return (
        f"Copied. Migration {copied.migration_id} of {copied.staging}\n"
        f"  staging rows    {copied.staging_rows:,}\n"
        f"  copied          {copied.copied:,} fills of {len(copied.months):,} months\n"
        f"  stand-ins       {copied.claimed:,} keys without a hash left out: their fill is there with it\n"
        f"  rejected        {copied.rejected:,} rows, kept in landing.rejected_records\n"
        f"  time            {duration(seconds)}\n"
        "Next: polytrades migrate verify"
    )


def undone_text(undone: Undone, dry_run: bool) -> str:
    """What a rollback does or did."""
    if undone.what == "drop":
        verb = "Would bring back" if dry_run else "Brought back"
        return f"{verb} {undone.staging} ({undone.rows:,} rows) from {undone.saved}."
    if undone.what.endswith("repair"):
        verb = "Would bring back" if dry_run else "Brought back"
        return f"{verb} `trades` as it was before the repair ({undone.saved or 'nothing was swapped'})."
    if dry_run:
        return (
            f"Would take back what the migration {undone.migration_id} copied of {undone.staging}: {undone.rows:,} "
            f"fills of {undone.months:,} months, less what has been replaced since. Batches merged since "
            f"{undone.begun_at:%Y-%m-%d %H:%M} UTC would be merged again by the next run."
        )
    return (
        f"Took back {undone.rows:,} fills of {undone.staging}. {undone.batches_reopened:,} batches merged since the "
        "copy will be merged again.\nNext: polytrades sync, or dbt build"
    )


def status_text(found: MigrationStatus, log: list[str]) -> str:
    """How far a migration is."""
    if found.migration is None and log:
        return "\n".join(["No step of a migration is done yet. The last one behind a terminal says:", *log])
    if found.migration is None:
        return f"Nothing has been migrated here. Next: {found.next_step}"
    rows = sum(found.months.values())
    lines = [
        f"Migration {found.migration.migration_id} of {found.migration.staging.name}: {found.stage}",
        f"  staging rows    {found.migration.staging.rows:,}",
        f"  copied          {rows:,} fills of {len(found.months):,} months",
    ]
    if found.verdict:
        lines.append(
            f"  verification    {found.verdict.verification_id}, {'green' if found.verdict.is_green else 'RED'}, "
            f"{found.verdict.verified_at:%Y-%m-%d %H:%M} UTC"
        )
    if log and found.stage == "copying":
        lines += ["  log", *(f"    {line}" for line in log)]
    lines.append(f"Next: {found.next_step}")
    return "\n".join(lines)


def defects_text(defects: KeyDefects) -> str:
    """What is wrong with production's keys."""
    head = "The keys of `trades` are in order." if defects.are_none else "`trades` needs a repair: polytrades repair"
    return (
        f"{head}\n"
        f"  rows                {defects.rows:>14,}\n"
        f"  without a whole key {defects.null_keys:>14,} rows\n"
        f"  double              {defects.double_keys:>14,} keys\n"
        f"  in capital letters  {defects.other_case_keys:>14,} rows"
    )


def repaired_text(repaired: Repaired) -> str:
    """What a repair did."""
    if repaired.copied is None:
        return defects_text(repaired.defects)
    copied = repaired.copied
    rows = f"{repaired.defects.rows:,} rows became {copied.copied:,} fills; {copied.rejected:,} rejected."
    if repaired.kept_as is None:
        return f"Not repaired: the new table was not proven, and `trades` is as it was. {rows}"
    return (
        f"Repaired. {rows}\nThe old table is kept as {repaired.kept_as}; `polytrades migrate rollback` brings it back, "
        "and when nobody wants that, drop it."
    )
