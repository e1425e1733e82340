"""`polytrades backfill`."""

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.options import DryRun, Json, MaxRequests, Source, Target

if TYPE_CHECKING:  # imported when the command runs
    from runner.cli.output import Output
    from runner.engine.plan import BackfillPlan
    from runner.settings import Settings
    from runner.warehouse.protocol import Warehouse


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades backfill --from 2024-01-01 --to 2025-01-01 --dry-run · "
        "polytrades backfill --gaps · polytrades backfill --from 2024-01-01 --status"
    )(backfill)


def backfill(
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where the window begins (UTC; default: since ever).")
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Where it ends, not included (UTC; default: where sync begins)."),
    ] = None,
    wallet: Annotated[
        list[str] | None,
        typer.Option("--wallet", metavar="ADDRESS", help="Only this followed wallet; may be given several times."),
    ] = None,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Only the holes that `polytrades gaps` lists, within the window if given.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask for what is covered too: an upstream may have found more since.")
    ] = False,
    slice_days: Annotated[
        int, typer.Option("--slice-days", min=1, max=3650, help="Days that are fetched and merged at a time.")
    ] = 90,
    status: Annotated[
        bool, typer.Option("--status", help="Say how much of the window is covered; change nothing.")
    ] = False,
    public_logs: Annotated[
        bool,
        typer.Option(
            "--public-logs",
            help="On BigQuery: read the chain's logs from Google's public table, month by month, after its price has "
            "been shown and confirmed.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --public-logs: do not ask.")] = False,
    source: Source = None,
    max_requests: MaxRequests = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Fetch a past window of the followed wallets, in slices of time, landed as they come and merged on the way.

    What is covered already is not asked for, so after Ctrl-C or a crash the same command goes on where it was. No
    checkpoint moves.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import finish
    from runner.engine.backfill import backfill as run_backfill
    from runner.engine.plan import BackfillOptions, plan_backfill
    from runner.errors import UsageError
    from runner.warehouse.connect import connect
    from runner.windows import parse_instant

    if not gaps and start is None and end is None:
        raise UsageError("Say which window: --from, --to or both; or --gaps for the holes in what has been fetched.")
    if public_logs and source == "api":
        raise UsageError("--public-logs reads the chain: leave out --source api.")
    if public_logs and start is None and not gaps:
        raise UsageError("--public-logs needs --from: each month is billed, and the table begins in 2020.")
    settings = runner_settings.load(target=target, source="polygon" if public_logs else source)
    output = Output(json)
    options = BackfillOptions(
        start=parse_instant(start) if start else None,
        end=parse_instant(end) if end else None,
        only=wallet or (),
        again=again,
        gaps=gaps,
        slice_days=slice_days,
        max_requests=max_requests,
        public_logs=public_logs,
    )
    warehouse = connect(settings)
    if public_logs and not status:
        if not _agreed(settings, warehouse, plan_backfill(settings, warehouse, options), output, dry_run, yes):
            return
    elif dry_run or status:
        _show(settings, warehouse, plan_backfill(settings, warehouse, options), output)
        return
    finish(settings, warehouse, lambda: run_backfill(settings, warehouse, options, output), output)


