"""Promise: an incident is opened, reminded with pauses, resolved once; no notifier fails a run or leaks a secret."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as old_form

from runner.monitor import channels, metrics
from runner.monitor.checks import Verdict, findings
from runner.monitor.incidents import due, message
from runner.monitor.status import Status
from runner.settings import load
from runner_tests.monitor.sample import AT, sample
from runner_tests.support import Home

SECRETS = {
    "POLYTRADES_ALERT_WEBHOOK_URL": "canary-webhook",
    "POLYTRADES_ALERT_SLACK_URL": "canary-slack",
    "POLYTRADES_PING_URL": "canary-ping",
    "POLYTRADES_SMTP_URL": "canary-mail",
    "POLYTRADES_DOME_API_KEY": "canary-key",
}


@contextmanager
def web() -> Iterator[tuple[str, list[tuple[str, str, Any]], list[int]]]:
    """A server that keeps (method, path, content) of what it is sent; it answers with the codes in a list, then 200."""
    got: list[tuple[str, str, Any]] = []
    codes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got.append((self.command, self.path, json.loads(body) if body else None))
            self.send_response(codes.pop(0) if codes else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", got, codes
        listening.shutdown()


class Mailbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Keeps a mail."""
        self.mails.append(envelope.content.decode())
        return "250 OK"


