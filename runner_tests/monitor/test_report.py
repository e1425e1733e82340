"""Promise: the report is one file that loads nothing, runs nothing, and whose every text is only text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runner.monitor import report
from runner_tests.monitor.sample import HOSTILE, sample


class Page(HTMLParser):
    """Tags and ids of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keeps a text."""
        self.words.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A report of good nights and one of bad ones."""
    folder = tmp_path_factory.mktemp("reports")
    made = {}
    for is_good in (True, False):
        status, history, incidents = sample(is_good)
        made[is_good], _ = report.write(folder / f"{is_good}.html", status, history, incidents, 60)
    return made


def test_the_report_is_self_contained_small_and_harmless(pages: dict[bool, Path]) -> None:
    for is_good, file in pages.items():
        text = file.read_text()
        page = Page(text)
        assert file.stat().st_size < 1_000_000
        assert {"script", "img", "link", "iframe", "object", "a"} & set(page.tags) == set()
        assert [name for name, _ in page.attributes if name.startswith("on")] == []
        addresses = {value for name, value in page.attributes if name in ("src", "href", "xlink:href")}
        assert addresses <= {f"#{value}" for name, value in page.attributes if name == "id"}
        ids = [value for name, value in page.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        assert page.tags.count("style") == 1
        assert "default-src 'none'" in text
        assert page.tags.count("figure") == 8
        assert page.tags.count("svg") == 16
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b]", text)
        assert "A" * 300 not in text
        said = "".join(page.words)
        if not is_good:
            assert all(harm in said for harm in HOSTILE[:2])
            assert "14 keys stand in trades" in said
        beside = json.loads(file.with_suffix(".json").read_text())
        assert beside["status"]["verdict"] == ("OK" if is_good else "FAIL")
        assert len(beside["fills_per_day"]) == 60


def test_chromium_shows_it_without_an_error_and_asks_for_nothing(pages: dict[bool, Path], tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    asked = tmp_path / "net.json"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={asked}", "--enable-logging=stderr"]
    command += ["--dump-dom", pages[False].as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "CONSOLE" not in done.stderr
    dom = Page(done.stdout)
    assert dom.tags.count("svg") == 16
    assert "script" not in dom.tags
    urls = set(re.findall(r'"url":"(https?:[^"]+)"', asked.read_text()))
    assert {url for url in urls if "google" not in url} == set()  # the browser's own, not the page's
