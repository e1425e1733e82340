"""`polytrades report`: one HTML file that needs nothing else, and the same data as JSON beside it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from runner.monitor import charts
from runner.monitor.checks import CHECKS, Verdict
from runner.monitor.status import Status
from runner.monitor.text import clean
from runner.units import as_bytes, duration
from runner.warehouse.monitored import CheckRow, History, IncidentEvent, RunRow
from runner.windows import EVER

_RUNS_DRAWN = 30
_ROWS_SHOWN = 10
_AGES = [("1 h", 1), ("6 h", 6), ("1 day", 24), ("3 days", 72), ("1 week", 168), ("1 month", 720), ("older", 10**9)]


def write(file: Path, status: Status, history: History, incidents: list[IncidentEvent], days: int) -> tuple[Path, Path]:
    """Writes the page and, beside it, its data; gives both paths. Each by a temporary name, then a rename."""
    content = as_json(status, history, incidents, days)
    beside = file.with_suffix(".json")
    page = render(status, history, incidents, days, beside.name)
    for path, text in ((beside, json.dumps(content, indent=2)), (file, page)):
        unfinished = path.with_name(path.name + ".tmp")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    return file, beside


def as_json(status: Status, history: History, incidents: list[IncidentEvent], days: int) -> dict[str, Any]:
    """Everything that the page shows. Instants in ISO 8601."""
    content = {
        "command": "report",
        "exit_code": 0,
        "days": days,
        "status": status.as_json(),
        "fills_per_day": [asdict(row) for row in reversed(status.monitored.days)],
        "volume": [asdict(row) for row in history.volume],
        "wallets": [asdict(row) for row in status.monitored.wallets],
        "coverage": _coverage(status, history, days),
        "holes": [asdict(row) for row in history.holes],
        "runs": [asdict(row) for row in status.monitored.runs],
        "test_results": [asdict(row) for row in history.tests],
        "slowest": [asdict(row) for row in history.slowest],
        "costs": [asdict(row) for row in status.monitored.costs],
        "rejected": [{"day": day, "reason": reason, "records": count} for day, reason, count in history.rejected],
        "duplicates": [
            dict(zip(("wallet_address", "tx_hash", "order_hash", "copies"), row, strict=True))
            for row in history.duplicates
        ],
        "incidents": [asdict(row) for row in incidents],
    }
    plain: dict[str, Any] = json.loads(json.dumps(content, default=lambda value: value.isoformat()))
    return plain


def render(status: Status, history: History, incidents: list[IncidentEvent], days: int, json_name: str) -> str:
    """The page. Everything in it is escaped by the template but the charts, which are ours."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clean": clean,
        "instant": _instant,
        "count": _count,
        "short": _short,
        "coded": _coded,
        "duration": duration,
    }
    wallets = status.monitored.wallets
    return environment.get_template("report.html.j2").render(
        status=status,
        tiles=list(_tiles(status)),
        drawn=dict(_charts(status, history, days)),
        checks=[_checked(row) for row in sorted(status.checks, key=_by_order)],
        lagging=sorted((row for row in wallets if row.fetched_until), key=lambda row: row.fetched_until or EVER)[:8],
        busiest=[row for row in wallets if row.fills_48h][:8],
        runs=status.monitored.runs[:_ROWS_SHOWN],
        duplicates=history.duplicates[:_ROWS_SHOWN],
        duplicates_left=max(0, len(history.duplicates) - _ROWS_SHOWN),
        incidents=sorted(incidents, key=_open_first)[:_ROWS_SHOWN],
        days=days,
        json_name=json_name,
        Verdict=Verdict,
    )


