"""The catalogue of a synthetic world: events and their binary markets, derived from a seed.

Four kinds of event cover what the upstream serves: a single yes/no question, a neg-risk event with one market per
answer, a sports game with several lines, and a daily up-or-down question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

from simulator.digest import Digest

DAY = 86_400
HOUR = 3_600

_TEAMS = (
    ("Hawks", "atl"), ("Celtics", "bos"), ("Hornets", "cha"), ("Bulls", "chi"), ("Mavericks", "dal"),
    ("Nuggets", "den"), ("Pistons", "det"), ("Warriors", "gsw"), ("Rockets", "hou"), ("Lakers", "lal"),
    ("Heat", "mia"), ("Knicks", "nyk"),
)  # fmt: skip
_NAMES = (
    "Ada Moreau", "Benedikt Olsen", "Carla Nuñez", "Dmitri Halvorsen", "Esther \"Essie\" Quaye", "Farid Lindqvist",
    "Greta O'Malley", "Hideo Tanaka", "Ines Duarte", "Jonas Weiß", "Kofi Adeyemi", "Leila Haddad",
)  # fmt: skip
_OFFICES = ("Mayor of Northport", "Governor of Westland", "Party Leader", "Best Actress", "Chair of the Board")
_QUESTIONS = (
    "Will the central bank cut rates by {month}?",
    "Will the ceasefire hold through {month}?",
    "Will it snow in Lisbon before {month}?",
    "Will the bill pass the senate by {month}?",
    "Will the rocket reach orbit by {month}?",
)
_ASSETS = (("Bitcoin", "bitcoin", 95_000.0), ("Ethereum", "ethereum", 3_200.0), ("Solana", "solana", 140.0))
_TAG_IDS = {
    "Sports": 1, "Politics": 2, "Crypto": 21, "Elections": 144, "World": 101_970, "NBA": 745, "Games": 100_639,
    "Crypto Prices": 1_312, "Up or Down": 102_127, "Economy": 100_328, "Weather": 84,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tag:
    """A category of an event; `slug` is the lower-case form that Dome-shaped records carry."""

    id: int
    label: str
    slug: str


@dataclass(frozen=True, slots=True)
class Event:
    """A group of markets. `first` and `count` address its markets in the catalogue's list."""

    number: int
    slug: str
    title: str
    tags: tuple[Tag, ...]
    opens: int
    ends: int
    neg_risk_id: str | None
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Market:
    """One binary market. Times are Unix seconds; `closes` and `winner` are None while it is open.

    `labels` is what market endpoints say about the two tokens, `order_labels` what order records say; they differ for
    some real markets ("Yes" against "Over"), so only the token id joins the two.
    """

    number: int
    event: int
    slug: str
    title: str
    group_title: str
    description: str
    source: str
    condition_id: str
    question_id: str
    tokens: tuple[str, str]
    labels: tuple[str, str]
    order_labels: tuple[str, str]
    opens: int
    ends: int
    has_end_date: bool
    closes: int | None
    winner: int | None
    game_starts: int | None
    neg_risk_id: str | None
    volume: float | None
    price_milli: int
    tick_milli: int
    in_gamma: bool
    price_to_beat: float | None


