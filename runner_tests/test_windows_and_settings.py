"""Windows are half-open; settings have one order of precedence; a secret is never shown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import log
from runner import settings as runner_settings
from runner.errors import UsageError
from runner.records import EARLIEST
from runner.settings import SECRETS, Settings, load
from runner.windows import EVER, Window, askable, holes, months, parse_instant, slices, union, utc_now
from runner_tests.support import ROOT

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty folder with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POLYTRADES_{name.upper()}", raising=False)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def test_the_end_of_a_window_is_not_in_it_and_its_start_is() -> None:
    first = int(START.timestamp())
    assert Window(START, START + seconds(10)).inclusive_seconds() == (first, first + 9)
    assert Window(None, START).inclusive_seconds() == (None, first - 1)


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=10, unique=True).map(sorted))
def test_neighbouring_windows_share_no_second_and_leave_none_out(cuts: list[int]) -> None:
    instants = [START + seconds(cut) for cut in cuts]
    bounds = [Window(a, b).inclusive_seconds() for a, b in pairwise(instants)]
    for (_, last), (first, _) in pairwise(bounds):
        assert first == last + 1
    assert sum(last - (first or 0) + 1 for first, last in bounds) == cuts[-1] - cuts[0]


@pytest.mark.parametrize(("length", "askable"), [(-5, False), (0, False), (1, False), (2, True), (60, True)])
def test_a_window_of_one_second_cannot_be_asked_for(length: int, askable: bool) -> None:
    assert Window(START, START + seconds(length)).is_askable is askable
    assert Window(None, START).is_askable


def window(first: int | None, last: int) -> Window:
    return Window(None if first is None else START + seconds(first), START + seconds(last))


@st.composite
def some_windows(draw: st.DrawFn) -> list[Window]:
    pairs = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=8))
    found = [window(first, first + length) for first, length in pairs]
    return found + [window(None, draw(st.integers(-5, 10)))] * draw(st.integers(0, 1))


def instants(windows: list[Window]) -> set[int]:
    """The seconds from -10 to 60 that lie in one of the windows."""
    return {n for n in range(-10, 60) if any(w.begins <= START + seconds(n) < w.end for w in windows)}


@given(some_windows(), st.integers(0, 30), st.integers(1, 25), st.booleans())
def test_holes_and_what_is_covered_tile_the_target(
    covered: list[Window], first: int, length: int, since_ever: bool
) -> None:
    target = window(None if since_ever else first, first + length)
    left = holes(target, covered)
    assert instants(left) == instants([target]) - instants(covered)
    assert all(earlier.end < later.begins for earlier, later in pairwise(left)), "holes do not touch"
    assert union(left) == left
    if left and left[0].begins == target.begins:
        assert left[0].start == target.start


@given(some_windows())
def test_a_union_holds_the_same_instants_in_windows_that_do_not_touch(windows: list[Window]) -> None:
    joined = union(windows)
    assert instants(joined) == instants(windows)
    assert all(earlier.end < later.begins for earlier, later in pairwise(joined))
    assert union(reversed(joined)) == joined


@given(st.integers(1, 500), st.integers(1, 200))
def test_slices_tile_a_window(length: int, size: int) -> None:
    cut = list(slices(window(0, length), seconds(size)))
    assert (cut[0].start, cut[-1].end) == (START, START + seconds(length))
    assert all(earlier.end == later.start for earlier, later in pairwise(cut))
    assert all(piece.length <= seconds(size) for piece in cut)


@given(st.integers(0, 250_000_000), st.integers(1, 100_000_000))
def test_months_tile_a_window_and_none_reaches_into_another(first: int, length: int) -> None:
    whole = window(first, first + length)
    cut = list(months(whole))
    assert (cut[0].start, cut[-1].end) == (whole.start, whole.end)
    assert all(earlier.end == later.start for earlier, later in pairwise(cut))
    assert all(part.begins.strftime("%Y%m") == (part.end - timedelta.resolution).strftime("%Y%m") for part in cut)


def test_nothing_is_asked_for_before_the_first_instant_that_a_record_may_have() -> None:
    assert EVER == EARLIEST


def test_a_window_of_one_second_is_asked_for_with_the_second_before() -> None:
    assert askable(window(10, 11)) == window(9, 11)
    assert askable(window(10, 12)) == window(10, 12)
    assert askable(window(None, 12)) == window(None, 12)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-01", START),
        ("2026-01-01T00:00:00Z", START),
        ("2026-01-01T02:00:00+02:00", START),
        ("2026-01-01 00:00", START),
        ("2026-01-01T00:00:00.999999Z", START),
    ],
)
def test_an_instant_without_a_zone_is_utc(text: str, instant: datetime) -> None:
    parsed = parse_instant(text)
    assert parsed == instant
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-02-30", "1767225600", "31.01.2026", "0001-01-01T00:00:00+05:00"]
)
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no date or time\. Write 2026-01-31"):
        parse_instant(text)


def test_now_is_a_whole_second_in_utc() -> None:
    now = utc_now()
    assert (now.microsecond, now.tzinfo) == (0, UTC)


def test_a_flag_wins_over_the_environment_the_environment_over_the_file_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load().page_size == 1000
    Path("polytrades.toml").write_text("page_size = 10\noverlap_hours = 1.5\n")
    assert load().page_size == 10
    monkeypatch.setenv("POLYTRADES_PAGE_SIZE", "20")
    assert load().page_size == 20
    assert load(page_size=30).page_size == 30
    assert load(page_size=None).page_size == 20
    assert load().overlap_hours == 1.5


def test_the_names_that_scripts_rely_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load().duckdb_file == tmp_path / "polytrades.duckdb"
    given_values = {
        "POLYTRADES_DUCKDB_PATH": "below/x.duckdb",
        "POLYTRADES_DOME_BASE_URL": "http://127.0.0.1:1/v1/",
        "POLYTRADES_DOME_API_KEY": KEY,
        "POLYTRADES_GAMMA_BASE_URL": "https://gamma.example//",
        "POLYTRADES_TARGET": "other",
    }
    for name, value in given_values.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.duckdb_file == tmp_path / "below" / "x.duckdb"
    assert settings.dome_base_url == "http://127.0.0.1:1/v1"
    assert settings.gamma_base_url == "https://gamma.example"
    assert settings.dome_api_key is not None
    assert settings.dome_api_key.get_secret_value() == KEY
    assert settings.target == "other"


def test_an_unknown_setting_in_the_file_is_refused_by_name() -> None:
    Path("polytrades.toml").write_text("page_sise = 10\n")
    with pytest.raises(UsageError, match=r"polytrades\.toml has an unknown setting page_sise"):
        load()


@pytest.mark.parametrize("line", [f'dome_api_key = "{KEY}"', f'DOME_API_KEY = "{KEY}"', f'[dome_api_key]\nx="{KEY}"'])
def test_a_secret_in_the_file_is_refused_and_not_repeated(line: str) -> None:
    Path("polytrades.toml").write_text(line + "\n")
    with pytest.raises(UsageError, match=r"(?i)dome_api_key") as caught:
        load()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", [b"page_size = \n", b"\xff\xfe", b"page_size = 1\npage_size = 2\n"])
def test_a_file_that_is_no_toml_is_refused_by_name(content: bytes) -> None:
    Path("polytrades.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"polytrades\.toml cannot be read"):
        load()


BAD = {
    "page_size": ["0", "1001", "ten", "1.5"],
    "overlap_hours": ["-1", "six", "1e300"],
    "settle_lag_minutes": ["-1"],
    "requests_per_second": ["0", "-1"],
    "requests_in_flight": ["0", "1001"],
    "request_attempts": ["0"],
    "batch_rows": ["0"],
    "max_rejected_share": ["-0.1", "1.1"],
    "lock_wait_seconds": ["-1"],
    "dome_base_url": ["api.example", "ftp://x", ""],
    "gamma_base_url": ["file:///etc/passwd"],
    "gamma_lists": ["newest"],
    "metadata_requests": ["49"],
    "winner_wait_days": ["-1"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_with_the_setting_the_value_and_the_places_looked_at(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"POLYTRADES_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"The setting {name} is {value!r}: ")
    assert variable in message
    assert "polytrades.toml" in message
    assert "pydantic" not in message
    assert "\n" not in message


def test_numbers_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("requests_per_second", "overlap_hours", "max_rejected_share", "lock_wait_seconds"):
        for value in ("nan", "inf"):
            monkeypatch.setenv(f"POLYTRADES_{name.upper()}", value)
            with pytest.raises(UsageError, match=name):
                load()
        monkeypatch.delenv(f"POLYTRADES_{name.upper()}")


def test_a_key_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTRADES_DOME_API_KEY", KEY)
    settings = load()
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert KEY not in text


def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTRADES_DOME_API_KEY", "")
    assert not load().dome_api_key


def test_a_loaded_key_is_replaced_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTRADES_DOME_API_KEY", KEY)
    load()
    assert log.redacted(f"Authorization: Bearer {KEY}!") == "Authorization: Bearer ***!"
    log.hide("")
    assert log.redacted("nothing") == "nothing"


def test_a_key_is_in_no_line_of_the_log_and_the_log_is_json_on_stderr() -> None:
    program = f"""