def _coded(text: str) -> Any:
    """What stands between backticks as code; the rest escaped."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _instant(value: datetime | None) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}" if value else "–"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _short(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:8]}…{text[-4:]}"


def _short_name(text: str) -> str:
    return text if len(text) <= 40 else f"…{text[-39:]}"


def _open_first(event: IncidentEvent) -> tuple[bool, float]:
    return event.event == "resolved", -event.happened_at.timestamp()


def _by_order(row: CheckRow) -> int:
    return list(CHECKS).index(row.check_name) if row.check_name in CHECKS else len(CHECKS)


def _checked(row: CheckRow) -> dict[str, str]:
    """A check for the table of all of them: what was measured, and its limits."""
    limits = [
        f"{word} above {_measure(row, limit)}"
        for word, limit in (("warn", row.warn_above), ("fail", row.fail_above))
        if limit is not None
    ]
    title = CHECKS[row.check_name].title if row.check_name in CHECKS else row.check_name
    subject = f" ({row.subject})" if row.subject else ""
    return {
        "verdict": row.verdict,
        "title": title + subject,
        "measured": "nothing to judge" if row.measured is None else _measure(row, row.measured),
        "limits": ", ".join(limits) or "–",
    }


def _measure(row: CheckRow, value: float) -> str:
    if row.check_name.endswith("_hours"):
        return duration(max(0.0, value) * 3600)
    if row.check_name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:,.1f}".removesuffix(".0")


def _tiles(status: Status) -> Iterator[tuple[str, str, str]]:
    """Label, number, what stands below it."""
    told = status.as_json()
    totals, wallets, cost = status.totals, told["wallets"], told["cost"]
    yield "fills", _count(totals.fills), f"newest {_instant(totals.latest_fill_at)}"
    yield "yesterday", _count(told["days"]["yesterday"]), f"today so far {_count(told['days']['today'])}"
    yield "wallets", _count(wallets["followed"]), f"{_count(wallets['without_fills'])} without a fill"
    oldest = min((row.fetched_until for row in status.monitored.wallets if row.fetched_until), default=None)
    behind = duration((status.taken_at - oldest).total_seconds()) if oldest else "–"
    yield "oldest checkpoint", behind, "behind now, of all wallets"
    yield "duplicate keys", _count(totals.duplicate_keys), f"{_count(totals.collisions)} collisions"
    if status.migration:
        found = status.migration
        yield "migration", found.stage, f"{_count(found.rows)} rows of {_short_name(found.staging)}"
    if cost:
        of = f"{as_bytes(cost['bytes_billed_today'])} of {as_bytes(cost['daily_bytes_budget'])}"
        yield "billed today", f"{cost['money_today']:,.2f}", of
    else:
        yield "pending", _count(totals.pending_batches), f"batches, {_count(totals.pending_rows)} rows"


def _charts(status: Status, history: History, days: int) -> Iterator[tuple[str, charts.Chart]]:
    """Each chart that has something to show."""
    monitored = status.monitored
    if monitored.days:
        yield "fills", charts.fills_per_day(_fills(status, history, days))
    if monitored.wallets:
        yield "coverage", charts.coverage(_coverage(status, history, days), len(monitored.wallets))
        yield "freshness", charts.freshness(_ages(status))
    if timed := [row for row in monitored.runs if row.seconds is not None][:_RUNS_DRAWN]:
        yield "runs", charts.run_times([part for run in reversed(timed) for part in _phases(run)])
    if history.slowest:
        yield (
            "slowest",
            charts.slowest(
                [
                    {"name": row.name, "seconds": row.seconds, "kind": "test" if row.kind == "test" else "model"}
                    for row in history.slowest
                ]
            ),
        )
    if history.tests:
        yield "tests", charts.findings_over_time(_tests(history))
    if status.budget is not None and monitored.costs:
        rows = [
            {"day": row.day.isoformat(), "gigabytes": count / 1e9, "kind": kind}
            for row in monitored.costs
            for kind, count in (
                ("models and runner", row.bytes_billed - row.bytes_billed_by_tests),
                ("tests", row.bytes_billed_by_tests),
            )
        ]
        yield "cost", charts.cost(rows, status.budget / 1e9 or None, status.price_per_tib)
    if history.rejected:
        rows = [{"day": day.isoformat(), "reason": clean(reason), "records": n} for day, reason, n in history.rejected]
        yield "rejected", charts.rejected(rows)


def _since(status: Status, days: int) -> list[date]:
    return [status.taken_at.date() - timedelta(days=age) for age in range(days - 1, -1, -1)]


def _fills(status: Status, history: History, days: int) -> list[dict[str, Any]]:
    counted = {row.day: row.fills for row in status.monitored.days}
    bands = {row.day: row for row in history.volume if row.is_judged}
    whole_before = max((row.day for row in history.volume), default=date.min)
    rows = []
    for day in _since(status, days):
        fills, band = counted.get(day, 0), bands.get(day)
        low = max(0.0, band.median_fills - 4 * band.spread) if band else None
        high = band.median_fills + 4 * band.spread if band else None
        is_unusual = low is not None and high is not None and not low <= fills <= high
        kind = "open" if day > whole_before else "unusual" if is_unusual else "usual"
        rows.append({"day": day.isoformat(), "fills": fills, "low": low, "high": high, "kind": kind})
    return rows


def _coverage(status: Status, history: History, days: int) -> list[dict[str, Any]]:
    """The share of followed wallets that are covered on each whole day."""
    wallets = status.monitored.wallets
    rows = []
    for day in _since(status, days)[:-1]:
        begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
        ends = begins + timedelta(days=1)
        missing = {row.wallet_address for row in history.holes if row.hole_start < ends and row.hole_end > begins}
        missing |= {row.wallet_address for row in wallets if row.fetched_until is None or row.fetched_until < begins}
        rows.append({"day": day.isoformat(), "share": 1 - len(missing) / max(1, len(wallets))})
    return rows


def _ages(status: Status) -> list[dict[str, Any]]:
    found = dict.fromkeys([name for name, _ in _AGES] + ["never"], 0)
    for row in status.monitored.wallets:
        if row.last_fill_at is None:
            found["never"] += 1
            continue
        hours = (status.taken_at - row.last_fill_at).total_seconds() / 3600
        found[next(name for name, most in _AGES if hours <= most)] += 1
    return [{"age": age, "wallets": count, "label": f"{count:,}" if count else ""} for age, count in found.items()]


def _phases(run: RunRow) -> Iterator[dict[str, Any]]:
    name = f"{run.started_at:%-d %b} {run.started_at:%H:%M:%S}"
    phases = {"fetch": run.fetch_seconds, "markets and events": run.metadata_seconds, "dbt": run.build_seconds}
    phases["rest"] = max(0.0, (run.seconds or 0.0) - sum(seconds or 0.0 for seconds in phases.values()))
    for order, (phase, seconds) in enumerate(phases.items()):
        yield {"run": name, "phase": phase, "minutes": (seconds or 0.0) / 60, "order": order}


def _tests(history: History) -> list[dict[str, Any]]:
    """The whole-table key test, and every test that failed in this time, for each of the newest runs."""
    runs = list(dict.fromkeys(row.run_id for row in history.tests))[-_RUNS_DRAWN:]
    at = {row.run_id: row.recorded_at for row in history.tests}
    bad = {row.name for row in history.tests if row.run_id in runs and row.status in ("fail", "error")}
    names = ["trades_has_no_duplicate_keys", *sorted(bad - {"trades_has_no_duplicate_keys"})]
    states = {"pass": "passed", "fail": "failed", "error": "failed"}
    results = {(row.run_id, row.name): states.get(row.status, "not run") for row in history.tests}
    return [
        {"run": f"{at[run]:%-d %b} {at[run]:%H:%M:%S}", "test": name, "state": results.get((run, name), "not run")}
        for run in runs
        for name in names
    ]
