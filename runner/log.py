"""Logging: lines for a person on a terminal, JSON lines elsewhere; always on stderr; secrets never."""

import sys

import structlog

_secrets: set[str] = set()


def hide(secret: str) -> None:
    """Replaces `secret` by *** in everything logged from now on."""
    if secret:
        _secrets.add(secret)


def redacted(text: str) -> str:
    """`text` without any secret that `hide` was told of."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


def _redact(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _redacted_value(value) for key, value in event.items()}


def _redacted_value(value: object) -> object:
    """`value`, or its text if a secret stands somewhere in it."""
    if isinstance(value, str):
        return redacted(value)
    text = repr(value)
    return redacted(text) if redacted(text) != text else value


def configure() -> None:
    """Sets the format once per process."""
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def get() -> structlog.typing.FilteringBoundLogger:
    """The logger."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
