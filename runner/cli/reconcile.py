"""`polytrades reconcile`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.options import DryRun, Json, MaxRequests, Source, Target

if TYPE_CHECKING:  # imported when the command runs
    from runner.engine.fetch import Task
    from runner.engine.plan import BackfillPlan
    from runner.engine.reconcile import Reconciled
    from runner.settings import Settings
    from runner.warehouse.protocol import Warehouse


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades reconcile --sample 20 --plan · "
        "polytrades reconcile --wallet 0x1d2b…9c07 --from 2025-01-01 · "
        "polytrades reconcile --source polygon --from 2026-01-01 --to 2026-02-01 · "
        "polytrades reconcile --source polygon --from 2026-01-26 --to 2026-01-27 --against api --json"
    )(reconcile)


def reconcile(
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Where the window begins (UTC; of the order API: since ever)."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where it ends, not included (UTC; default: now).")
    ] = None,
    source: Source = None,
    against: Annotated[
        str,
        typer.Option(
            "--against", metavar="NAME", help="What is compared with it: `table` (fills), or `api` with the chain."
        ),
    ] = "table",
    wallet: Annotated[
        list[str] | None,
        typer.Option("--wallet", metavar="ADDRESS", help="Only this followed wallet; may be given several times."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            metavar="N",
            help="Only N of the followed wallets, the same each time; says what all of them lack by it.",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what the backfill of what is missing takes: requests, time, loads.")
    ] = False,
    max_requests: MaxRequests = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Compare `trades` with what its source tells today, by wallet and day: missing, extra or different fills.

    Changes no fill: what is read lands beside them and is compared in SQL (mon_source_differences). Running it twice
    compares anew. Exit code 4 if there are differences; the message says what brings the missing fills.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.engine.plan import plan_backfill
    from runner.engine.reconcile import ReconcileOptions, plan_reconcile
    from runner.engine.reconcile import reconcile as run_reconcile
    from runner.errors import ExitCode, UsageError
    from runner.warehouse.connect import connect
    from runner.windows import parse_instant

    if against not in ("table", "api"):
        raise UsageError(f"--against is {against!r}; write table or api.")
    if wallet and sample:
        raise UsageError("--wallet names wallets and --sample chooses them: give one of the two.")
    settings = runner_settings.load(target=target, source=source)
    output = Output(json)
    options = ReconcileOptions(
        parse_instant(start) if start else None,
        parse_instant(end) if end else None,
        wallet or (),
        sample,
        against,
        max_requests,
    )
    warehouse = connect(settings)
    if dry_run:
        tasks = plan_reconcile(settings, warehouse, options)
        content = {"command": "reconcile", "dry_run": True, "exit_code": 0, "wallets": len(tasks)}
        output.result(content, "\n".join(_estimated(settings, warehouse, tasks)))
        return
    result = run_reconcile(settings, warehouse, options, output)
    wanted = result.backfill() if plan else None
    planned = plan_backfill(settings, warehouse, wanted) if wanted else None
    code = ExitCode.CHECK_FAILED if result.differences else ExitCode.DONE
    output.result(_as_json(settings, result, planned, code), _as_text(settings, result, planned))
    if code:
        raise typer.Exit(int(code))


def _estimated(settings: "Settings", warehouse: "Warehouse", tasks: "list[Task]") -> list[str]:
    """What reading the source takes."""
    from runner.cli.summary import shown_estimates
    from runner.engine.estimate import estimates
    from runner.units import duration

    if settings.source == "polygon":
        found = estimates(settings, tasks, warehouse.rpc_limits())
        return [f"Would compare {len(tasks):,} wallets with the chain.", *shown_estimates(settings, tasks, found)]
    seconds = len(tasks) / settings.requests_per_second
    return [
        f"Would compare {len(tasks):,} wallets with the order API: at least {len(tasks):,} requests "
        f"({duration(seconds)} at {settings.requests_per_second:g} a second) and one more for each further "
        f"{settings.page_size:,} fills of a wallet."
    ]


def _as_json(
    settings: "Settings", result: "Reconciled", planned: "BackfillPlan | None", code: int
) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "command": "reconcile",
        "exit_code": int(code),
        "run_id": result.run_id,
        "source": result.source,
        "compared": result.compared,
        "wallets": len(result.wallets),
        "start": result.window.begins.isoformat(),
        "end": result.window.end.isoformat(),
        "source_fills": result.source_fills,
        "their_fills": result.their_fills,
        "missing": sum(result.missing.values()),
        "all_wallets": asdict(result.extrapolated) if result.extrapolated else None,
        "differences": [
            {
                "wallet": one.wallet_address,
                "day": one.filled_on.isoformat(),
                "difference": one.difference,
                "keys": one.keys,
                "example": one.example,
            }
            for one in result.differences
        ],
        "backfill": {"command": _command(settings, result), **_takes(settings, planned)} if planned else None,
    }


def _as_text(settings: "Settings", result: "Reconciled", planned: "BackfillPlan | None") -> str:
    from runner.cli.output import shortened

    window = f"{result.window.begins:%Y-%m-%d %H:%M} to {result.window.end:%Y-%m-%d %H:%M} UTC"
    name = "the chain" if settings.source == "polygon" else "the order API"
    head = f"{len(result.wallets):,} wallets, {window}: {name} has {result.source_fills:,} fills"
    if result.their_fills is not None:
        head += f", the order API {result.their_fills:,}"
    if not result.differences:
        return f"[bold green]The same.[/] {head}; {result.compared} tells of the same."
    totals: dict[str, int] = {}
    for one in result.differences:
        totals[one.difference] = totals.get(one.difference, 0) + one.keys
    counts = ", ".join(f"{count:,} {kind}" for kind, count in totals.items())
    rows = [
        f"  {one.wallet_address}  {one.filled_on}  {one.difference:<9} {one.keys:>7,}   {one.example[:66]}"
        for one in result.differences
    ]
    lines = [f"[bold yellow]They differ.[/] {head}; {result.compared} differs in {counts} keys.", *shortened(rows, 20)]
    if (all_wallets := result.extrapolated) and all_wallets.missing:
        lines.append(
            f"All {all_wallets.wallets:,} wallets, by this sample: about {all_wallets.missing:,} missing fills "
            f"(with 95 %: {all_wallets.low:,} to {all_wallets.high:,})."
        )
    if command := _command(settings, result):
        lines.append(f"To fetch them: {command}")
    if planned:
        lines.append(_shown(settings, _takes(settings, planned)))
    return "\n".join([*lines, "All of them: select * from monitoring.mon_source_differences"])


def _command(settings: "Settings", result: "Reconciled") -> str:
    """The backfill that fetches what is missing; empty if none would. With many wallets it asks for all of them."""
    wanted = result.backfill()
    if wanted is None or wanted.start is None or wanted.end is None:
        return ""
    some = "".join(f" --wallet {wallet}" for wallet in wanted.only) if len(wanted.only) < result.followed else ""
    return (
        f"polytrades backfill --source {settings.source} --again --from {wanted.start:%Y-%m-%d} "
        f"--to {wanted.end:%Y-%m-%d}{some}"
    )


def _takes(settings: "Settings", planned: "BackfillPlan | None") -> dict[str, Any]:
    """What a backfill takes at least."""
    if planned is None:
        return {}
    requests = len(planned.tasks)
    return {
        "wallets": len(planned.wallets),
        "slices": len(planned.slices),
        "requests_at_least": requests,
        "seconds_at_least": round(requests / settings.requests_per_second, 1),
        "load_jobs_at_least": len(planned.slices),
        "days": sum((window.end - window.begins).days for window, _ in planned.slices),
    }


def _shown(settings: "Settings", takes: dict[str, Any]) -> str:
    from runner.units import duration

    return (
        f"That takes at least {takes['requests_at_least']:,} requests ({duration(takes['seconds_at_least'])} at "
        f"{settings.requests_per_second:g} a second), {takes['load_jobs_at_least']:,} loads and merges that touch "
        f"{takes['days']:,} days; `--dry-run` with it says more."
    )
