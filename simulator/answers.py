"""What every endpoint shares: error answers, query parameters, opaque cursors."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
from starlette.datastructures import QueryParams

_WHOLE = re.compile(r"-?[0-9]{1,18}")


class ApiError(Exception):
    """An answer other than 200: `status` and the JSON `body`."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        """Keep the answer for the handler that turns it into a response."""
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def refuse(error: str, message: str, status: int = 400, **more: str) -> NoReturn:
    """Raise the Dome-shaped error answer: `error` names the parameter, `message` says what it must be."""
    raise ApiError(status, {"error": error, "message": message, **more})


def whole(text: str) -> int | None:
    """Return the integer written in `text`, or None if it is anything else."""
    return int(text) if _WHOLE.fullmatch(text) else None


def limit_of(params: QueryParams, default: int, most: int) -> int:
    """Return the page size of a Dome-shaped request, or refuse one outside 1..`most`."""
    limit = whole(params.get("limit", str(default)))
    if limit is None or not 1 <= limit <= most:
        refuse("Invalid limit parameter", f"limit must be a number between 1 and {most}")
    return limit


def second_of(params: QueryParams, name: str) -> int | None:
    """Return a time parameter in Unix seconds, None if it was not given, or refuse it."""
    text = params.get(name)
    if text is None:
        return None
    value = whole(text)
    if value is None or value < 0:
        refuse(f"Invalid {name} parameter", f"{name} must be a valid Unix timestamp")
    return value


def seconds_of(params: QueryParams) -> tuple[int | None, int | None]:
    """Return `start_time` and `end_time`, or refuse a range of less than two seconds."""
    start, end = second_of(params, "start_time"), second_of(params, "end_time")
    if start is not None and end is not None and start >= end:
        refuse("Invalid time range", "start_time must be less than end_time")
    return start, end


def cursor(value: dict[str, Any]) -> str:
    """Return `value` as an opaque cursor: base64 of JSON, like the upstream's."""
    return b64encode(msgspec.json.encode(value)).decode()


def read_cursor(text: str, fields: dict[str, type | tuple[type, ...]]) -> list[Any]:
    """Return the named fields of a cursor, or refuse one that this server did not make."""
    try:
        value = msgspec.json.decode(b64decode(text, validate=True))
        found = [value[name] for name in fields]
    except (ValueError, TypeError, KeyError):
        found = []
    kinds = fields.values()
    if not found or not all(isinstance(f, kind) for f, kind in zip(found, kinds, strict=True)):
        refuse("Invalid pagination key", "pagination_key is invalid or corrupted")
    return found


def joined(bodies: Sequence[bytes]) -> bytes:
    """Return a JSON array of texts that are already JSON."""
    return b"[" + b",".join(bodies) + b"]"
