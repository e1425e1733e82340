"""One HTTP client for every upstream: rate limit, retries, size limit, and answers that are what they claim to be."""

import asyncio
import email.utils
import os
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import stamina
from aiolimiter import AsyncLimiter

from runner import log
from runner.errors import KeyRefused, Unavailable, UpstreamError, UsageError

Shape = TypeVar("Shape")
Params = Iterable[tuple[str, str]]

_MAX_BODY = 64 * 1024 * 1024
"""A page of 1,000 orders is 0.7 MB; a hundred markets with their events about as much."""
_LONGEST_WAIT = 60.0
"""Most seconds waited because an upstream says so; beyond that the wallet fails and its checkpoint stays."""
_LONGEST_CONNECT = 10.0
"""Seconds for a connection: an address behind which nothing is must not take five whole timeouts to be noticed."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Http:
    """GET requests to one upstream. Use it as an async context manager.

    Args:
        name: what messages call the upstream.
        base_url: without a slash at its end.
        base_url_setting: the variable that sets it, for messages.
        key_settings: the variables about its key, for messages; empty if it takes none.
        headers: sent with every request.
        requests_per_second, in_flight: limits over all requests of this client.
        timeout, attempts: of one request.
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
    ) -> None:
        self.name = name
        self.base_url = base_url
        self._setting = base_url_setting
        self._key_settings = key_settings
        self._headers = headers or {}
        # One request a slot: a larger bucket would let a burst above the limit through.
        self._limiter = AsyncLimiter(1, 1 / requests_per_second)
        self._slots = asyncio.Semaphore(in_flight)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, _LONGEST_CONNECT))
        self._attempts = attempts
        self._session: aiohttp.ClientSession | None = None
        self._answered: set[str] = set()
        self.requests = 0
        """How many times `get` was called."""

    async def __aenter__(self) -> Self:
        stamina.instrumentation.set_on_retry_hooks([_tell_retry])
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
            KeyRefused: the key is missing or refused.
            UsageError: there is no such path below the base URL.
        """
        query = list(params)
        self.requests += 1
        retrying = stamina.retry_context(
            on=_wait_or_retry, attempts=self._attempts, timeout=None, wait_initial=0.2, wait_max=10.0
        )
        async for attempt in retrying:
            with attempt:
                async with self._slots:
                    await self._limiter.acquire()
                    return await self._get_once(path, query)
        raise AssertionError("stamina ends with a result or an error")

    async def _get_once(self, path: str, query: list[tuple[str, str]]) -> bytes:
        if self._session is None:
            raise AssertionError("use Http as a context manager")
        try:
            async with self._session.get(self.base_url + path, params=query, allow_redirects=False) as response:
                body = await self._body(response, path)
                status, headers = response.status, response.headers
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"{self.name} at {self.base_url} does not answer {path}: {self._why(error)}. Check the address in "
                f"{self._setting} and the network, then run the same command again."
            ) from None
        if status == 200:
            answer = self._json(body, path)
            self._answered.add(path)
            return answer
        self._refuse(status, body, headers.get("Retry-After"), path)
        raise AssertionError("_refuse raises")

    async def _body(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        chunks = []
        size = 0
        async for chunk in response.content.iter_chunked(256 * 1024):
            size += len(chunk)
            if size > _MAX_BODY:
                raise UpstreamError(f"{self.name} answered {path} with more than {_MAX_BODY >> 20} MB.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _why(self, error: aiohttp.ClientError | TimeoutError) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout.total:g} seconds"
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
            if not _is_whole(body):
                raise Unavailable(
                    f"{self.name} at {self.base_url} answered {path} with JSON that is cut off or damaged. It may "
                    "pass: run the same command again later."
                )
            return body
        what = "a web page (HTML)" if start[:1] == b"<" else "something that is not JSON"
        raise UpstreamError(
            f"{self.name} at {self.base_url} answered {path} with {what} instead of JSON. Check that {self._setting} "
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
                f"{self.name} at {self.base_url} refused the request ({status}: {said}). {self._key_settings}"
            )
        if status == 404 and path in self._answered:
            raise UpstreamError(f"{self.name} answered {path} with 404 ({said}), though it has answered there before.")
        if status == 404:
            raise UsageError(
                f"{self.name} has no {path} at {self.base_url} (404). Check {self._setting}: it is the address up to "
                "where that path begins."
            )
        if status in _TRANSIENT:
            wait = _seconds(retry_after)
            raise Unavailable(
                f"{self.name} answered {path} with {status} ({said}). It may pass: run the same command again later.",
                retry_after=None if wait is None else min(wait, _LONGEST_WAIT),
            )
        if 300 <= status < 400:
            raise UpstreamError(
                f"{self.name} at {self.base_url} answered {path} with a redirect ({status}), which is not followed: a "
                f"key must not go to another address. Set {self._setting} to the address where the API itself answers."
            )
        raise UpstreamError(
            f"{self.name} at {self.base_url} answered {path} with {status} ({said}). Check {self._setting}; if it is "
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
            f"{http.name} at {http.base_url} answered {what} in a shape that was not expected ({error}): "
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


def _tell_retry(details: stamina.instrumentation.RetryDetails) -> None:
    """One short line for each retry, on stderr; stamina's own goes to stdout."""
    reason = str(details.caused_by).partition(". ")[0]
    log.get().warning("retry", number=details.retry_num, wait_seconds=round(details.wait_for, 1), reason=reason)


def _wait_or_retry(error: Exception) -> bool | float:
    if not isinstance(error, Unavailable):
        return False
    return True if error.retry_after is None else error.retry_after


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds: it is a number or a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
        except ValueError:
            return None


def _said(body: bytes) -> str:
    """What an error body says, in at most 200 characters without control characters."""
    try:
        answer: Any = msgspec.json.decode(body)
        parts = [str(answer[name]) for name in ("error", "message") if answer.get(name)]
        text = ": ".join(parts) or body.decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError):
        text = body.decode("utf-8", "replace")
    return log.redacted("".join(c for c in text if c.isprintable()))[:200] or "no reason given"