class Catalogue:
    """All events and markets of one world, in order of their numbers.

    At least `size` markets are made; `window` is the (start, end) of the fills in Unix seconds, and a market counts as
    closed when it closed before the window's end.
    """

    def __init__(self, seed: int, size: int, window: tuple[int, int]) -> None:
        """Build the catalogue. The first four events are one of each kind, so even the smallest world has them all."""
        self.events: list[Event] = []
        self.markets: list[Market] = []
        self._digest = Digest(seed)
        self._rng = Random(f"{seed}/markets")  # noqa: S311 - reproducible data, nothing secret
        self._lo, self._hi = window
        kinds: list[Callable[[], None]] = [self._question, self._neg_risk, self._game, self._up_or_down]
        for make in kinds:
            make()
        while len(self.markets) < size:
            self._rng.choices(kinds, weights=(30, 25, 30, 15))[0]()
        self.evergreen = [m.number for m in self.markets if m.closes is None and m.opens <= self._lo]

    def markets_of(self, event: Event) -> list[Market]:
        """Return the markets of `event`, in order."""
        return self.markets[event.first : event.first + event.count]

    def _question(self) -> None:
        rng, number = self._rng, len(self.events)
        opens = self._lo - rng.randrange(5, 200) * DAY
        ends = self._hi + rng.randrange(-10, 300) * DAY
        month = _date(ends).strftime("%B %Y")
        title = rng.choice(_QUESTIONS).format(month=month)
        slug = f"{_slug(title)}-{number}"
        # The very first market never closes: every moment of the window has something to trade.
        closes = self._moment(0.2, 1.0) if number and rng.random() < 0.25 else None
        tags = rng.choice((("Politics", "World"), ("Economy",), ("Weather", "World")))
        self._add_event(slug, title, tags, opens, ends)
        self._add_market(slug, title, "", ("Yes", "No"), opens, ends, closes)

    def _neg_risk(self) -> None:
        rng, number = self._rng, len(self.events)
        opens = self._lo - rng.randrange(20, 300) * DAY
        ends = self._hi + rng.randrange(-5, 200) * DAY
        office = rng.choice(_OFFICES)
        title = f"{office} {_date(ends).year}"
        slug = f"{_slug(title)}-{number}"
        names = rng.sample(_NAMES, rng.randrange(3, 9))
        decided = self._moment(0.3, 1.0) if rng.random() < 0.15 else None
        winner = rng.randrange(len(names))
        neg_risk_id = self._digest.hash32("neg-risk", number)
        self._add_event(slug, title, ("Politics", "Elections"), opens, ends, neg_risk_id)
        for place, name in enumerate(names):
            closes, side = decided, 0 if place == winner else 1
            if decided is None and place != winner and rng.random() < 0.2:
                closes = self._moment(0.1, 1.0)
            question = f"Will {name} be the next {office}?"
            self._add_market(
                f"{_slug(question)}-{number}", question, name, ("Yes", "No"), opens, ends, closes, won=side
            )

    def _game(self) -> None:
        rng = self._rng
        (home, h), (away, a) = rng.sample(_TEAMS, 2)
        starts = self._moment(0.0, 1.15) // 1_800 * 1_800
        opens = starts - 4 * DAY - rng.randrange(DAY)
        closes = starts + 3 * HOUR + rng.randrange(HOUR)
        slug = f"nba-{a}-{h}-{_date(starts):%Y-%m-%d}-{len(self.events)}"
        self._add_event(slug, f"{away} vs. {home}", ("Sports", "NBA", "Games"), opens, starts)
        total = rng.randrange(400, 480) / 2
        spread = rng.randrange(1, 24) - 0.5
        lines = [
            (slug, f"{away} vs. {home}", "", (away, home)),
            (f"{slug}-spread-home-{_points(spread)}", f"Spread: {home} (-{spread})", f"Spread -{spread}", (home, away)),
            (f"{slug}-total-{_points(total)}", f"{away} vs. {home}: O/U {total}", f"O/U {total}", ("Over", "Under")),
        ]
        for line_slug, title, group, sides in lines[: rng.randrange(1, 4)] if len(self.events) > 4 else lines:
            # Real order records say Over/Under for some markets that call the same two tokens Yes/No.
            labels = ("Yes", "No") if sides[0] == "Over" else sides
            self._add_market(
                line_slug, title, group, labels, opens, starts, closes if closes < self._hi else None,
                order_labels=sides, game_starts=starts, source="https://www.nba.com/",
            )  # fmt: skip

    def _up_or_down(self) -> None:
        rng = self._rng
        name, short, level = rng.choice(_ASSETS)
        first = not any(event.slug.find("-up-or-down-") > 0 for event in self.events)
        ends = self._moment(0.1, 0.9 if first else 1.05) // DAY * DAY + 17 * HOUR
        if first:
            ends = min(ends, self._hi - HOUR)
        closes = ends + rng.randrange(60, 900)
        slug = f"{short}-up-or-down-{_date(ends):%Y-%m-%d}-{len(self.events)}"
        title = f"{name} Up or Down on {_date(ends):%B} {_date(ends).day}?"
        self._add_event(slug, title, ("Up or Down", "Crypto Prices", "Crypto"), ends - 2 * DAY, ends)
        self._add_market(
            slug, title, "", ("Up", "Down"), ends - 2 * DAY, ends, closes if closes < self._hi else None,
            source=f"https://data.chain.link/streams/{short}-usd",
            price_to_beat=round(level * rng.uniform(0.8, 1.2), 2),
        )  # fmt: skip

    def _moment(self, low: float, high: float) -> int:
        span = self._hi - self._lo
        return self._lo + int(span * self._rng.uniform(low, high)) - 1

    def _add_event(
        self, slug: str, title: str, tags: tuple[str, ...], opens: int, ends: int, neg_risk_id: str | None = None
    ) -> None:
        made = tuple(Tag(_TAG_IDS[label], label, _slug(label)) for label in tags)
        first = len(self.markets)
        self.events.append(Event(len(self.events), slug, title, made, opens, ends, neg_risk_id, first, 0))

    def _add_market(
        self,
        slug: str,
        title: str,
        group_title: str,
        labels: tuple[str, str],
        opens: int,
        ends: int,
        closes: int | None,
        *,
        order_labels: tuple[str, str] | None = None,
        won: int | None = None,
        game_starts: int | None = None,
        source: str = "",
        price_to_beat: float | None = None,
    ) -> None:
        rng, number, event = self._rng, len(self.markets), self.events[-1]
        draw, lucky, side = rng.random(), rng.random(), rng.randrange(2)
        volume = round(rng.lognormvariate(9, 2), 6)
        price = rng.randrange(20, 980)
        fine = rng.random() < 0.3
        # A few closed markets are settled half and half: they have no winner.
        winner = None if closes is None or lucky < 0.05 else side if won is None else won
        tokens = (self._digest.token_id("token", number, 0), self._digest.token_id("token", number, 1))
        self.markets.append(
            Market(
                number=number,
                event=event.number,
                slug=slug,
                title=title,
                group_title=group_title,
                description=f'This market will resolve to "{labels[0]}" if so decided.\n\nOtherwise to "{labels[1]}".',
                source=source,
                condition_id=self._digest.hash32("condition", number),
                question_id=self._digest.hash32("question", number),
                tokens=tokens,
                labels=labels,
                order_labels=order_labels or labels,
                opens=opens,
                ends=ends,
                has_end_date=draw > 0.04,
                closes=closes,
                winner=winner,
                game_starts=game_starts,
                neg_risk_id=event.neg_risk_id,
                volume=volume if draw < 0.8 else None,
                price_milli=price if fine else price // 10 * 10,
                tick_milli=1 if fine else 10,
                in_gamma=number % 10 != 7,
                price_to_beat=price_to_beat,
            )
        )
        self.events[-1] = replace(event, count=event.count + 1)


def _date(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _slug(text: str) -> str:
    letters = (c if c.isascii() and c.isalnum() else " " for c in text.lower())
    return "-".join("".join(letters).split())


def _points(value: float) -> str:
    return f"{value:g}".replace(".", "pt")
