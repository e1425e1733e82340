"""One HTTP client for every upstream: pace, retries, limits, and answers that are what they claim to be."""

import asyncio
import email.utils
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import tenacity

from runner import log
from runner.errors import (
    BudgetSpent,
    KeyRefused,
    PolytradesError,
    Throttled,
    TooLong,
    Unavailable,
    UpstreamError,
    UsageError,
)
from runner.sources.pace import Pace, full_jitter

Shape = TypeVar("Shape")
Params = Iterable[tuple[str, str]]
Accept = Callable[[int, bytes], bool]
"""Says of status and body whether they are an answer, whatever the status; may raise Throttled or Unavailable."""

_MAX_BODY = 64 * 1024 * 1024
"""A page of 1,000 orders is 0.7 MB; a hundred markets with their events about as much."""
_LONGEST_WAIT = 60.0
"""Most seconds waited because an upstream says so; beyond that the wallet fails and its checkpoint stays."""
_LONGEST_CONNECT = 10.0
"""Seconds for a connection: an address behind which nothing is must not take five whole timeouts to be noticed."""
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, *range(520, 525)})
"""With those that Cloudflare has for a server behind it that does not answer."""
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape in JSON: a pair of halves, a lone half, or any other."""
_GIVE_UP_AFTER = 10
"""Requests in a row without a usable answer, each after all its attempts: then the upstream is down."""
_BREATH = 30.0
"""Seconds that everybody then waits, once, before one more request decides: most outages are a restart."""


class Budget:
    """How many requests may still be sent, over all clients that share it; None: as many as it takes."""

    def __init__(self, requests: int | None = None) -> None:
        self.limit = requests
        self.sent = 0

    @property
    def is_spent(self) -> bool:
        """True if no request may be sent any more."""
        return self.limit is not None and self.sent >= self.limit


class Http:
    """Requests to one upstream. Use it as an async context manager.

    Args:
        name: what messages call the upstream.
        base_url: without a slash at its end.
        base_url_setting: the variable that sets it, for messages.
        key_settings: the variables about its key, for messages; empty if it takes none.
        headers: sent with every request.
        requests_per_second, in_flight: limits over all requests of this client.
        timeout, attempts, patience: of one request: seconds for one answer, how often it is tried, and seconds for
            all attempts together.
        budget: shared with other clients.
        shown_url: what messages call the address, where it holds a key.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        base_url_setting: str,
        *,
        key_settings: str = "",
        headers: dict[str, str] | None = None,
        requests_per_second: float,
        in_flight: int,
        timeout: float,
        attempts: int,
        patience: float = 300.0,
        budget: Budget | None = None,
        shown_url: str = "",
    ) -> None:
        self.name = name
        self.place = shown_url or base_url
        """The address as messages name it."""
        self._base_url = base_url
        self._setting = base_url_setting
        self._key_settings = key_settings
        self._headers = headers or {}
        self.budget = budget or Budget()
        self.clock_ahead: float | None = None
        """Seconds that our clock is ahead of the upstream's, by its newest answer."""
        self._pace = Pace(requests_per_second)
        self._slots = asyncio.Semaphore(in_flight)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, _LONGEST_CONNECT))
        self._attempts = attempts
        self._patience = patience
        self._unanswered = 0
        self._deciding = asyncio.Lock()
        self.has_given_up = False
        """The upstream is down: nothing more is asked of it."""
        self._session: aiohttp.ClientSession | None = None
        self._answered: set[str] = set()
        self.requests = 0
        """How many times `get` was called."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Accept": "application/json", "User-Agent": "polytrades", **self._headers},
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=0),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, params: Params) -> bytes:
        """The body of a JSON answer.

        Raises:
            Unavailable: no usable answer after all attempts, for a reason that may pass.
            UpstreamError: an answer that another attempt would not change.
            BudgetSpent: the run may send no more requests.
            KeyRefused: the key is missing or refused.
            UsageError: there is no such path below the base URL.
        """
        query = list(params)
        return await self._ask(lambda: self._once("GET", path, query))

    async def post(self, body: bytes, accept: Accept) -> bytes:
        """The body of an answer to a JSON body at the base URL itself; what `accept` takes is one whatever its status.

        Raises:
            PolytradesError: as `get`, or as `accept` raises it.
        """
        return await self._ask(lambda: self._once("POST", "", [], body, accept))

    async def _ask(self, send: Callable[[], Awaitable[bytes]]) -> bytes:
        self.requests += 1
        self._check_budget()
        if self._unanswered < _GIVE_UP_AFTER:
            return await self._try(send)
        async with self._deciding:
            self._check_budget()
            if self._unanswered < _GIVE_UP_AFTER:  # somebody else was answered meanwhile
                return await self._try(send)
            if self.has_given_up:
                raise Unavailable(
                    f"{self.name} at {self.place} has not answered {self._unanswered} requests in a row, each tried "
                    f"{self._attempts} times: nothing more is asked of it. Check it and {self._setting}, then run the "
                    "same command again."
                )
            await asyncio.sleep(min(_BREATH, self._patience))
            try:
                return await self._try(send)
            except Unavailable:
                # What was in flight may have been answered meanwhile: then this one alone has failed.
                self.has_given_up = self._unanswered >= _GIVE_UP_AFTER
                raise

    async def _try(self, send: Callable[[], Awaitable[bytes]]) -> bytes:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_attempt(self._attempts) | tenacity.stop_before_delay(self._patience),
            wait=_wait,
            before_sleep=_tell_retry,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    self._check_budget()
                    async with self._slots:
                        await self._pace.turn()
                        self._check_budget()
                        self.budget.sent += 1
                        body = await send()
        except Unavailable:
            self._unanswered += 1
            raise
        except BudgetSpent:
            raise
        except PolytradesError:
            self._unanswered = 0  # it does not answer what we want, but it answers
            raise
        self._unanswered = 0
        self._pace.speed_up()
        return body

    def _check_budget(self) -> None:
        if self.budget.is_spent:
            raise BudgetSpent(
                f"All {self.budget.limit:,} requests that this run may send have been sent. What came is kept; the "
                "same command goes on from there."
            )

    async def _once(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        sent: bytes | None = None,
        accept: Accept | None = None,
    ) -> bytes:
        if self._session is None:
            raise AssertionError("use Http as a context manager")
        what = path or "a request"
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                params=query,
                data=sent,
                headers={"Content-Type": "application/json"} if sent is not None else None,
                allow_redirects=False,
            ) as response:
                body = await self._body(response, what)
                status, headers = response.status, response.headers
                self._compare_clocks(headers.get("Date"))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"{self.name} at {self.place} does not answer {what}: {self._why(error)}. Check the address in "
                f"{self._setting} and the network, then run the same command again."
            ) from None
        try:
            is_answer = status == 200 if accept is None else accept(status, body)
        except Throttled:
            self._pace.slow_down(_seconds(headers.get("Retry-After")))
            raise
        if is_answer or status == 200:
            answer = self._json(body, what)
            self._answered.add(what)
            return answer
        self._refuse(status, body, headers.get("Retry-After"), what)
        raise AssertionError("_refuse raises")

    def _compare_clocks(self, date: str | None) -> None:
        """Notes how far our clock is ahead of the upstream's, whose answers carry the time."""
        try:
            theirs = email.utils.parsedate_to_datetime(date or "")
        except ValueError:
            return
        if theirs.tzinfo is not None:
            self.clock_ahead = (datetime.now(UTC) - theirs).total_seconds()

    async def _body(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        chunks = []
        size = 0
        async for chunk in response.content.iter_chunked(256 * 1024):
            size += len(chunk)
            if size > _MAX_BODY:
                raise TooLong(f"{self.name} answered {path} with more than {_MAX_BODY >> 20} MB.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _why(self, error: aiohttp.ClientError | TimeoutError) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout.total:g} seconds"
        if isinstance(error, aiohttp.ClientSSLError):  # its number is of OpenSSL, not of the system
            return log.redacted(str(error))
        if isinstance(error, aiohttp.ClientConnectorError):
            cause = error.os_error
            number = cause.errno or 0
            return os.strerror(number) if number > 0 else cause.strerror or str(cause)
        if isinstance(error, aiohttp.ClientPayloadError):
            return "the connection broke in the middle of the answer"
        return log.redacted(str(error)) or type(error).__name__

    def _json(self, body: bytes, path: str) -> bytes:
        start = body[:64].lstrip()
        if start[:1] in (b"{", b"["):
            if not _is_whole(body) and not _is_whole(body := _without_half_characters(body)):
                raise Unavailable(
                    f"{self.name} at {self.place} answered {path} with JSON that is cut off or damaged. It may "
                    "pass: run the same command again later."
                )
            return body
        what = "a web page (HTML)" if start[:1] == b"<" else "something that is not JSON"
        raise UpstreamError(
            f"{self.name} at {self.place} answered {path} with {what} instead of JSON. Check that {self._setting} "
            "is the address of the API and not of a web site or a login page."
        )

    def _refuse(self, status: int, body: bytes, retry_after: str | None, path: str) -> None:
        said = _said(body)
        if status == 401 and "offset" in said.lower():
            # Dome refuses large offsets with the status that elsewhere means a bad key.
            raise UpstreamError(
                f"{self.name} refuses offsets above 10,000 ({said}) and gave no cursor for {path}. Ask for less at a "
                "time with --since."
            )
        if status in (401, 403) and self._key_settings:
            raise KeyRefused(
                f"{self.name} at {self.place} refused the request ({status}: {said}). {self._key_settings}"
            )
        if status == 404 and path in self._answered:
            raise UpstreamError(f"{self.name} answered {path} with 404 ({said}), though it has answered there before.")
        if status == 404:
            raise UsageError(
                f"{self.name} has no {path} at {self.place} (404). Check {self._setting}: it is the address up to "
                "where that path begins."
            )
        if status in _TRANSIENT:
            wait = _seconds(retry_after)
            if status == 429 or wait:
                self._pace.slow_down(wait)
            raise Unavailable(
                f"{self.name} answered {path} with {status} ({said}). It may pass: run the same command again later.",
                retry_after=wait,
            )
        if 300 <= status < 400:
            raise UpstreamError(
                f"{self.name} at {self.place} answered {path} with a redirect ({status}), which is not followed: a "
                f"key must not go to another address. Set {self._setting} to the address where the API itself answers."
            )
        raise UpstreamError(
            f"{self.name} at {self.place} answered {path} with {status} ({said}). Check {self._setting}; if it is "
            "right, the API does not take this request."
        )


def decoded(body: bytes, shape: type[Shape], http: Http, what: str) -> Shape:
    """`body` as `shape`.

    Raises:
        UpstreamError: it has another shape; an answer without its list is never taken for an empty list.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(
            f"{http.name} at {http.place} answered {what} in a shape that was not expected ({error}): "
            f"{_said(body[:500])}"
        ) from None


def _is_whole(body: bytes) -> bool:
    """True if `body` is one complete JSON value. A page of 1,000 orders takes 0.2 ms."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    except RecursionError:
        # Nested beyond reading: another attempt would not change it, and `decoded` says so.
        return True
    return True


def _without_half_characters(body: bytes) -> bytes:
    """The body with U+FFFD for each half of a character that is written as an escape.

    An upstream that cuts a title in the middle of an emoji sends such a half. It stands for no character, so nothing
    could keep it, and one of them must not cost the page.
    """
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], body)


def _tell_retry(state: tenacity.RetryCallState) -> None:
    """One short line for each retry, on stderr."""
    error = state.outcome.exception() if state.outcome else None
    reason = str(error).partition(". ")[0]
    log.get().warning("retry", number=state.attempt_number, wait_seconds=round(state.upcoming_sleep, 1), reason=reason)


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: what the upstream says, and a little more so that not all come at once."""
    error = state.outcome.exception() if state.outcome else None
    jitter = full_jitter(state.attempt_number, 0.2, 10.0)
    if isinstance(error, Unavailable) and error.retry_after is not None:
        return error.retry_after + min(jitter, 1.0)
    return jitter


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds, no more than _LONGEST_WAIT: it is a number or a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), _LONGEST_WAIT)


def _said(body: bytes) -> str:
    """What an error body says, in at most 200 characters without control characters."""
    try:
        answer: Any = msgspec.json.decode(body)
        parts = [str(answer[name]) for name in ("error", "message") if answer.get(name)]
        text = ": ".join(parts) or body.decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError):
        text = body.decode("utf-8", "replace")
    return log.redacted("".join(c for c in text if c.isprintable()))[:200] or "no reason given"
