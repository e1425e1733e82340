"""A synthetic world: wallets and their fills, derived from a seed and made when first asked for.

Fills are kept as columns of numbers, about 42 bytes each; hashes and texts are derived again whenever a record is
rendered. A million fills therefore cost nothing at start and some 45 MB once every wallet was asked for.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import msgspec

from simulator.blocks import SECOND_EXCHANGE, block_of
from simulator.digest import Digest
from simulator.malformed import spoil
from simulator.markets import DAY, Catalogue, Market
from simulator.orders import Feed, Scope, narrowed
from simulator.rendered import Rendered

#: The exchanges, plain and neg-risk, until and from `SECOND_EXCHANGE` on: the `taker` of a row that was itself the
#: taker order.
EXCHANGES = ("0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e", "0xc5d563a36ae78145c45a50134d48a1215220f80a")
LATER_EXCHANGES = ("0xe111180000d2663c0091e4f400237545b87b996b", "0xe2222d279d744050d28e00520010520000310f59")

_SELL, _AGAINST_EXCHANGE, _OLD_SHAPE = 1, 2, 4
#: Marks a place (of a record) as one of the malformed, and a transaction number as one of the meetings.
_MALFORMED = _MEETING = 1 << 31
_JSON = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a world is made from.

    `until` is Unix seconds, exclusive; `malformed` is the number of damaged records to add, as a share of `fills`. Of
    each `twice_each` fills of a sitting one is of the order and in the transaction of the fill before (0: none).
    """

    seed: int = 7
    wallets: int = 5
    fills: int = 400
    days: int = 30
    until: int = 1_769_817_600
    malformed: float = 0.0
    twice_each: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """The fills of one wallet, oldest first. Amounts are in millionths (of a share, of a USDC), times in seconds."""

    time: array[int]
    log_index: array[int]
    outcome: array[int]
    shares: array[int]
    usdc: array[int]
    tx: array[int]
    order: array[int]
    flags: array[int]


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill with everything that its log has. Amounts in millionths."""

    at: int
    log_index: int
    wallet: str
    taker: str
    order_hash: str
    tx_hash: str
    outcome: int
    token_id: str
    shares: int
    usdc: int
    is_sell: bool


class World:
    """Wallets, markets and fills of one seed. Equal settings give byte-identical records."""

    def __init__(self, settings: Settings) -> None:
        """Lay out the world; fills of a wallet are generated when it is first read."""
        self.settings = settings
        self.window = (settings.until - settings.days * DAY, settings.until)
        self._digest = Digest(settings.seed)
        self.wallets = [self._digest.address("wallet", n) for n in range(settings.wallets)]
        self._number = {address: n for n, address in enumerate(self.wallets)}
        self.catalogue = Catalogue(settings.seed, max(12, min(4_000, settings.fills // 8)), self.window)
        self._sizes = _shares_of(settings.fills, settings.wallets, settings.seed)
        extra = round(settings.fills * settings.malformed)
        self._bad_sizes = _proportional(extra, self._sizes)
        # Moments at which several wallets may trade in one and the same transaction.
        self._meetings = max(8, settings.fills // 40)
        self._columns: dict[int, Columns] = {}
        self._narrowed = lru_cache(maxsize=64)(self._narrow)
        self._wallet_feed = lru_cache(maxsize=64)(self._make_wallet_feed)
        self._rendered: Rendered | None = None
        self._fragments: list[tuple[str, str] | None] = [None] * (2 * len(self.catalogue.markets))

    @property
    def size(self) -> int:
        """Number of well-formed fills over all wallets."""
        return self.settings.fills

    # -- what the order endpoint reads ---------------------------------------------------------------------------------

    def feed(self, scope: Scope) -> Feed:
        """Return the records that match `scope`: one wallet's, one market's, one token's, or everybody's."""
        if scope.has_market:
            return self._narrowed(scope)
        if scope.user is None:
            return self._everything
        number = self._number.get(scope.user)
        return Feed((), (), (), self.render) if number is None else self._wallet_feed(number)

    def render(self, ref: int) -> bytes:
        """Return the JSON text of one record; `ref` comes from a feed."""
        wallet, place = ref >> 32, ref & 0xFFFFFFFF
        if place & _MALFORMED:
            return self._render_malformed(wallet, place ^ _MALFORMED)
        if self._rendered is not None:
            return self._rendered.text(wallet, place)
        return self._render_sound(wallet, place)

    def prerender(self) -> None:
        """Render every well-formed fill now, so that serving it later costs next to nothing."""
        self._rendered = Rendered(
            (self._render_sound(wallet, place) for place in range(size)) for wallet, size in enumerate(self._sizes)
        )

    def _render_sound(self, wallet: int, place: int) -> bytes:
        return self._render(wallet, place, self._tx_hash(wallet, place))

    def _tx_hash(self, wallet: int, place: int) -> str:
        tx = self.columns(wallet).tx[place]
        name = ("meeting", tx) if tx & _MEETING else ("tx", wallet, tx)
        return self._digest.hash32(*name)

    # -- what the chain reads ------------------------------------------------------------------------------------------

    def numbers(self, wallets: list[str]) -> list[int]:
        """Return the numbers of those wallets that are in this world."""
        return [self._number[wallet] for wallet in wallets if wallet in self._number]

    def fill(self, wallet: int, place: int) -> Fill:
        """Return the well-formed fill at a place of a wallet, both by number."""
        columns = self.columns(wallet)
        outcome = columns.outcome[place]
        return Fill(
            at=columns.time[place],
            log_index=columns.log_index[place],
            wallet=self.wallets[wallet],
            taker=self._taker(wallet, place),
            order_hash=self._digest.hash32("order", wallet, columns.order[place]),
            tx_hash=self._tx_hash(wallet, place),
            outcome=outcome,
            token_id=self.catalogue.markets[outcome >> 1].tokens[outcome & 1],
            shares=columns.shares[place],
            usdc=columns.usdc[place],
            is_sell=bool(columns.flags[place] & _SELL),
        )

    def _taker(self, wallet: int, place: int) -> str:
        columns = self.columns(wallet)
        if columns.flags[place] & _AGAINST_EXCHANGE:
            return self.exchange_of(columns.outcome[place], columns.time[place])
        return self._digest.address("taker", wallet, place)

    def well_formed(self) -> Feed:
        """Return every fill that is not malformed, wallet by wallet: the oracle of the tests."""
        refs = [wallet << 32 | place for wallet, size in enumerate(self._sizes) for place in range(size)]
        return Feed((), (), refs, self.render)

    def malformed(self) -> Feed:
        """Return every malformed record, wallet by wallet."""
        refs = [w << 32 | _MALFORMED | place for w, size in enumerate(self._bad_sizes) for place in range(size)]
        return Feed((), (), refs, self.render)

    @cached_property
    def _everything(self) -> Feed:
        # One big integer per record sorts far faster than a tuple and holds the same order.
        keys: list[int] = []
        for number in range(len(self.wallets)):
            one = self._wallet_feed(number)
            keys.extend((t << 32 | tie) << 64 | ref for t, tie, ref in zip(one.times, one.ties, one.refs, strict=True))
        keys.sort()
        times = array("q", (key >> 96 for key in keys))
        ties = array("q", (key >> 64 & 0xFFFFFFFF for key in keys))
        return Feed(times, ties, array("q", (key & 0xFFFFFFFFFFFFFFFF for key in keys)), self.render)

    def _narrow(self, scope: Scope) -> Feed:
        wanted = {
            2 * market.number + side
            for market in self.catalogue.markets
            for side in (0, 1)
            if scope.market_slug == market.slug
            or scope.condition_id == market.condition_id
            or scope.token_id == market.tokens[side]
        }
        return narrowed(self.feed(Scope(user=scope.user)), lambda ref: self._outcome(ref) in wanted)

    def _make_wallet_feed(self, wallet: int) -> Feed:
        columns, start = self.columns(wallet), wallet << 32
        good = range(start, start + len(columns.time))
        count = self._bad_sizes[wallet]
        if not count:
            return Feed(columns.time, columns.log_index, good, self.render)
        rows = list(zip(columns.time, columns.log_index, good, strict=True))
        for place in range(count):
            tie = 500_000_000 + place * len(self.wallets) + wallet
            rows.append((columns.time[self._base(wallet, place)], tie, start | _MALFORMED | place))
        rows.sort()
        return Feed([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], self.render)

    def _outcome(self, ref: int) -> int:
        wallet, place = ref >> 32, ref & 0xFFFFFFFF
        if place & _MALFORMED:
            place = self._base(wallet, place ^ _MALFORMED)
        return self.columns(wallet).outcome[place]

    # -- generation ----------------------------------------------------------------------------------------------------

    def columns(self, wallet: int) -> Columns:
        """Return the fills of the wallet with this number, generating them on the first call."""
        made = self._columns.get(wallet)
        if made is None:
            made = self._columns[wallet] = self._generate(wallet, self._sizes[wallet])
        return made

    def _generate(self, wallet: int, size: int) -> Columns:
        rng = Random(f"{self.settings.seed}/fills/{wallet}")  # noqa: S311 - reproducible data, nothing secret
        bits_of, uniform = rng.getrandbits, rng.random
        low, high = self.window[0] + 2, self.window[1] - 2
        step = min(8, (high - low) // max(1, size))
        time, outcome, tx_of, order_of = array("q"), array("I"), array("I"), array("I")
        shares_of, usdc_of, flags_of = array("q"), array("q"), array("B")
        at, tx, order, evergreen = low, -1, -1, self.catalogue.evergreen
        # A wallet trades in sittings: some minutes in one market, then hours of nothing.
        sittings: list[int] = []
        left = size
        while left:
            sittings.append(min(left, 4 + bits_of(4)))
            left -= sittings[-1]
        begins = sorted(low + int(uniform() * (high - low)) for _ in sittings)
        for begin, length in zip(begins, sittings, strict=True):
            at = max(at, begin)
            meeting = self._meeting_after(at) if bits_of(2) == 0 else None
            if meeting is None:
                market = self._tradable(at, rng)
                tx += 1
                current = tx
            else:
                number, at = meeting
                market = self.catalogue.markets[evergreen[number % len(evergreen)]]
                current = _MEETING | number
            side, price, tick = bits_of(1), market.price_milli, market.tick_milli
            sell = bits_of(8) < 90
            order += 1
            for turn in range(length):
                bits = bits_of(64)
                if turn and self.settings.twice_each and len(time) % self.settings.twice_each == 0:
                    pass  # the same transaction fills the same order once more
                elif turn and bits & 7 == 0:
                    order += 1  # the same transaction fills another order of this wallet
                elif turn:
                    tx += 1
                    current = tx
                    at = min(high, at + (bits >> 3 & 15) * step // 8)
                    if bits >> 7 & 3 == 0:
                        order += 1
                        price = max(tick, min(1000 - tick, price + ((bits >> 9 & 7) - 3) * tick))
                lots, kind = 1 + (bits >> 12 & 0x3FF), bits >> 22 & 3
                shares = lots * (10_000 if kind == 2 else 1_000_000)
                flags = (_SELL if sell else 0) | (_OLD_SHAPE if bits >> 24 & 0xFF < 38 else 0)
                usdc = shares * price // 1000
                if bits >> 32 & 0xFF < 97:
                    flags |= _AGAINST_EXCHANGE
                elif bits >> 40 & 0xFF < 111:
                    # Filled against several counterparties: the amounts no longer divide to a tick.
                    shares += bits >> 48
                    usdc = shares * price // 1000 + 1
                time.append(at | 1 if at // DAY & 1 else at & -2)
                outcome.append(2 * market.number + side)
                shares_of.append(shares)
                usdc_of.append(usdc)
                tx_of.append(current)
                order_of.append(order)
                flags_of.append(flags)
        return Columns(time, self._log_indexes(wallet, time), outcome, shares_of, usdc_of, tx_of, order_of, flags_of)

    def _meeting_after(self, at: int) -> tuple[int, int] | None:
        """Return number and second of the first meeting not before `at`, None when the last is over."""
        low, high = self.window[0] + 2, self.window[1] - 2
        number = -(-(at - low) * self._meetings // (high - low))
        return (number, low + number * (high - low) // self._meetings) if number < self._meetings else None

    def _tradable(self, at: int, rng: Random) -> Market:
        markets = self.catalogue.markets
        for _ in range(6):
            market = markets[int(rng.random() ** 2 * len(markets))]
            if market.opens <= at and (market.closes is None or at < market.closes):
                return market
        return markets[rng.choice(self.catalogue.evergreen)]

    def _log_indexes(self, wallet: int, time: array[int]) -> array[int]:
        # Ranks are spread over the wallets, so no two records of one block share a log index.
        wallets, rank, last = len(self.wallets), 0, -1
        indexes = array("I")
        for at in time:
            rank = rank + 1 if at == last else 0
            last = at
            indexes.append(block_of(at) * 7_919 % 1_500 + rank * wallets + wallet)
        return indexes

    # -- rendering -----------------------------------------------------------------------------------------------------

    def _render(self, wallet: int, place: int, tx_hash: str) -> bytes:
        columns, digest = self.columns(wallet), self._digest
        flags, at = columns.flags[place], columns.time[place]
        shares, usdc, outcome = columns.shares[place], columns.usdc[place], columns.outcome[place]
        label, market = self._fragment(outcome)
        text = (
            f'{{"side":"{"SELL" if flags & _SELL else "BUY"}","user":"{self.wallets[wallet]}",'
            f'"price":{usdc / shares!r},"shares":{shares},"shares_normalized":{_normalized(shares)},'
            f'"timestamp":{at},{market},"tx_hash":"{tx_hash}",'
            f'"order_hash":"{digest.hash32("order", wallet, columns.order[place])}"'
        )
        if flags & _OLD_SHAPE:
            return f"{text}}}".encode()
        taker = self._taker(wallet, place)
        log_index = columns.log_index[place]
        return f'{text},{label},"taker":"{taker}","block_number":{block_of(at)},"log_index":{log_index}}}'.encode()

    def _fragment(self, outcome: int) -> tuple[str, str]:
        """Return the JSON members that all fills of one token share: the label alone, and the rest."""
        made = self._fragments[outcome]
        if made is None:
            market, side = self.catalogue.markets[outcome >> 1], outcome & 1
            rest = {
                "title": market.title,
                "token_id": market.tokens[side],
                "market_slug": market.slug,
                "condition_id": market.condition_id,
            }
            label = {"token_label": market.order_labels[side]}
            made = self._fragments[outcome] = (_members(label), _members(rest))
        return made

    def exchange_of(self, outcome: int, at: int) -> str:
        """Return the contract that fills orders of this outcome's market at second `at`."""
        neg_risk = self.catalogue.markets[outcome >> 1].neg_risk_id is not None
        return (LATER_EXCHANGES if at >= SECOND_EXCHANGE else EXCHANGES)[neg_risk]

    def _base(self, wallet: int, place: int) -> int:
        """Return which well-formed fill the malformed record with this place was made from."""
        return (place * 7_919 + 13) % self._sizes[wallet]

    def _render_malformed(self, wallet: int, place: int) -> bytes:
        tx_hash = self._digest.hash32("malformed", wallet, place)
        return spoil(self._render(wallet, self._base(wallet, place), tx_hash), wallet + place)


def _normalized(shares: int) -> str:
    whole, rest = divmod(shares, 1_000_000)
    return repr(shares / 1_000_000) if rest else str(whole)


def _members(values: dict[str, str]) -> str:
    return _JSON.encode(values).decode()[1:-1]


def _shares_of(fills: int, wallets: int, seed: int) -> list[int]:
    """Split `fills` over the wallets: a few trade much, most trade little, everybody at least once if possible."""
    rng = Random(f"{seed}/activity")  # noqa: S311 - reproducible data, nothing secret
    weights = [int(1_000 * min(200.0, rng.paretovariate(1.1))) for _ in range(wallets)]
    least = 1 if fills >= wallets else 0
    return [least + more for more in _proportional(fills - least * wallets, weights)]


def _proportional(total: int, weights: list[int]) -> list[int]:
    """Split `total` in proportion to `weights`, by whole numbers that add up exactly."""
    whole = sum(weights)
    parts, done, given = [], 0, 0
    for weight in weights:
        done += weight
        upto = total * done // whole if whole else 0
        parts.append(upto - given)
        given = upto
    return parts
