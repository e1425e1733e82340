"""The order API as one command uses it: one client, one pace and one budget, however many fetches."""

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from runner import failpoints
from runner.engine.build import Display
from runner.engine.fetch import Fetch, Fetched, Source, Task
from runner.engine.workers import Loop
from runner.landing.intake import Intake
from runner.settings import Settings
from runner.sources import orders
from runner.sources.http import Budget


class OrderApi:
    """A context manager. Between two fetches the pace goes on: slices of a backfill never make a burst together."""

    def __init__(self, settings: Settings, max_requests: int | None = None) -> None:
        self.budget = Budget(max_requests)
        self._settings = settings
        self._dialect = orders.dialect_of(settings)
        self._http = orders.client(settings, self.budget)
        self._loop = Loop()

    def __enter__(self) -> Self:
        self._loop.run(self._http.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.run(self._http.__aexit__(kind, error, trace))
        finally:
            self._loop.close()

    @property
    def has_given_up(self) -> bool:
        """The API does not answer any more, so nothing more is asked of it."""
        return self._http.has_given_up

    def fetch(self, intake: Intake, tasks: Sequence[Task], phase: str, display: Display) -> Fetched:
        """Runs the engine over the tasks.

        Raises:
            PolytradesError: as Fetch.run.
        """
        settings = self._settings
        source = Source(
            self._http,
            self._dialect,
            settings.orders_path or self._dialect.path,
            settings.page_size,
            settings.requests_in_flight,
        )
        lag = timedelta(minutes=settings.settle_lag_minutes)
        engine = Fetch(source, intake, lag, settings.history_requests_per_run)
        fetched = self._loop.run(
            engine.run(tasks, lambda done, total, records: display.progress(phase, done, total, f"{records:,} records"))
        )
        failpoints.passing("fills.landed")
        return fetched
