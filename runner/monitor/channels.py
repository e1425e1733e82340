"""Where messages go: webhook, Slack-shaped webhook, e-mail, and everything else through apprise.

An address is a secret: Slack's and others' carry their key in the path. Errors name the host alone.
"""

import asyncio
import importlib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import tenacity

from runner.monitor.checks import Verdict
from runner.monitor.incidents import Message
from runner.settings import Settings

_SECONDS = 15
_ATTEMPTS = 3


class NotTaken(Exception):
    """A channel did not take a message; `str()` says why, without the address."""


def channels(settings: Settings) -> Iterator[tuple[str, Callable[[Message], None]]]:
    """Name and sender of each channel that the settings name."""
    if settings.alert_webhook_url:
        url = settings.alert_webhook_url.get_secret_value()
        yield "webhook", lambda message: _request("POST", url, as_json(message))
    if settings.alert_slack_url:
        slack = settings.alert_slack_url.get_secret_value()
        yield "slack", lambda message: _request("POST", slack, as_slack(message))
    if settings.alert_email_to:
        yield "e-mail", lambda message: _mail(settings, message)
    if settings.alert_apprise_urls:
        urls = settings.alert_apprise_urls.get_secret_value()
        yield "apprise", lambda message: _apprise(urls, message)


def ping(settings: Settings) -> None:
    """Tells the dead man's switch that a night has been complete; nothing where there is none.

    Raises:
        NotTaken: it did not answer.
    """
    if settings.ping_url:
        _request("GET", settings.ping_url.get_secret_value(), None)


def as_json(message: Message) -> dict[str, Any]:
    """What the webhook gets."""
    return {
        "app": "polytrades",
        "verdict": message.verdict,
        "subject": message.subject,
        "text": message.text,
        "incidents": [
            {
                "id": event.incident_id,
                "check": event.check_name,
                "subject": event.subject,
                "event": event.event,
                "verdict": event.verdict,
                "reason": event.reason,
                "opened_at": event.opened_at.isoformat(),
                "happened_at": event.happened_at.isoformat(),
            }
            for event in message.events
        ],
    }


def as_slack(message: Message) -> dict[str, Any]:
    """What Slack gets: a title with <!channel> or a link in it must be text, and call nobody."""
    return {"text": message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _request(method: str, url: str, content: dict[str, Any] | None) -> None:
    """One request, tried again where that may help; no redirect is followed, since the content would go with it."""

    async def send() -> None:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=content, allow_redirects=False) as response,
        ):
            if response.status >= 300:
                raise NotTaken(f"{urlsplit(url).hostname} answered {response.status}")

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=0.5),
        retry=tenacity.retry_if_exception_type((NotTaken, aiohttp.ClientError, TimeoutError)),
        reraise=True,
    )
    try:
        retrying(lambda: asyncio.run(send()))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NotTaken(f"{urlsplit(url).hostname} could not be reached ({type(error).__name__})") from None


def _mail(settings: Settings, message: Message) -> None:
    parts = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "smtp://localhost:25")
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = settings.alert_email_from or f"polytrades@{parts.hostname}"
    mail["To"] = settings.alert_email_to
    mail.set_content(message.text)
    host = parts.hostname or "localhost"
    try:
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if parts.scheme == "smtps":
            server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=_SECONDS)
        with server:
            if parts.scheme != "smtps" and server.has_extn("starttls"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotTaken(f"the mail server {host} did not take it ({type(error).__name__})") from None


def _apprise(urls: str, message: Message) -> None:
    try:
        apprise = importlib.import_module("apprise")
    except ModuleNotFoundError:
        raise NotTaken("apprise is not installed; run `make install-alerts`") from None
    notifier = apprise.Apprise()
    if not notifier.add(urls):  # which separates them: an address may have commas of its own
        raise NotTaken("apprise does not know an address in alert_apprise_urls")
    kinds = {Verdict.OK: "success", Verdict.WARN: "warning", Verdict.FAIL: "failure"}
    # As text: a service that takes HTML or Markdown must not find any in a title.
    taken = notifier.notify(
        title=message.subject, body="\n".join(message.lines), body_format="text", notify_type=kinds[message.verdict]
    )
    if not taken:
        raise NotTaken("apprise could not deliver it to every address")
