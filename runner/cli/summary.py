"""What `sync` and `import` print."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

from runner.cli.output import Output, printable, shortened
from runner.engine.estimate import BLOCKS_A_DAY, FILLS_A_DAY, Estimate, api_requests, estimates
from runner.engine.fetch import Task
from runner.engine.lookups import Tally
from runner.engine.plan import SyncOptions, plan_sync
from runner.engine.record import Summary
from runner.errors import ExitCode, PolytradesError, UsageError
from runner.monitor.telling import after_failure, after_run
from runner.records import BrokenRule, read_order
from runner.settings import Settings
from runner.sources import files as file_source
from runner.units import as_bytes, duration
from runner.warehouse.connect import connect
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now

FETCHING = ("sync", "backfill")
"""Commands that ask an upstream; the others read what is there."""


def finish(settings: Settings, warehouse: Warehouse, run: Callable[[], Summary], output: Output) -> None:
    """Does the run, tells what it left (also if it failed), prints its summary, and ends with its exit code."""
    try:
        summary = run()
    except PolytradesError:
        hurried = settings.model_copy(update={"lock_wait_seconds": 0.0})
        after_failure(hurried, connect(hurried), output.note)
        raise
    is_complete = summary.exit_code in (ExitCode.DONE, ExitCode.CHECK_FAILED)
    after_run(settings, warehouse, is_complete and summary.command == "sync", output.note)
    output.result(summary.as_json(), as_text(summary, settings))
    if summary.exit_code:
        raise typer.Exit(int(summary.exit_code))


def as_text(summary: Summary, settings: Settings) -> str:
    """The summary for a person (rich markup)."""
    counts = summary.counts
    landed = f"{counts.landed + counts.landed_before:,}"
    if counts.landed_before:
        landed += f"  ({counts.landed_before:,} of them had landed before)"
    rejected = f"{counts.rejected:,}"
    if counts.rejected_by_reason:
        worst = sorted(counts.rejected_by_reason.items(), key=lambda item: -item[1])
        shown = [f"{reason} {count:,}" for reason, count in worst[:4]]
        if rest := sum(count for _, count in worst[4:]):
            shown.append(f"others {rest:,}")
        rejected += f"  ({', '.join(shown)})"
    lines = [
        ("fetched" if summary.command in FETCHING else "read", f"{counts.received:,} records"),
        ("landed", landed),
        ("new", _number(summary.fills_new)),
        ("already known", _number(summary.fills_known)),
        ("rejected", rejected),
        ("duplicates", _number(summary.duplicate_keys)),
        ("trades now", f"{_number(summary.fills_total)} fills"),
        ("tests passed", f"{summary.build.tests_passed:,}" if summary.build else "–"),
        ("time", _time(summary)),
    ]
    if summary.bytes_billed is not None:
        money = summary.bytes_billed / 2**40 * settings.price_per_tib
        today = f"today {as_bytes(summary.bytes_billed_today or 0)} of {as_bytes(settings.daily_bytes_budget)}"
        lines.insert(-1, ("billed", f"{as_bytes(summary.bytes_billed)}, {money:,.4f}  ({today})"))
    if summary.command in FETCHING:
        lines[7:7] = [
            ("markets", _looked_up(summary.enriched.markets)),
            ("events", _looked_up(summary.enriched.events)),
        ]
        done = summary.wallets - len(summary.wallets_failed) - summary.wallets_unfinished
        lines.insert(0, ("wallets", f"{done:,} of {summary.wallets:,}"))
    text = "\n".join(f"  {name:<16}{escape(value)}" for name, value in lines)
    head = {
        ExitCode.DONE: "[bold green]Done.[/]",
        ExitCode.CHECK_FAILED: "[bold yellow]Complete, but a check failed.[/]",
    }.get(summary.exit_code, "[bold yellow]Partly done: run it again.[/]")
    return "\n".join([f"{head} Run {summary.run_id}", text, *(f"  ! {escape(printable(m))}" for m in summary.messages)])


def _looked_up(tally: Tally) -> str:
    rest = [
        f"{count:,} {what}"
        for count, what in ((tally.unknown, "unknown"), (tally.failed, "failed"), (tally.left, "left for the next run"))
        if count
    ]
    return f"{tally.landed:,} landed of {tally.asked:,} asked" + (f"  ({', '.join(rest)})" if rest else "")


def _time(summary: Summary) -> str:
    """The whole, and where it went."""
    words = {"fetch": "fetch", "metadata": "markets and events", "build": "dbt"}
    parts = [f"{words[name]} {seconds:,.1f}" for name, seconds in summary.phases.items()]
    return f"{summary.seconds:,.1f} s" + (f"  ({', '.join(parts)})" if parts else "")


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def show_plan(settings: Settings, warehouse: Warehouse, options: SyncOptions, output: Output) -> None:
    """What `sync --dry-run` prints: wallets and windows. Nothing is written."""
    plan = plan_sync(settings, warehouse, options)
    change = plan.change
    windows = [(task.wallet, task.window.start, task.window.end) for task in plan.tasks]
    content = {
        "command": "sync",
        "dry_run": True,
        "exit_code": 0,
        "wallets_to_follow": change.added,
        "wallets_to_unfollow": change.removed,
        "windows": [
            {"wallet": wallet, "start": start.isoformat() if start else None, "end": end.isoformat()}
            for wallet, start, end in windows
        ],
    }
    rows = [
        f"  {wallet}  {start.isoformat() if start else 'everything':<25} → {end.isoformat()}"
        for wallet, start, end in windows
    ]
    lines = [
        f"Would fetch {len(rows):,} windows of {len({w for w, _, _ in windows}):,} wallets; nothing is written now:",
        *shortened(rows, 20),
    ]
    if settings.source == "polygon" and plan.tasks:
        found = estimates(settings, plan.tasks, warehouse.rpc_limits())
        content["estimates"] = [asdict(estimate) for estimate in found]
        lines += shown_estimates(settings, plan.tasks, found)
    if not change.is_empty:
        lines.append(f"Would follow {len(change.added):,} more wallets and unfollow {len(change.removed):,}.")
    output.result(content, "\n".join(lines))


def shown_estimates(settings: Settings, tasks: Sequence[Task], found: Sequence[Estimate]) -> list[str]:
    """Requests and time by kind of node, and what an order API would take."""
    api = api_requests(settings, tasks)
    rate = settings.requests_per_second
    rows = [
        f"  {one.limit:<40} {one.asks:<13} {one.requests[0]:>9,} to {one.requests[1]:<9,} "
        f"{duration(one.seconds[0])} to {duration(one.seconds[1])}"
        for one in found
    ]
    return [
        f"Requests, at {BLOCKS_A_DAY[0]:,} to {BLOCKS_A_DAY[1]:,} blocks and {FILLS_A_DAY:,} fills a day, and time at "
        f"{rate:g} a second:",
        *rows,
        f"  {'an order API':<40} {'by wallet':<13} {api:>9,}    {'':<9} {duration(api / rate)}",
    ]


def show_file_check(paths: Sequence[Path], output: Output) -> None:
    """What `import --dry-run` prints: records that would be landed and rejected. Nothing is written."""
    now = utc_now()
    received = 0
    reasons: dict[str, int] = {}
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} is not a file. Name files of order records (NDJSON, JSON or Parquet).")
        for record in file_source.records(path):
            received += 1
            try:
                read_order(record.raw, None, now)
            except BrokenRule as rule:
                reasons[rule.reason] = reasons.get(rule.reason, 0) + 1
                if sum(reasons.values()) <= 5:
                    output.note(f"{path.name}, {record.place}: {rule}")
    rejected = sum(reasons.values())
    content = {
        "command": "import",
        "dry_run": True,
        "exit_code": 0,
        "records_received": received,
        "records_rejected": rejected,
        "rejected_by_reason": reasons,
    }
    output.result(content, f"Would land {received - rejected:,} of {received:,} records and reject {rejected:,}.")
