"""JSON-RPC over HTTP: calls to one node, alone or in a batch, and what its refusals mean.

Facts. Providers bound `eth_getLogs` by blocks, by results or by bytes, with codes and words of their own, and some with
a status other than 200; some propose a range that works. Nodes without an archive refuse old blocks. A rate limit may
come as 429 or as an error inside 200. A batch is answered in any order, and not every provider takes one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from runner.errors import KeyRefused, Throttled, UpstreamError
from runner.sources.http import Http

Call = tuple[str, list[Any]]
"""A method and its parameters."""


class Refusal(Enum):
    """Why a node gives no result, as far as it matters for what to ask next."""

    TOO_MUCH = "the range is too large"
    NO_ARCHIVE = "the node has no blocks so old"
    NOT_YET = "the node has no such block yet"
    NO_BATCHES = "the provider takes no batches"
    OTHER = "the node refuses"


@dataclass(frozen=True)
class Refused:
    """An error of one call. `fits` is the range that the node says would work, `most_blocks` its limit of blocks."""

    refusal: Refusal
    message: str
    fits: tuple[int, int] | None = None
    most_blocks: int | None = None


class _Error(msgspec.Struct):
    code: int | str = 0
    message: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


_THROTTLED = re.compile(
    r"rate.?limit|too many requests|compute units per second|request rate exceeded|requests? per second"
    r"|credits limited|throughput|\bthrottl",
    re.IGNORECASE,
)
_NO_ARCHIVE = re.compile(
    r"archive|missing trie node|pruned|history (is )?not available|state (is )?not available|too old|below the lowest",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"block range|\brange\b.*(exceed|limit|large|wide|bigger|big)|(exceed|limit|large).*\brange\b|limited to a [\d,]+"
    r"|more than [\d,]+ (results|logs)|max results|response size|too many (results|logs|blocks)|query timeout"
    r"|logs matched|result set|query returned|response is too big|content too large",
    re.IGNORECASE,
)
_NOT_YET = re.compile(
    r"(header|block) not found|unknown block|beyond current head|in the future|invalid block range", re.IGNORECASE
)
_NO_BATCHES = re.compile(r"\bbatch", re.IGNORECASE)
_TOPICS = re.compile(r"topics|\baddresses\b|parameters", re.IGNORECASE)
_RANGE = re.compile(r"\[\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*\]", re.IGNORECASE)
_MOST_BLOCKS = re.compile(
    r"(?:up to an?|limited to an?|limit of|range limit|max(?:imum)?(?: block range)?(?: is|:| =)?|at most)\s+([\d,]+)",
    re.IGNORECASE,
)


class Rpc:
    """One node. Calls give their result as JSON, or why there is none.

    Args:
        http: its client.
        host: how messages and the memory of limits name it; addresses often hold a key.
    """

    def __init__(self, http: Http, host: str) -> None:
        self.http = http
        self.host = host
        self._takes_batches = True
        self._ids = 0

    async def call(self, *calls: Call) -> list[bytes | Refused]:
        """The results, in the order of the calls. Where batches are taken they are one request.

        Raises:
            Unavailable: no usable answer, for a reason that may pass.
            KeyRefused, UpstreamError, BudgetSpent: as Http.post.
        """
        if len(calls) > 1 and self._takes_batches:
            found = await self._send(calls, is_batch=True)
            if not any(isinstance(one, Refused) and one.refusal is Refusal.NO_BATCHES for one in found):
                return found
            self._takes_batches = False
        return [one for call in calls for one in await self._send([call], is_batch=False)]

    async def _send(self, calls: Sequence[Call], is_batch: bool) -> list[bytes | Refused]:
        requests: list[dict[str, Any]] = []
        for method, params in calls:
            self._ids += 1
            requests.append({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        body = await self.http.post(msgspec.json.encode(requests if is_batch else requests[0]), self._is_answer)
        answers = self._answers(body)
        if is_batch and len(answers) == 1 and answers[0].error is not None and answers[0].id is None:
            return [_refused(answers[0].error)] * len(calls)
        by_id = {answer.id: answer for answer in answers}
        found: list[bytes | Refused] = []
        for request, (method, _) in zip(requests, calls, strict=True):
            answer = by_id.get(request["id"]) or by_id.get(str(request["id"]))
            if answer is None and len(calls) == len(answers) == 1:
                answer = answers[0]
            if answer is None:
                raise UpstreamError(f"{self.http.name} at {self.host} left out the answer to {method}.")
            if answer.error is not None:
                found.append(_refused(answer.error))
            else:
                found.append(bytes(answer.result) or b"null")
        return found

    def _answers(self, body: bytes) -> list[_Answer]:
        try:
            if body[:64].lstrip()[:1] == b"[":
                return msgspec.json.decode(body, type=list[_Answer])
            return [msgspec.json.decode(body, type=_Answer)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError(
                f"{self.http.name} at {self.host} gave an answer that is no JSON-RPC ({error}). Check the address."
            ) from None

    def _is_answer(self, status: int, body: bytes) -> bool:
        """Whether the body is an answer or an error of JSON-RPC, which may come with any status."""
        if status == 429 or b'"error"' not in body[:100_000]:
            if status in (401, 403):
                raise self._key_refused(status)
            return False
        try:
            answers = self._answers(body)
        except UpstreamError:
            return False
        errors = [answer.error for answer in answers if answer.error is not None]
        for error in errors:
            if str(error.code) in ("429", "-32029") or _THROTTLED.search(error.message):
                raise Throttled(
                    f"{self.http.name} at {self.host} says that it is asked too often ({error.message[:200]}). Lower "
                    "POLYTRADES_REQUESTS_PER_SECOND."
                )
            if status == 401 or (status == 403 and _refused(error).refusal is Refusal.OTHER):
                raise self._key_refused(status)
        return bool(errors)

    def _key_refused(self, status: int) -> KeyRefused:
        return KeyRefused(
            f"{self.http.name} at {self.host} refused the request ({status}). Put an address with a valid key into "
            "POLYTRADES_POLYGON_RPC_URLS."
        )


def _refused(error: _Error) -> Refused:
    """What an error means. The words count before the codes: one code has many meanings."""
    text = error.message + " " + bytes(error.data).decode("utf-8", "replace")
    shown = error.message[:200] or f"code {error.code}"
    if _NO_ARCHIVE.search(text):
        return Refused(Refusal.NO_ARCHIVE, shown)
    if _NOT_YET.search(text):
        return Refused(Refusal.NOT_YET, shown)
    fits = _RANGE.search(error.message)
    if fits or (_TOO_MUCH.search(text) and not _TOPICS.search(error.message)):
        # Where results or bytes are what is too much, a number of blocks in the text is no limit of this request.
        most = None if fits or re.search("result|size", text) else _MOST_BLOCKS.search(error.message)
        return Refused(
            Refusal.TOO_MUCH,
            shown,
            (int(fits[1], 0), int(fits[2], 0)) if fits else None,
            int(most[1].replace(",", "")) if most else None,
        )
    if _NO_BATCHES.search(text):
        return Refused(Refusal.NO_BATCHES, shown)
    return Refused(Refusal.OTHER, shown)
