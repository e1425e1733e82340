"""What the commands of a migration print."""

from itertools import groupby

from runner.cli.output import shortened
from runner.engine.migration.verify import Verdict
from runner.units import duration


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
