"""What it takes to read windows from the chain: requests and time, by the limits that nodes have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.engine.chain import is_whole_cheaper
from runner.engine.fetch import Task
from runner.settings import Settings
from runner.windows import union

BLOCKS_A_DAY = (43_200, 57_600)
"""At 2 s and at 1.5 s a block: what 2026 has seen."""
FILLS_A_DAY = 500_000
"""Of about 1,100 followed wallets on a busy day; each request of a node that counts logs gives so many less."""
_FOLLOWED = 1_126
_TO_FIND_BLOCKS = 25
"""Requests that find the first and last block of a window."""
_LOGS_A_REQUEST = 10_000

LIMITS = {
    "10 blocks a request (a free tier)": 10,
    "10,000 blocks a request (a paid tier)": 10_000,
    "10,000 logs a request, any range": None,
}
"""Kinds of nodes → blocks of one request; None: what it holds is what counts."""


@dataclass(frozen=True)
class Estimate:
    """Requests for a night or a window with one kind of node. Two figures: at 2 s and at 1.5 s a block."""

    limit: str
    asks: str
    requests: tuple[int, int]
    seconds: tuple[float, float]


def estimates(settings: Settings, tasks: Sequence[Task], remembered: Mapping[tuple[str, str], int]) -> list[Estimate]:
    """For windows of wallets: with each kind of node, and with what is remembered of real ones."""
    days = sum(window.length.total_seconds() for window in union(task.window for task in tasks)) / 86_400
    wallets = len({task.wallet for task in tasks})
    hosts = {host: blocks for (host, kind), blocks in remembered.items() if kind == "wallets"}
    spans = {**{f"{host}, {blocks:,} blocks a request": blocks for host, blocks in hosts.items()}, **LIMITS}
    return [_estimate(settings, limit, span, wallets, days) for limit, span in spans.items()]


def _estimate(settings: Settings, limit: str, span: int | None, wallets: int, days: float) -> Estimate:
    groups = -(-wallets // settings.polygon_wallets_per_request)
    found = []
    is_whole = False
    for each_day in BLOCKS_A_DAY:
        blocks = max(1, round(days * each_day))
        if span is None:
            fills = round(days * FILLS_A_DAY * wallets / _FOLLOWED)
            requests = max(groups, -(-fills // _LOGS_A_REQUEST))
        else:
            is_whole = groups > 1 and is_whole_cheaper(groups, span, settings.polygon_logs_per_block)
            whole = min(span, max(1, _LOGS_A_REQUEST // settings.polygon_logs_per_block))
            requests = -(-blocks // whole) if is_whole else groups * -(-blocks // span)
        found.append(requests + _TO_FIND_BLOCKS)
    low, high = found
    rate = settings.requests_per_second
    return Estimate(limit, "whole ranges" if is_whole else "by wallet", (low, high), (low / rate, high / rate))


def api_requests(settings: Settings, tasks: Sequence[Task]) -> int:
    """What an order API takes for the same: a request for each window, and one for each further page."""
    wallets = len({task.wallet for task in tasks})
    days = sum(window.length.total_seconds() for window in union(task.window for task in tasks)) / 86_400
    return len(tasks) + round(days * FILLS_A_DAY * wallets / _FOLLOWED / settings.page_size)
