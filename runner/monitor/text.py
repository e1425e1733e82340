"""What others have said (titles, messages of errors), made fit to stand in a page or a message."""

_LONGEST = 240


def clean(text: object, longest: int = _LONGEST) -> str:
    """`text` on one line, without control characters and overrides of its direction; at most `longest` long."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text).replace("\n", " "))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
