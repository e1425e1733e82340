"""What is to be fetched: which wallets, and of each which windows. Nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from runner.engine import wallets
from runner.engine.fetch import Task, spanned
from runner.errors import UsageError
from runner.landing.covered import completed_since_checkpoints, covered_windows, source_of
from runner.settings import Settings
from runner.warehouse.protocol import Covered, Warehouse
from runner.windows import EVER, Window, askable, holes, months, slices, utc_now


@dataclass(frozen=True)
class SyncOptions:
    """What `sync` was asked for. `only` filters the followed wallets and changes nothing."""

    wallets_file: Path | None = None
    allow_shrink: bool = False
    only: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    max_requests: int | None = None


@dataclass(frozen=True)
class SyncPlan:
    """What a sync does: the change of the list, the tasks in the order of the work, and what nobody wants.

    New fills come before history, those of whoever has waited longest first; with `max_requests` some history between.
    """

    change: wallets.WalletChange
    wallets: list[str]
    tasks: list[Task]
    skipped: list[Covered]
    since_ignored: int
    """Wallets for which `since` means nothing, because they have been fetched before."""
    checkpoints: dict[str, datetime]
    """Where the wallets stand."""


def plan_sync(settings: Settings, warehouse: Warehouse, options: SyncOptions) -> SyncPlan:
    """What the list changes, then the wallets to fetch and their windows.

    A wallet whose window holds nothing to ask for is left out.

    Raises:
        UsageError: a list or an address is wrong, no wallet is followed, a filter names one that is not, or `since` is
            not before the end.
    """
    change, chosen = _chosen_wallets(warehouse, options)
    until = _end(settings, options.until)
    if options.since and options.since >= until:
        raise UsageError(
            f"--since {options.since.isoformat()} is not before the end of the window, {until.isoformat()}."
        )
    source = source_of(settings)
    checkpoints = warehouse.checkpoints(source)
    coverage = covered_windows(settings, warehouse)
    cut_off = completed_since_checkpoints(settings, warehouse)
    fetched = coverage
    if any(wallet in coverage and wallet not in checkpoints for wallet in chosen):
        fetched = covered_windows(settings, warehouse, with_skipped=False)
    overlap = overlap_of(settings)
    recent: list[Task] = []
    history: list[Task] = []
    skipped: list[Covered] = []
    ignored = 0
    for wallet in chosen:
        covered = coverage.get(wallet, [])
        reached = checkpoints.get(wallet) or (covered[-1].end if covered else None)
        if reached is None:
            history.append(Task(wallet, Window(options.since, until), is_history=True))
            if options.since and options.since > EVER:
                skipped.append(Covered(source, wallet, None, options.since, "skipped", 0))
            continue
        ignored += options.since is not None
        known_until = min(reached, until)
        # A first walk that was cut off has covered its newest part and left no checkpoint: the overlap sets it.
        if reached < until or wallet not in checkpoints:
            # What was left out with `since` and never fetched needs no overlap.
            again = overlap if wallet in checkpoints or wallet in fetched else timedelta()
            recent += _recent(wallet, known_until, again, until, cut_off.get(wallet, []))
        past = Window(None, known_until)
        history += [Task(wallet, hole, moves_checkpoint=False, is_history=True) for hole in holes(past, covered)]
    recent = [task for task in recent if task.window.is_askable]
    # Few requests must reach everybody in turn: who has waited longest comes first.
    recent.sort(key=lambda task: task.known_until or EVER)
    tasks = [*recent, *history] if options.max_requests is None else _mixed(recent, history)
    return SyncPlan(change, chosen, tasks, skipped, ignored, checkpoints)


def _mixed(recent: list[Task], history: list[Task]) -> list[Task]:
    """A task of the past before every nine others, so that a run of few requests comes to the past as well."""
    mixed: list[Task] = []
    past = iter(history)
    for number, task in enumerate(recent):
        if number % 9 == 0:
            mixed += islice(past, 1)
        mixed.append(task)
    return [*mixed, *past]


def overlap_of(settings: Settings) -> timedelta:
    """How much before a checkpoint is asked for again."""
    if settings.source == "polygon":
        return timedelta(minutes=settings.polygon_overlap_minutes)
    return timedelta(hours=settings.overlap_hours)


def _recent(wallet: str, known_until: datetime, again: timedelta, until: datetime, parts: list[Window]) -> list[Task]:
    """What is to be asked for behind a checkpoint.

    Walks go from the newest fill to the oldest, so one that was cut off has left its newest part in `parts`: what is
    missing before that brings the checkpoint to its end. What begins at the beginning is history, and bounded.
    """
    begins = _before(known_until, again)
    if parts and parts[0].begins <= begins:  # that walk came to its end, and died before it could say so
        known_until = min(parts[0].end, until)
        begins = _before(known_until, again)
        parts = parts[1:]
    parts = [part for part in parts if part.begins < until]
    is_history = begins <= EVER
    if not parts:
        return [Task(wallet, Window(begins, until), is_history=is_history, known_until=known_until)]
    newest, *others = parts
    # The end of a part has been asked for once, as the newest there was: late fills are looked for there as well.
    since = max(newest.begins, _before(newest.end, again))
    missing = holes(Window(since, until), others) if newest.end < until else []
    return [
        Task(
            wallet,
            askable(Window(begins, newest.begins)),
            is_history=is_history,
            reaches=min(newest.end, until),
            known_until=known_until,
        ),
        *(Task(wallet, askable(hole), moves_checkpoint=False, known_until=newest.end) for hole in missing),
    ]


def _before(instant: datetime, again: timedelta) -> datetime:
    """`again` before an instant, and never before EVER."""
    return max(instant, EVER + again) - again


def _chosen_wallets(warehouse: Warehouse, options: SyncOptions) -> tuple[wallets.WalletChange, list[str]]:
    only = [wallets.check_wallet(text, "--wallet") for text in options.only]
    present = warehouse.followed_wallets()
    change = wallets.plan_change(present, options.wallets_file, options.allow_shrink)
    followed = sorted({wallet.wallet_address for wallet in present} - set(change.removed) | set(change.added))
    return change, _filtered(followed, only)


def chosen_followed(warehouse: Warehouse, only: Sequence[str]) -> list[str]:
    """The followed wallets, or those of `only`.

    Raises:
        UsageError: nobody is followed, or one of `only` is no address or not followed.
    """
    named = [wallets.check_wallet(text, "--wallet") for text in only]
    return _filtered(sorted(wallet.wallet_address for wallet in warehouse.followed_wallets()), named)


def _filtered(followed: list[str], only: list[str]) -> list[str]:
    for wallet in only:
        if wallet not in followed:
            raise UsageError(
                f"The wallet {wallet} is not followed, and --wallet only filters. Add it to seeds/wallets.csv or to "
                "the file of --wallets."
            )
    if not followed:
        raise UsageError(
            "No wallet is followed. Put addresses into seeds/wallets.csv, one a line below its header, or name a file "
            "with --wallets FILE."
        )
    return list(dict.fromkeys(only)) or followed


def _end(settings: Settings, until: datetime | None) -> datetime:
    latest = utc_now() - timedelta(minutes=settings.settle_lag_minutes)
    return min(until, latest) if until else latest


def past_window(settings: Settings, start: datetime | None, end: datetime | None) -> Window:
    """The window that was asked for, as far as it is past: up to now less settle_lag_minutes.

    Raises:
        UsageError: nothing is left of it.
    """
    window = Window(start, _end(settings, end))
    if window.begins >= window.end:
        raise UsageError(
            f"The window from {window.begins.isoformat()} to {window.end.isoformat()} is empty: --from must be before "
            f"--to, and both before now less settle_lag_minutes. There are no fills before {EVER:%Y-%m-%d}."
        )
    return window


@dataclass(frozen=True)
class BackfillOptions:
    """What `backfill` was asked for. `gaps`: the holes of the coverage ledger, whatever the window.

    `public_logs`: of BigQuery's public table, whose partitions are months, so that slices are.
    """

    start: datetime | None = None
    end: datetime | None = None
    only: Sequence[str] = ()
    again: bool = False
    gaps: bool = False
    slice_days: int = 90
    max_requests: int | None = None
    public_logs: bool = False


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill does: its slices, oldest first, each with the windows that are still to be fetched.

    `wanted` and `covered` are in wallet-seconds: all that was asked for, and what of it is there already.
    """

    window: Window
    wallets: list[str]
    slices: list[tuple[Window, list[Task]]]
    wanted: float
    covered: float

    @property
    def tasks(self) -> list[Task]:
        """The windows of all slices."""
        return [task for _, tasks in self.slices for task in tasks]