from runner import log
log.hide({KEY!r})
log.configure()
log.get().warning("told {KEY}", text="x{KEY}x", many=[{KEY!r}], nested={{"a": ({KEY!r},)}},
                  error=ValueError({KEY!r}), data={KEY!r}.encode(), number=5)
log.get().info("not shown")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert KEY not in line
    event = json.loads(line)
    assert (event["event"], event["text"], event["number"]) == ("told ***", "x***x", 5)
    assert event["level"] == "warning"


def test_every_setting_is_described_and_secrets_are_among_them() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
    assert set(SECRETS) <= Settings.model_fields.keys()


def test_the_example_file_that_messages_point_to_is_there_and_can_be_loaded() -> None:
    lines = (ROOT / "polytrades.example.toml").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines if re.match(r"# [a-z_]+ = ", line))
    assert tomllib.loads(text).keys() == Settings.model_fields.keys() - set(SECRETS)
    runner_settings.SETTINGS_FILE.write_text(text)
    from_example = load()
    runner_settings.SETTINGS_FILE.unlink()
    assert from_example == load(), "it shows the defaults"


@pytest.mark.parametrize("name", ["POLYTRADES_DOME_APIKEY", "POLYTRADES_PAGESIZE", "polytrades_daily_byte_budget"])
def test_a_misspelt_variable_is_not_ignored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UsageError, match=f"{name} is set, and nothing reads it. Did you mean POLYTRADES_"):
        load()


@pytest.mark.parametrize("name", ["POLYTRADES_BIGQUERY_KEYFILE", "POLYTRADES_FAULT", "POLYTRADES_OF_MINE"])
def test_a_variable_of_somebody_else_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert load().target == "duckdb"
