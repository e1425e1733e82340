"""A fill whose order hash nobody knows, through dbt itself: on the first build, on a merge, under both policies."""

from __future__ import annotations

import pytest

from runner_tests.support import ONLY_FILLS, Home, order


@pytest.mark.duckdb_first("test_what_is_one_fill.py says it of both")
@pytest.mark.parametrize(("policy", "quality"), [("distinct", "stand_in"), ("collapse", "collapsed")])
def test_it_is_one_row_however_often_it_comes_until_its_hash_is_known(home: Home, policy: str, quality: str) -> None:
    unknown = order(order_hash=None)
    with_policy = ("--vars", f"missing_order_hash: {policy}")

    home.land(unknown, unknown)
    home.dbt("build", "--exclude", "test_type:unit", *with_policy)
    assert home.query("select key_quality from trades") == [(quality,)]

    # The same fill as it came in another shape, and one of another size.
    home.land(order(order_hash=None, shares=None, title=None), order(order_hash="", taker="0x" + "e" * 40))
    home.dbt("build", *ONLY_FILLS, *with_policy)
    assert home.query("select key_quality, taker, title from trades") == [(quality, "0x" + "e" * 40, "A market")]

    home.land(order())
    home.dbt("build", *ONLY_FILLS, *with_policy)
    assert home.query("select key_quality, order_hash from trades") == [("exact", "0x" + "2" * 64)]
    assert home.query("select count(*) from fills") == [(1,)]