def plan_backfill(settings: Settings, warehouse: Warehouse, options: BackfillOptions) -> BackfillPlan:
    """What of the window nobody has fetched, slice by slice and wallet by wallet.

    What is covered is left out, so the same command goes on where it was stopped; with `again` it is asked once more.
    With `gaps` the windows of which the API declared more records than came follow, each as it was asked for.

    Raises:
        UsageError: the window is empty or in the future, no wallet is followed, or a filter names one that is not.
    """
    chosen = chosen_followed(warehouse, options.only)
    target = past_window(settings, options.start, options.end)
    end = target.end
    # What was left out with --since is fetched when somebody asks for it here, and is no gap.
    coverage = covered_windows(settings, warehouse, with_skipped=options.gaps)
    wanted = covered = 0.0
    missing: list[Task] = []
    for wallet in chosen:
        known = coverage.get(wallet, [])
        asked = target
        if known and (options.gaps or options.end is None):
            asked = Window(options.start, min(end, known[-1].end))  # from there on it is for sync
        elif options.gaps:
            continue
        left = [asked] if options.again else holes(asked, known)
        wanted += asked.length.total_seconds()
        covered += asked.length.total_seconds() - sum(hole.length.total_seconds() for hole in left)
        missing += [Task(wallet, hole, moves_checkpoint=False) for hole in left]
    short = _short(settings, warehouse, set(chosen)) if options.gaps else []
    cut = _cut(missing, options) if missing else []
    if short:
        wanted += sum(task.window.length.total_seconds() for task in short)
        cut.append((spanned(short), short))
    return BackfillPlan(target, chosen, cut, wanted, covered)


def _cut(missing: list[Task], options: BackfillOptions) -> list[tuple[Window, list[Task]]]:
    """The windows in slices of time."""
    whole = spanned(missing)
    cut = []
    for part in months(whole) if options.public_logs else slices(whole, timedelta(days=options.slice_days)):
        tasks = [
            Task(task.wallet, piece, moves_checkpoint=False)
            for task in missing
            if (piece := _within(task.window, part)) is not None
        ]
        if tasks:
            cut.append((part, tasks))
    return cut


def _short(settings: Settings, warehouse: Warehouse, chosen: set[str]) -> list[Task]:
    """What brought fewer records than the API said there are, when it was asked last; whole, to be compared again."""
    return [
        Task(row.wallet_address, Window(row.window_start, row.window_end), moves_checkpoint=False)
        for row in warehouse.differences([source_of(settings)])
        if row.is_short and row.wallet_address in chosen
    ]


def _within(window: Window, part: Window) -> Window | None:
    """What of `window` lies in `part`; the oldest piece of a window without a start has none either."""
    begins, end = max(window.begins, part.begins), min(window.end, part.end)
    if begins >= end:
        return None
    return Window(None if window.start is None and begins == window.begins else begins, end)
