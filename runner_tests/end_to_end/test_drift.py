"""Promise: an upstream that changes its records is noticed, and nothing becomes NULL without a word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from runner_tests.support import UNTIL, Home, Running

DRIFTS = (
    "add",
    "missing:title",
    "rename:market_slug",
    "retype:title",
    "retype:timestamp",
    "missing:price",
    "missing:log_index",
    "missing:shares",
)


@pytest.mark.duckdb_only("what a record may look like is decided before any warehouse")
def test_a_field_that_comes_goes_or_changes_is_named(home: Home, start: Callable[..., Running]) -> None:
    wallets = home.folder / "wallets.csv"
    faults = [part for n, drift in enumerate(DRIFTS, 1) for part in ("--fault", f"drift:{drift}@/orders#{n}")]
    world = ("--wallets", len(DRIFTS), "--fills", 120, "--until", UNTIL)
    home.uses(start(*world, "--write-wallets", wallets, *faults))
    # One request after the other: the n-th wallet meets the n-th drift.
    home.variables |= {"POLYTRADES_REQUESTS_IN_FLIGHT": "1"}
    done = home.polytrades("sync", "--wallets", wallets, "--json", check=False)
    assert done.code == 4, "more was rejected than a good night rejects"
    summary = done.json

    assert summary["records_received"] == 120
    assert summary["records_landed"] + summary["records_rejected"] == 120
    # A price is demanded, a title must be text; a timestamp as text is read like a number.
    assert summary["rejected_by_reason"].keys() == {"bad_text", "missing_price"}
    assert summary["missing_fields"].keys() >= {"title", "market_slug", "shares"}
    assert summary["retyped_fields"].keys() == {"title", "timestamp"}
    assert "added_lately" in summary["unknown_fields"]
    assert any("slug" in name for name in summary["unknown_fields"])
    said = " ".join(summary["messages"])
    lacking, retyped = (next(m for m in summary["messages"] if words in m) for words in ("some lack", "another type"))
    for name in ("title", "market_slug", "log_index", "shares"):
        assert f"{name} (" in lacking
    for name in ("title", "timestamp"):
        assert f"{name} (" in retyped
    for name in summary["unknown_fields"]:
        assert f"{name} (" in said
    assert "taker (" not in said, "some records have the older form; that is no change"

    # What was renamed is kept, and the markets, which are healthy, complete what is missing.
    rows = home.query("select title is null or market_slug is null, completed_from, extra_fields from trades")
    assert len(rows) == summary["records_landed"]
    assert not any(lacks for lacks, _, _ in rows)
    completed = Counter(part.partition("=")[0] for _, origin, _ in rows if origin for part in origin.split(";") if part)
    assert completed["title"] == summary["missing_fields"]["title"]
    assert completed["market_slug"] == summary["missing_fields"]["market_slug"]
    kept = Counter(name for _, _, extra in rows if extra for name in json.loads(extra))
    assert kept == summary["unknown_fields"]