def _agreed(
    settings: "Settings", warehouse: "Warehouse", plan: "BackfillPlan", output: "Output", dry_run: bool, yes: bool
) -> bool:
    """Shows what the public logs cost, refuses what the limits do not allow, and asks. False: it was only to be shown.

    Raises:
        HeldBack: it is too much.
        UsageError: nobody can be asked, and nobody has said yes.
    """
    import sys

    from runner.cli.output import shortened
    from runner.engine.public_logs import check_price, price
    from runner.errors import UsageError
    from runner.units import as_bytes

    found = price(settings, warehouse, plan)
    lines = [
        f"{len(plan.wallets):,} wallets, {len(found.slices):,} months of the public table. At most (by dry runs) "
        f"{as_bytes(found.bytes)} are read, which is {found.money:,.2f} at {settings.price_per_tib:g} a TiB.",
        f"Allowed are {as_bytes(settings.maximum_bytes_billed)} a job, and {as_bytes(found.left_today)} more today.",
        *shortened(
            [
                f"  {window.begins:%Y-%m-%d} to {window.end:%Y-%m-%d}  {as_bytes(count)}"
                for window, count in found.slices
            ],
            20,
            "more months",
        ),
    ]
    content = {
        "command": "backfill",
        "dry_run": dry_run,
        "exit_code": 0,
        "wallets": len(plan.wallets),
        "slices": [
            {"start": window.begins.isoformat(), "end": window.end.isoformat(), "bytes_at_most": count}
            for window, count in found.slices
        ],
        "bytes_at_most": found.bytes,
        "largest_job_at_most": found.largest,
        "bytes_left_today": found.left_today,
        "price_at_most": round(found.money, 4),
    }
    if dry_run:
        output.result(content, "\n".join(lines))
        return False
    for line in lines:
        output.note(line)
    check_price(settings, found)
    if found.slices and not yes:
        if not sys.stdin.isatty() or output.as_json:
            raise UsageError("--public-logs asks on a terminal; elsewhere say --yes too. Nothing was read.")
        typer.confirm("Read it?", abort=True)
    return True


def _show(settings: "Settings", warehouse: "Warehouse", plan: "BackfillPlan", output: "Output") -> None:
    """How much is covered, slice by slice, and what fetching the rest takes at least."""
    from runner.cli.output import shortened
    from runner.cli.summary import shown_estimates
    from runner.engine.estimate import estimates
    from runner.units import duration

    share = plan.covered / plan.wanted if plan.wanted else 0.0
    requests = len(plan.tasks)
    seconds = requests / settings.requests_per_second
    days = max(((window.end - window.begins).days + 1 for window, _ in plan.slices), default=0)
    content = {
        "command": "backfill",
        "dry_run": True,
        "exit_code": 0,
        "wallets": len(plan.wallets),
        "covered_share": round(share, 6),
        "slices": [
            {"start": window.begins.isoformat(), "end": window.end.isoformat(), "windows": len(tasks)}
            for window, tasks in plan.slices
        ],
        "requests_at_least": requests,
        "seconds_at_least": round(seconds, 1),
        "load_jobs_at_least": len(plan.slices),
        "partitions_a_build": days,
    }
    window = f"{plan.window.begins:%Y-%m-%d %H:%M} to {plan.window.end:%Y-%m-%d %H:%M} UTC"
    lines = [f"{share:.1%} of {window} is covered for {len(plan.wallets):,} wallets."]
    if not plan.wanted:
        lines = [
            f"Nothing of {len(plan.wallets):,} wallets has been fetched yet, so there is no hole: `polytrades sync`."
        ]
    if plan.slices and settings.source == "polygon":
        lines.append(f"Left: {requests:,} windows in {len(plan.slices):,} slices.")
        lines += shown_estimates(settings, plan.tasks, estimates(settings, plan.tasks, warehouse.rpc_limits()))
    elif plan.slices:
        lines.append(
            f"Left: {requests:,} windows in {len(plan.slices):,} slices, so at least {requests:,} requests "
            f"({duration(seconds)} at {settings.requests_per_second:g} a second) and one more for each further "
            f"{settings.page_size:,} fills of a window."
        )
    if plan.slices:
        lines.append(
            f"Loads: one for each {settings.batch_rows:,} fills, at least {len(plan.slices):,} (BigQuery takes "
            f"1,500 a day for a table). A slice touches at most {days:,} days (BigQuery allows a merge 4,000)."
        )
        rows = [
            f"  {part.begins:%Y-%m-%d} to {part.end:%Y-%m-%d}  {len(tasks):,} windows" for part, tasks in plan.slices
        ]
        lines += shortened(rows, 20, "more slices")
    output.result(content, "\n".join(lines))
