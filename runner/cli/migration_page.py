"""An audit as a page: one file, nothing loaded from anywhere."""

from collections.abc import Mapping
from html import escape

from runner.engine.migration.audit import Audit

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .5rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr + tr { border-top: 1px solid #e3e8ee; }
.bar { fill: #3b7dd8; } .rest { fill: #c9d9ef; } text { font-size: 11px; fill: #51606f; }
@media (prefers-color-scheme: dark) {
  body { background: #14191f; color: #d7dee6; } tr + tr { border-color: #2a323b; } .rest { fill: #2c405c; }
}
"""


def audit_page(found: Audit) -> str:
    """The page. Every text of the warehouse in it is escaped."""
    natures = {nature: repeats for nature, (_, repeats) in found.by_nature().items() if repeats}
    stored = found.production
    overlap = (
        _table(
            ("Production", "rows or keys"),
            {
                "rows": stored.rows,
                "keys": stored.keys,
                "keys more than once": stored.double_keys,
                "rows without a key": stored.null_keys,
                "keys of the staging table that it has": stored.keys_in_both,
                "keys to copy at most": found.keys - stored.keys_in_both,
            },
        )
        if stored
        else "<p>There is no production table yet.</p>"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit of {escape(found.staging)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>Audit of {escape(found.staging)}</h1>
<p>{found.rows:,} rows of {found.keys:,} keys: {found.duplicate_share:.2%} are repeats.</p>
<h2>Rows by month, and how many of them are the first of their key</h2>{_months(found.by_month())}
<h2>Distinct keys, by what one takes for the key</h2>{_table(("Key", "distinct"), found.policies)}
<h2>Repeats, by what they are</h2>{_table(("Kind", "rows beyond the first"), natures)}
<h2>What the column id holds</h2>{_table(("Content", "rows"), found.by_id())}
<h2>Rows that break a rule</h2>{_table(("Rule", "rows"), found.rules) if found.rules else "<p>None.</p>"}
<h2>Overlap with production</h2>{overlap}
</body></html>
"""


def _table(head: tuple[str, str], rows: Mapping[str, int]) -> str:
    """Two columns, the second with a bar."""
    greatest = max(rows.values(), default=0) or 1
    lines = [
        f"<tr><td>{escape(name)}</td><td>{number:,}</td><td style='width:40%'><svg width='100%' height='10'>"
        f"<rect class='bar' width='{100 * number / greatest:.1f}%' height='10'/></svg></td></tr>"
        for name, number in rows.items()
    ]
    return f"<table><tr><th>{head[0]}</th><th>{head[1]}</th><th></th></tr>{''.join(lines)}</table>"


def _months(months: Mapping[str, tuple[int, int]]) -> str:
    """A column for each month: rows, and in front of them keys."""
    width, height = 1000, 220
    greatest = max((rows for rows, _ in months.values()), default=0) or 1
    step = width / max(len(months), 1)
    drawn = []
    for number, (month, (rows, keys)) in enumerate(months.items()):
        left = number * step + 2
        for name, count in (("rest", rows), ("bar", keys)):
            high = count / greatest * (height - 30)
            drawn.append(
                f"<rect class='{name}' x='{left:.1f}' y='{height - 20 - high:.1f}' width='{step - 4:.1f}' "
                f"height='{high:.1f}'><title>{escape(month)}: {rows:,} rows, {keys:,} keys</title></rect>"
            )
        drawn.append(f"<text x='{left:.1f}' y='{height - 6}'>{escape(month)}</text>")
    return f"<svg viewBox='0 0 {width} {height}' width='100%'>{''.join(drawn)}</svg>"