@contextmanager
def mail_server(mailbox: Mailbox) -> Iterator[Controller]:
    """An SMTP server that gives its mails to a mailbox; it may be stopped before the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    post = Controller(mailbox, hostname="127.0.0.1", port=port)
    post.start()
    yield post
    if not post.loop.is_closed():
        post.stop()


def on(day: int, is_good: bool) -> Status:
    """The status of a night."""
    status, _, _ = sample(is_good, wallets=3)
    checks = [row for row in status.checks if row.check_name != "run_failed"]
    return dataclasses.replace(status, taken_at=AT + timedelta(days=day), checks=checks, findings=findings(checks))


def test_three_bad_nights_and_a_good_one_are_opened_a_reminder_and_resolved() -> None:
    book: list[Any] = []
    told = []
    for day, is_good in enumerate((True, False, False, False, True, True)):
        newest = {event.incident_id: event for event in book}
        times = {name: sum(event.incident_id == name for event in book) for name in newest}
        known = [dataclasses.replace(event, times_told=times[name]) for name, event in newest.items()]
        events = due(on(day, is_good), known, Verdict.FAIL)
        book += events
        told.append([event.event for event in events])
    assert told == [[], ["opened"], ["reminded"], [], ["resolved"], []]
    # From WARN on there are three incidents, each once; what cannot be read is not resolved.
    assert len(due(on(1, False), [], Verdict.WARN)) == 3
    blind = dataclasses.replace(on(1, False), findings=[], monitored=type(on(1, False).monitored)())
    assert due(blind, due(on(0, False), [], Verdict.WARN), Verdict.WARN) == []


def test_alerts_reach_real_servers_and_a_dead_one_fails_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    mailbox = Mailbox()
    with web() as (url, got, codes), mail_server(mailbox) as post:
        home.variables |= {
            "POLYTRADES_ALERT_WEBHOOK_URL": f"{url}/canary-webhook",
            "POLYTRADES_ALERT_SLACK_URL": f"{url}/canary-slack",
            "POLYTRADES_PING_URL": f"{url}/canary-ping",
            "POLYTRADES_ALERT_EMAIL_TO": "oncall@example.com",
            "POLYTRADES_SMTP_URL": f"smtp://127.0.0.1:{post.port}/canary-mail",
            "POLYTRADES_DOME_API_KEY": "canary-key",
            "POLYTRADES_METRICS_FILE": str(tmp_path / "polytrades.prom"),
        }
        tested = home.polytrades("alerts", "--test-alert")
        assert [path for _, path, _ in got] == ["/canary-webhook", "/canary-slack"]
        assert len(mailbox.mails) == 1
        said = [tested]
        # The order API does not answer: the run fails, and is told.
        home.variables["POLYTRADES_DOME_BASE_URL"] = "http://127.0.0.1:9"
        home.variables["POLYTRADES_REQUEST_ATTEMPTS"] = "1"
        (tmp_path / "w.csv").write_text("0x" + "a" * 40 + "\n")
        said.append(home.polytrades("sync", "--wallets", "w.csv", check=False))
        assert said[-1].code == 1, said[-1].stderr
        posted = got[2][2]
        assert (posted["verdict"], [each["event"] for each in posted["incidents"]]) == ("FAIL", ["opened"] * 2)
        assert "ended with code 1" in posted["text"]
        assert "ended with code 1" in got[3][2]["text"]
        assert "polytrades FAIL: 2 opened" in mailbox.mails[1]
        assert "/canary-ping" not in [path for _, path, _ in got]
        # The same again is told nobody; a webhook that is broken says so and fails nothing.
        before = len(got)
        said.append(home.polytrades("alerts", "--send"))
        assert len(got) == before
        codes += [500] * 6
        post.stop()
        broken = home.polytrades("alerts", "--test-alert", check=False)
        said.append(broken)
        assert broken.code == 1
        assert broken.stderr.count("127.0.0.1 answered 500") == 2
        assert "the mail server 127.0.0.1 did not take it" in broken.stderr
        listed = home.polytrades("alerts", "--json")
        said.append(listed)
        assert {each["told"] for each in listed.json["incidents"]} == {"webhook, slack, e-mail"}
        text = (tmp_path / "polytrades.prom").read_text()
    everything = "".join(each.stdout + each.stderr for each in said) + text
    everything += json.dumps([str(row) for row in home.query("select * from state.runs")])
    everything += "".join(file.read_text(errors="replace") for file in tmp_path.rglob("*.json"))
    assert [secret for secret in SECRETS.values() if secret in everything] == []


def test_a_hostile_title_is_only_text_in_every_message_and_apprise_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _, _ = sample(False, wallets=3)
    calls_all = dataclasses.replace(bad.findings[0], check="z", reason="<!channel> <https://example.com|here> & more")
    bad = dataclasses.replace(bad, findings=[*bad.findings, calls_all])
    text = message(bad, due(bad, [], Verdict.WARN), "a test")
    mailbox = Mailbox()
    with web() as (url, got, _), mail_server(mailbox) as post:
        host = url.removeprefix("http://")
        mails = f"mailto://127.0.0.1:{post.port}?mode=insecure&from=a@example.com&to=b@example.com,c@example.com&format=html"
        monkeypatch.setenv("POLYTRADES_ALERT_SLACK_URL", f"{url}/slack")
        monkeypatch.setenv("POLYTRADES_ALERT_APPRISE_URLS", f"json://{host}/apprise, {mails}")
        monkeypatch.chdir(tmp_path)
        for _, send in channels.channels(load()):
            send(text)
    slack, apprise = (content for _, _, content in got)
    assert "&lt;!channel&gt; &lt;https://example.com|here&gt; &amp; more" in slack["text"]
    assert "<" not in slack["text"]
    assert (apprise["type"], apprise["title"]) == ("failure", text.subject)
    assert len(mailbox.mails) == 2  # the comma between b and c belongs to the address
    for mail in mailbox.mails:
        parts = email.message_from_string(mail, policy=email.policy.default).walk()
        page = next(part.get_content() for part in parts if part.get_content_type() == "text/html")
        assert "<script" not in page
        assert "<img" not in page
    for said in (slack["text"], apprise["message"]):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b]", said)
        assert "A" * 1000 not in said


def test_the_metrics_are_openmetrics_and_what_the_node_exporter_reads() -> None:
    status, _, _ = sample(False, wallets=3)
    text = metrics.as_text(status)
    for parse in (text_string_to_metric_families, old_form):
        families = {family.name: family for family in parse(text)}
        assert families["polytrades_verdict"].samples[0].value == 2
        judged = {sample.labels["check"]: sample.value for sample in families["polytrades_check_verdict"].samples}
        assert (judged["duplicate_keys"], judged["key_collisions"]) == (2, 0)
        assert families["polytrades_fills"].samples[0].value == 58_953_954


@pytest.mark.parametrize("address", ["http://example.com/hook", "ftp://example.com/hook", "https:///hook"])
def test_an_alert_does_not_leave_the_machine_in_the_clear(tmp_path: Path, address: str) -> None:
    home = Home(tmp_path, {"POLYTRADES_ALERT_WEBHOOK_URL": address})
    refused = home.polytrades("alerts", check=False)
    assert refused.code == 2
    assert "must start with https://" in refused.stderr
    assert address not in refused.stderr
