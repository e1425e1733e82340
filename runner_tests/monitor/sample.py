"""A status and a history as a large warehouse after some bad nights would give them, with text that means harm."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from runner.monitor.checks import Verdict, findings
from runner.monitor.status import Status
from runner.warehouse.migrating import Progress
from runner.warehouse.monitored import (
    CheckRow,
    CostRow,
    DayRow,
    History,
    HoleRow,
    IncidentEvent,
    Monitored,
    NodeResult,
    RunRow,
    SourceRow,
    TestRow,
    VolumeRow,
    WalletRow,
)
from runner.warehouse.protocol import Totals

AT = datetime(2026, 11, 28, 6, 30, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "</style></svg><img src=x onerror=alert(1)>",
    "\u202egnp.exe\u202c \x1b[31m red \x07",
    "🦄 emoji & \"quotes\" 'single' {{ 7 * 7 }}",
    "long " + "A" * 10_000,
]


def sample(is_good: bool, wallets: int = 1126, billed: bool = True) -> tuple[Status, History, list[IncidentEvent]]:
    """Sixty days of it, the same each time."""
    chance = random.Random(7)
    days = [AT.date() - timedelta(days=age) for age in range(60)]
    fills = {day: round(chance.gauss(330_000, 30_000) * (0.8 if day.weekday() > 4 else 1)) for day in days}
    fills[days[0]] = 81_000
    if not is_good:
        fills[days[1]] = 40_000
        fills[days[23]] = 610_000
    addresses = [f"0x{chance.getrandbits(160):040x}" for _ in range(wallets)]
    monitored = Monitored(
        checks=_checks(is_good),
        days=[DayRow(day, fills[day], 0, 800, fills[day] * 10**7, fills[day] // 500, 0) for day in days],
        wallets=[
            WalletRow(
                address,
                AT - timedelta(hours=4 if is_good or number % 90 else 60),
                AT - timedelta(days=400),
                None if number % 31 == 0 else AT - timedelta(hours=min(9_000.0, 4 * chance.paretovariate(0.5))),
                max(0, round(40_000 / (number + 1)) - 30),
            )
            for number, address in enumerate(addresses)
        ],
        sources=[SourceRow("dome", wallets, AT, AT - timedelta(hours=4), AT - timedelta(hours=4))],
        runs=[_run(age, is_good, chance) for age in range(40)],
        costs=[CostRow(day, 180, n, n // 3) for day in days for n in [round(chance.gauss(24e9, 3e9))]]
        if billed
        else [],
    )
    history = History(
        volume=[VolumeRow(day, fills[day], 305_000, 36_000, True) for day in reversed(days[1:])],
        holes=[]
        if is_good
        else [HoleRow(w, AT - timedelta(days=30), AT - timedelta(days=27), False) for w in addresses[:340]],
        tests=_tests(is_good),
        slowest=[
            NodeResult("test" if n % 4 == 3 else "model", name, "success", 90 / (n + 1))
            for n, name in enumerate(_NODES)
        ],
        rejected=[
            (day, reason, chance.randrange(1, 90 // at))
            for day in days[::-1]
            for at, reason in enumerate(("bad_price", "missing_tx_hash", "bad_timestamp"), 1)
        ],
        duplicates=[]
        if is_good
        else [(text, "0x" + "1" * 64, "0x" + "2" * 64, 2) for text in (*HOSTILE, *addresses[:9])],
    )
    checks = monitored.checks
    found = findings(checks)
    totals = Totals(
        58_953_954, AT - timedelta(hours=4, minutes=7), wallets, wallets - 36, 21_204, 9_811, 0 if is_good else 14, 0
    )
    verdict = Verdict.OK if is_good else Verdict.FAIL
    budget = 200_000_000_000 if billed else None
    moving = Progress(
        "20261127T220000Z-5ca1ab", "old." + HOSTILE[0], "copying", 7, 4_310_022, AT - timedelta(minutes=3)
    )
    status = Status(verdict, found, checks, totals, monitored, AT, budget, 6.25, None if is_good else moving)
    return status, history, [] if is_good else _incidents()


_NODES = (
    "mon_duplicate_keys", "trades", "int_trades_versions", "trades_has_no_duplicate_keys", "int_trades_batched",
    "int_trades_stored", "markets", "a_fill_is_complete", "trade_collisions", "events", "mon_daily_fills", "traders",
)  # fmt: skip


def _checks(is_good: bool) -> list[CheckRow]:
    good = [
        CheckRow("duplicate_keys", None, 0, None, None, None, None, 0, "OK"),
        CheckRow("key_collisions", None, 0, None, None, None, None, 0, "OK"),
        CheckRow("run_overdue_hours", None, 4.2, None, None, AT, None, 26, "OK"),
        CheckRow("checkpoint_hours", None, 4.3, 0, None, None, 30, 54, "OK"),
        CheckRow("volume_drop", None, 0.7, 331_000, "2026-11-27", None, 4, 8, "OK"),
        CheckRow("rejected_share", "sync", 0.0004, 91, None, None, 0.01, 0.1, "OK"),
        CheckRow("unmerged_hours", None, None, 0, None, None, 0, 50, "OK"),
        CheckRow("coverage_holes", None, 0, 0, None, None, 0, None, "OK"),
        CheckRow("budget_share", None, 0.12, 24_000_000_000, None, None, 0.8, 1, "OK"),
    ]
    if is_good:
        return good
    bad = [
        CheckRow("duplicate_keys", None, 14, None, None, None, None, 0, "FAIL"),
        CheckRow("volume_drop", None, 7.4, 40_000, "2026-11-27", None, 4, 8, "WARN"),
        CheckRow("coverage_holes", None, 340, 340, None, None, 0, None, "WARN"),
        *(CheckRow("run_failed", f"command {at}", 2, 1, text, AT, 0, 1, "FAIL") for at, text in enumerate(HOSTILE)),
    ]
    return [*bad, *good[1:4], *good[5:7], good[8]]


def _run(age: int, is_good: bool, chance: random.Random) -> RunRow:
    started = AT - timedelta(days=age, hours=4)
    code = 0 if is_good or age % 9 else (1, 3, 4, 3, 0)[age // 9]
    fetch, metadata, build = chance.gauss(900, 80), chance.gauss(140, 20), chance.gauss(330, 30)
    return RunRow(
        f"run-{age}",
        "sync",
        started,
        started + timedelta(seconds=fetch + metadata + build + 20),
        code,
        False,
        fetch + metadata + build + 20,
        fetch,
        metadata,
        build,
        330_000,
        91,
        None if code == 1 else round(chance.gauss(318_000, 20_000)),
        24_000_000_000,
        200_000_000_000,
        HOSTILE[age // 9] if code else None,
    )


def _tests(is_good: bool) -> list[TestRow]:
    names = ("trades_has_no_duplicate_keys", "a_fill_is_complete", "no_fill_shares_its_key")
    return [
        TestRow(f"run-{age}", name, "fail" if bad else "pass", 14 if bad else 0, AT - timedelta(days=age))
        for age in range(29, -1, -1)
        for at, name in enumerate(names)
        for bad in [not is_good and ((at == 0 and age < 3) or (at == 2 and age in (11, 12)))]
    ]


def _incidents() -> list[IncidentEvent]:
    told = "webhook, e-mail"
    opened = AT - timedelta(days=2)
    rows = [
        IncidentEvent(
            "a", "duplicate_keys", "", "reminded", "FAIL", "14 keys stand in trades more than once.", opened, AT, told
        )
    ]
    rows += [
        IncidentEvent(f"b{at}", "run_failed", "sync", "resolved", "OK", text, opened, AT, "")
        for at, text in enumerate(HOSTILE)
    ]
    return rows
