"""What BigQuery billed: by day, command, model and test, tests apart, against the budget."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from rich.markup import escape

from runner.settings import Settings
from runner.units import as_bytes
from runner.warehouse.protocol import JobCost, Warehouse
from runner.windows import utc_now

_TIB = 2**40


@dataclass(frozen=True)
class Bill:
    """Groups of jobs since a day. `account` is BigQuery's own sum by day, None where it cannot be read."""

    since: date
    today: date
    costs: list[JobCost]
    account: dict[date, int] | None
    budget: int
    price_per_tib: float
    is_billed: bool

    def money(self, count: int) -> float:
        """Bytes as money."""
        return count / _TIB * self.price_per_tib

    def bytes_on(self, day: date) -> int:
        """Bytes of a day, from our book."""
        return sum(cost.bytes_billed for cost in self.costs if cost.day == day)

    @property
    def days(self) -> list[date]:
        """Days with jobs, the newest first."""
        return sorted({cost.day for cost in self.costs}, reverse=True)

    def as_json(self) -> dict[str, Any]:
        """For `--json`. Bytes are whole numbers, money is in the currency of price_per_tib."""
        return {
            "command": "cost",
            "exit_code": 0,
            "since": self.since.isoformat(),
            "daily_bytes_budget": self.budget,
            "price_per_tib": self.price_per_tib,
            "days": [
                {
                    "day": day.isoformat(),
                    "bytes_billed": self.bytes_on(day),
                    "bytes_billed_by_tests": _of_tests([cost for cost in self.costs if cost.day == day]),
                    "bytes_by_account": None if self.account is None else self.account.get(day, 0),
                    "money": round(self.money(self.bytes_on(day)), 6),
                }
                for day in self.days
            ],
            "costs": [{**asdict(cost), "day": cost.day.isoformat()} for cost in self.costs],
        }


def draw_up(settings: Settings, warehouse: Warehouse, since: date) -> Bill:
    """Brings the book up to date and reads it."""
    warehouse.collect_costs()
    return Bill(
        since,
        utc_now().date(),
        warehouse.costs(since),
        warehouse.reconciled_bytes(since),
        settings.daily_bytes_budget,
        settings.price_per_tib,
        is_billed=warehouse.name == "bigquery",
    )


def as_text(bill: Bill, top: int) -> str:
    """The bill for a person (rich markup)."""
    if not bill.is_billed:
        return "DuckDB bills nothing. `polytrades cost --target bigquery` shows a bill."
    if not bill.costs:
        return f"No job of ours has ended since {bill.since}."
    today = bill.bytes_on(bill.today)
    share = f" ({today / bill.budget:.1%})" if bill.budget else ""
    lines = [
        f"[bold]Today[/] {as_bytes(today)} of {as_bytes(bill.budget)} a day{share}, {bill.money(today):,.4f} at "
        f"{bill.price_per_tib:g} a TiB",
        "",
        f"[bold]{'day':<12}{'jobs':>6}{'billed':>12}{'of it tests':>14}{'money':>10}{'by account':>14}[/]",
    ]
    for day in bill.days:
        costs = [cost for cost in bill.costs if cost.day == day]
        account = "–" if bill.account is None else as_bytes(bill.account.get(day, 0))
        count = bill.bytes_on(day)
        lines.append(
            f"{day!s:<12}{sum(cost.jobs for cost in costs):>6,}{as_bytes(count):>12}{as_bytes(_of_tests(costs)):>14}"
            f"{bill.money(count):>10,.4f}{account:>14}"
        )
    for title, names in (
        ("command", _grouped(bill.costs, lambda cost: cost.command)),
        ("model", _grouped([c for c in bill.costs if c.kind in ("model", "snapshot", "seed")], lambda cost: cost.name)),
        ("test", _grouped([c for c in bill.costs if c.kind == "test"], lambda cost: cost.name)),
        ("of the runner", _grouped([c for c in bill.costs if c.kind in ("runner", "hook")], lambda cost: cost.name)),
    ):
        lines += ["", f"[bold]{title:<52}{'jobs':>6}{'billed':>12}{'money':>10}[/]"]
        for name, (jobs, count) in names[:top]:
            lines.append(f"{escape(name)[:51]:<52}{jobs:>6,}{as_bytes(count):>12}{bill.money(count):>10,.4f}")
        if len(names) > top:
            lines.append(f"… {len(names) - top} more; --top shows them")
    if bill.account is None:
        lines += [
            "",
            "INFORMATION_SCHEMA.JOBS cannot be read, so nothing was compared; `polytrades doctor` says what to grant.",
        ]
    elif off := [day for day in bill.days if bill.account.get(day, 0) != bill.bytes_on(day) and day != bill.today]:
        lines += ["", f"[yellow]Our book and the account differ on {', '.join(map(str, off))}.[/]"]
    return "\n".join(lines)


def _of_tests(costs: list[JobCost]) -> int:
    return sum(cost.bytes_billed for cost in costs if cost.kind in ("test", "unit_test"))


def _grouped(costs: list[JobCost], key: Any) -> list[tuple[str, tuple[int, int]]]:
    """Name → (jobs, bytes), the most bytes first."""
    sums: dict[str, tuple[int, int]] = {}
    for cost in costs:
        jobs, count = sums.get(key(cost) or "?", (0, 0))
        sums[key(cost) or "?"] = (jobs + cost.jobs, count + cost.bytes_billed)
    return sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
