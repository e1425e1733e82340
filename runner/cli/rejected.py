"""`polytrades rejected`."""

from typing import Annotated

import typer

from runner.cli.options import DryRun, Json, Target

Reason = Annotated[str | None, typer.Option("--reason", metavar="NAME", help="Only records rejected for this reason.")]


def register(app: typer.Typer) -> None:
    """Adds the command and its two parts."""
    group = typer.Typer(
        help="Records that broke a rule: list them, or let in what passes today.",
        no_args_is_help=True,
        epilog="Examples: polytrades rejected list --reason bad_price · polytrades rejected replay --dry-run",
    )
    group.command("list", epilog="Example: polytrades rejected list --reason bad_price --limit 50")(list_rejected)
    group.command("replay", epilog="Example: polytrades rejected replay --dry-run")(replay_rejected)
    app.add_typer(group, name="rejected")


def _check_reason(reason: str | None) -> None:
    from runner.errors import UsageError
    from runner.records import RULES

    if reason is not None and reason not in RULES:
        raise UsageError(f"There is no reason {reason!r}. The reasons are {', '.join(RULES)}.")


def list_rejected(
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most records to show.")] = 10,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show how many records are rejected and why, and some of them as they came."""
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, printable
    from runner.warehouse.connect import connect

    _check_reason(reason)
    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    counts = warehouse.rejected_by_reason()
    records = warehouse.rejected_records(reason, limit)
    content = {
        "command": "rejected list",
        "exit_code": 0,
        "by_reason": {name: count for name, count, _ in counts},
        "records": [{**record.__dict__, "landed_at": record.landed_at.isoformat()} for record in records],
    }
    lines = [f"  {name:<20}{count:>10,}  newest {newest:%Y-%m-%d %H:%M} UTC" for name, count, newest in counts]
    head = "Rejected records, by reason:" if counts else "No record is rejected."
    for record in records:
        lines += ["", f"{record.reason}: {record.detail}  ({record.origin}, {record.landed_at:%Y-%m-%d %H:%M} UTC)"]
        lines.append(f"  {record.record[:400]}{'…' if len(record.record) > 400 else ''}")
    output.result(content, "\n".join([head, *(escape(printable(line)) for line in lines)]))


def replay_rejected(reason: Reason = None, dry_run: DryRun = False, target: Target = None, json: Json = False) -> None:
    """Put rejected records through today's rules again; land and merge those that pass, keep the others.

    For after an update that reads more, or when a clock was wrong. Running it twice changes nothing.
    """
    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.cli.summary import finish
    from runner.engine.replay import passes, replay
    from runner.warehouse.connect import connect

    _check_reason(reason)
    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    if not dry_run:
        finish(settings, warehouse, lambda: replay(settings, warehouse, reason, output), output)
        return
    total = passing = 0
    after = ""
    while records := warehouse.rejected_records(reason, 20_000, after):
        after = records[-1].record_hash
        total += len(records)
        passing += sum(passes(record) for record in records)
    content = {"command": "rejected replay", "dry_run": True, "exit_code": 0, "rejected": total, "would_land": passing}
    output.result(content, f"Would land {passing:,} of {total:,} rejected records; the others still break a rule.")
