"""Promise: landed + rejected = received, whatever comes; what is bad is kept as it came, and costs the good nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.landing.intake import Intake
from runner.records import RULES
from runner.settings import load as load_settings
from runner.warehouse.connect import connect
from runner_tests.chaos.malformed import bad, odd
from runner_tests.chaos.tally import record, seed, tally
from runner_tests.chaos.upstream import Lander
from runner_tests.support import TARGETS, Home, HttpAnswer, home_on, order, server

BAD, GOOD = 10_000, 2_500
REQUIRED = ("wallet_address", "tx_hash", "traded_at", "side", "token_id", "price", "shares_normalized")


@dataclass(frozen=True)
class Mixed:
    """Good and bad records in one stream, in an order made from the seed."""

    bad: list[bytes]
    good: dict[str, bytes]
    stream: list[bytes]


def mixed(seed: int) -> Mixed:
    """As many as are promised."""
    malformed, sound = list(bad(seed, BAD)), dict(odd(BAD, GOOD))
    assert len(set(malformed)) == BAD
    stream = [*malformed, *sound.values()]
    random.Random(seed).shuffle(stream)
    return Mixed(malformed, sound, stream)


def check(home: Home, sent: Mixed) -> None:
    """All that was good stands in landing, without a hole; all that was bad is kept, word for word, with a reason."""
    rows = home.query(f"select tx_hash, {', '.join(REQUIRED)} from landing.trades")
    assert Counter(tx_hash for tx_hash, *_ in rows) == Counter(sent.good.keys())
    assert not [row for row in rows if None in row]
    kept = home.query("select record, reason, detail from landing.rejected_records")
    assert Counter(text for text, _, _ in kept) == Counter(raw.decode() for raw in sent.bad)
    assert {reason for _, reason, _ in kept} <= RULES.keys()
    assert all(detail for _, _, detail in kept)


def pages(stream: list[bytes], size: int) -> Iterator[bytes]:
    """The stream as pages with cursors."""
    for start in range(0, len(stream), size):
        more = {"has_more": start + size < len(stream), "pagination_key": str(start + size)}
        records = b", ".join(stream[start : start + size])
        yield b'{"orders": [' + records + b'], "pagination": ' + json.dumps(more).encode() + b"}"


def test_of_ten_thousand_malformed_records_none_is_lost_and_none_gets_in(alone: Home) -> None:
    sent = mixed(1)
    answers = {str(number * 1000): body for number, body in enumerate(pages(sent.stream, 1000))}

    def answer(_path: str, query: dict[str, str]) -> HttpAnswer:
        return 200, {"Content-Type": "application/json"}, answers[query.get("pagination_key", "0")]

    wallets = alone.folder / "wallets.csv"
    wallets.write_text(order()["user"] + "\n")
    lander = Lander(alone, wallets)
    with server(answer) as (url, _):
        outcome = lander.run(url, page_size=1000, batch_rows=3000)
        assert not outcome.error and not outcome.fetched.failures
        counts = outcome.counts
        assert (counts.received, counts.landed, counts.rejected) == (BAD + GOOD, GOOD, BAD)
        check(alone, sent)
        # The same night once more: the rows land again in other batches or not at all, what is bad is kept once.
        again = lander.run(url, again=True, page_size=1000, batch_rows=3000).counts
        assert (again.received, again.landed + again.landed_before, again.rejected) == (BAD + GOOD, GOOD, BAD)
        check(alone, sent)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", TARGETS)
def test_so_it_is_with_other_seeds_and_on_every_target(
    place: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = seed()
    sent = mixed(chosen)
    home = home_on(place, tmp_path, request)
    for name, value in home.place.items():
        monkeypatch.setenv(name, value)
    warehouse = connect(load_settings(target=place))
    warehouse.prepare()
    with Intake(warehouse, "dome", tmp_path / "spool", "test", batch_rows=5000) as intake:
        intake.add(sent.stream, order()["user"], "test")
        intake.flush()
        counts = intake.counts
    assert (counts.received, counts.landed, counts.rejected) == (BAD + GOOD, GOOD, BAD)
    check(home, sent)
    before = tally("malformed").get(place, {})
    added = {
        "malformed": before.get("malformed", 0) + BAD,
        "sound": before.get("sound", 0) + GOOD,
        "lost_or_let_in": 0,
        "seeds": sorted({*before.get("seeds", []), chosen}),
    }
    record("malformed", tally("malformed") | {place: added})
