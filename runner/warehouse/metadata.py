"""Which markets and events are asked for, and when they were asked for last."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from runner.warehouse.protocol import Wanted
from runner.warehouse.statements import Statements
from runner.windows import utc_now

_NAMES_PER_STATEMENT = 50_000
"""Of 66 characters each: a request to BigQuery may have 10 MB."""


class Metadata(Statements):
    """Reads keys, states and times of the marts and of what landing still holds, never a payload."""

    def conditions_to_fetch(self, closed_since: datetime) -> list[Wanted]:
        """See Warehouse. Known is what stands in `markets`: what has only landed may never be merged."""
        landed = (
            f"select distinct condition_id from {self._landing('trades')} "
            "where landed_on >= @since and condition_id is not null"
        )
        if self._has_mart("awaiting_metadata"):
            landed += (
                f" union distinct select condition_id from {self._mart('awaiting_metadata')} "
                "where condition_id is not null"
            )
        wanted = f"select condition_id as name, true as is_new from ({landed}) as landed"
        times = {}
        if self._has_mart("markets"):
            mart = self._mart("markets")
            times = {"closed_since": closed_since}
            wanted = (
                f"select landed.condition_id as name, true as is_new from ({landed}) as landed "
                f"left join {mart} as known on landed.condition_id = known.condition_id "
                "where known.condition_id is null "
                f"union all select condition_id as name, false as is_new from {mart} where status = 'closed' "
                "and winning_id is null and winning_label is null "
                "and coalesce(close_time, completed_time, as_of) >= @closed_since "
                f"union all select condition_id as name, false as is_new from {mart} "
                "where coalesce(status, 'open') <> 'closed'"
            )
        rows = self._query(
            "conditions_to_fetch",
            self._with_time_asked(wanted),
            kind="markets",
            since=self._landing_begins(),
            **times,
        )
        return [Wanted(*row) for row in rows]

    def tokens_to_fetch(self) -> list[Wanted]:
        """See Warehouse."""
        wanted = (
            f"select distinct token_id from {self._landing('trades')} "
            "where landed_on >= @since and condition_id is null and token_id is not null"
        )
        if self._has_mart("awaiting_metadata"):
            wanted += (
                f" union distinct select token_id from {self._mart('awaiting_metadata')} where condition_id is null"
            )
        if self._has_mart("markets"):
            mart = self._mart("markets")
            known = (
                f"select side_a_id as token_id from {mart} where side_a_id is not null "
                f"union distinct select side_b_id as token_id from {mart} where side_b_id is not null"
            )
            wanted = (
                f"select wanted.token_id from ({wanted}) as wanted left join ({known}) as known "
                "on wanted.token_id = known.token_id where known.token_id is null"
            )
        rows = self._query(
            "tokens_to_fetch",
            self._with_time_asked(f"select token_id as name, true as is_new from ({wanted}) as tokens"),
            kind="tokens",
            since=self._landing_begins(),
        )
        return [Wanted(*row) for row in rows]

    def events_to_fetch(self, slugs: Iterable[str]) -> list[Wanted]:
        """See Warehouse."""
        named = f"select slug from {self._each('slugs', 'slug')}"
        if self._has_mart("markets"):
            named += f" union distinct select event_slug as slug from {self._mart('markets')}"
        wanted = f"select distinct slug as name, true as is_new from ({named}) as named where slug is not null"
        if self._has_mart("events"):
            mart = self._mart("events")
            wanted = (
                f"select distinct named.slug as name, true as is_new from ({named}) as named left join {mart} as known "
                "on named.slug = known.event_slug where named.slug is not null and known.event_slug is null "
                f"union all select event_slug as name, false as is_new from {mart} "
                "where coalesce(status, 'open') <> 'closed'"
            )
        rows = self._query(
            "events_to_fetch",
            self._with_time_asked(wanted),
            kind="events",
            since=self._landing_begins(),
            slugs=sorted(slugs),
        )
        return [Wanted(*row) for row in rows]

    def _with_time_asked(self, wanted: str) -> str:
        return (
            f"select wanted.name, wanted.is_new, asked.asked_at from ({wanted}) as wanted left join "
            f"(select name, max(asked_at) as asked_at from {self._state('metadata_asked')} "
            "where kind = @kind and asked_on >= @since group by name) as asked on wanted.name = asked.name"
        )

    def note_asked(self, kind: str, names: Sequence[str], at: datetime) -> None:
        """See Warehouse."""
        table = self._state("metadata_asked")
        for start in range(0, len(names), _NAMES_PER_STATEMENT):
            self._execute(
                "note_asked",
                f"insert into {table} (kind, name, asked_at, asked_on) "
                f"select @kind, given.name, @at, @on from (select name from {self._each('names', 'name')}) as given "
                f"left join (select name from {table} "
                "where kind = @kind and asked_on = @on and asked_at = @at) as known "
                "on given.name = known.name where known.name is null",
                kind=kind,
                names=list(names[start : start + _NAMES_PER_STATEMENT]),
                at=at,
                on=at.date(),
            )
        # Whole days and nothing else, so that it costs nothing on BigQuery.
        self._execute("forget_asked", f"delete from {table} where asked_on < @before", before=self._landing_begins())

    def _landing_begins(self) -> date:
        """Older days are emptied once they are merged; a day more, because the days turn while we work."""
        return (utc_now() - timedelta(days=self._settings.landing_retention_days + 1)).date()
