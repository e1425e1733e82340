"""`polytrades reconcile`."""

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.options import DryRun, Json, MaxRequests, Target

if TYPE_CHECKING:  # imported when the command runs
    from runner.engine.reconcile_chain import Reconciled


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades reconcile --source polygon --from 2026-01-01 --to 2026-02-01 · "
        "polytrades reconcile --source polygon --from 2026-01-26 --to 2026-01-27 --against api --json"
    )(reconcile)


def reconcile(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Where the window begins (UTC).")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Where it ends, not included (UTC).")],
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="What is believed: `polygon`.")] = "polygon",
    against: Annotated[
        str,
        typer.Option("--against", metavar="NAME", help="What is compared with it: `table` (fills) or `api`."),
    ] = "table",
    wallet: Annotated[
        list[str] | None,
        typer.Option("--wallet", metavar="ADDRESS", help="Only this followed wallet; may be given several times."),
    ] = None,
    max_requests: MaxRequests = None,
    dry_run: DryRun = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Compare `trades` or the order API with the chain: what is missing, extra or different, by wallet and day.

    Changes no fill: what is read lands beside them and is compared in SQL (mon_chain_differences). Running it twice
    compares anew. Exit code 4 if there are differences; the message says what brings the missing fills.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import shown_estimates
    from runner.engine.estimate import estimates
    from runner.engine.reconcile_chain import ReconcileOptions, plan_reconcile
    from runner.engine.reconcile_chain import reconcile as run_reconcile
    from runner.errors import ExitCode, UsageError
    from runner.warehouse.connect import connect
    from runner.windows import parse_instant

    if source != "polygon":
        raise UsageError(f"--source is {source!r}; what others are compared with is polygon.")
    if against not in ("table", "api"):
        raise UsageError(f"--against is {against!r}; write table or api.")
    settings = runner_settings.load(target=target)
    output = Output(json)
    options = ReconcileOptions(parse_instant(start), parse_instant(end), wallet or (), against, max_requests)
    warehouse = connect(settings)
    if dry_run:
        tasks = plan_reconcile(warehouse, options)
        found = estimates(settings, tasks, warehouse.rpc_limits())
        lines = [f"Would compare {len(tasks):,} wallets with the chain.", *shown_estimates(settings, tasks, found)]
        content = {"command": "reconcile", "dry_run": True, "exit_code": 0, "wallets": len(tasks)}
        output.result(content, "\n".join(lines))
        return
    result = run_reconcile(settings, warehouse, options, output)
    code = ExitCode.CHECK_FAILED if result.differences else ExitCode.DONE
    output.result(_as_json(result, code), _as_text(result))
    if code:
        raise typer.Exit(int(code))


def _as_json(result: "Reconciled", code: int) -> dict[str, object]:
    return {
        "command": "reconcile",
        "exit_code": int(code),
        "run_id": result.run_id,
        "compared": result.compared,
        "wallets": result.wallets,
        "start": result.window.begins.isoformat(),
        "end": result.window.end.isoformat(),
        "chain_fills": result.chain_fills,
        "their_fills": result.their_fills,
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
    }


def _as_text(result: "Reconciled") -> str:
    from runner.cli.output import shortened

    window = f"{result.window.begins:%Y-%m-%d %H:%M} to {result.window.end:%Y-%m-%d %H:%M} UTC"
    head = f"{result.wallets:,} wallets, {window}: the chain has {result.chain_fills:,} fills"
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
    if result.compared == "trades" and totals.keys() - {"extra"}:
        start, end = result.window.begins, result.window.end
        lines.append(
            f"To fetch them: polytrades backfill --source polygon --again --from {start:%Y-%m-%dT%H:%M:%SZ} "
            f"--to {end:%Y-%m-%dT%H:%M:%SZ}"
        )
    return "\n".join([*lines, "All of them: select * from monitoring.mon_chain_differences"])
