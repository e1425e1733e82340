"""Charts of the report: static SVG by Vega-Lite, once for wide screens and once for phones, coloured by the page.

Colours are names of the page's CSS variables, so one picture serves light, dark and paper.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDE, NARROW = 860, 340
"""Pixels across, for screens and for phones."""
_FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "var(--rule)",
        "domain": False,
        "ticks": False,
        "labelPadding": 8,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--rule)", "labelOverlap": True},
    "legend": {
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "symbolType": "square",
        "symbolSize": 110,
        "offset": 8,
        "columnPadding": 28,
    },
}
_THOUSANDS = "datum.value < 1000 ? datum.value : format(datum.value, '~s')"
_DAY_OF_RUN = "split(datum.label, ' ')[0] + ' ' + split(datum.label, ' ')[1]"
_RUN_AXIS: dict[str, Any] = {
    "field": "run",
    "type": "ordinal",
    "sort": None,
    "title": None,
    "axis": {"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 14, "labelExpr": _DAY_OF_RUN},
}
_NAME_AXIS: dict[str, Any] = {"labelLimit": 190, "minExtent": 215, "grid": False}
"""Names of models and tests: with room to spare, because a reader's font may be wider than ours."""
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Chart:
    """A chart, twice. `says` is what it shows, for those who cannot see it."""

    title: str
    says: str
    wide: str
    narrow: str
    note: str = ""


def drawn(title: str, says: str, spec: dict[str, Any], height: int, note: str = "") -> Chart:
    """Renders a Vega-Lite spec in both widths. Ids in the pictures are made unique by the title."""
    prefix = re.sub(r"[^a-z]+", "-", title.lower())
    wide, narrow = (_svg(spec, width, height, f"{prefix}-{width}-") for width in (WIDE, NARROW))
    return Chart(title, says, wide, narrow, note)


def _svg(spec: dict[str, Any], width: int, height: int, prefix: str) -> str:
    import vl_convert

    axis = {**_CONFIG["axisX"], "tickCount": max(3, width // 110)}
    sized = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 0, "right": 20, "top": 4, "bottom": 0},
        "config": {**_CONFIG, "axisX": axis, "legend": {**_CONFIG["legend"], "columns": 2 if width == NARROW else 4}},
        **spec,
    }
    svg = str(vl_convert.vegalite_to_svg(sized))
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{prefix}", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)  # a hundredth of a pixel is enough
    svg = re.sub(r' (aria-\w+|role|class)="[^"]*"| pointer-events="none"', "", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)


def day_axis(title: str | None = None) -> dict[str, Any]:
    """The x channel of everything by day: `day` as YYYY-MM-DD."""
    return {
        "field": "day",
        "type": "temporal",
        "timeUnit": "utcyearmonthdate",
        "title": title,
        "axis": {"format": "%-d %b"},
        "scale": {"type": "utc"},
    }


def values(rows: Rows) -> dict[str, Any]:
    """Data of a spec."""
    return {"values": list(rows)}


def fills_per_day(rows: Rows) -> Chart:
    """Bars of fills before the band of usual days. Rows: day, fills, low, high, kind (`usual`, `unusual`, `open`)."""
    spec = {
        "data": values(rows),
        "encoding": {"x": day_axis()},
        "layer": [
            {
                "mark": {"type": "area", "color": "var(--band)", "interpolate": "monotone"},
                "transform": [{"filter": "datum.high != null"}],
                "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "bar", "width": {"band": 0.72}},
                "encoding": {
                    "y": {
                        "field": "fills",
                        "type": "quantitative",
                        "title": None,
                        "axis": {"tickCount": 4, "labelExpr": _THOUSANDS},
                    },
                    "color": {
                        "field": "kind",
                        "type": "nominal",
                        "legend": None,
                        "scale": {
                            "domain": ["usual", "unusual", "open"],
                            "range": ["var(--series)", "var(--warn)", "var(--soft)"],
                        },
                    },
                },
            },
        ],
    }
    unusual = sum(row["kind"] == "unusual" for row in rows)
    says = f"Fills on each of {len(rows)} days; {unusual} of them outside the usual range."
    note = "Shaded: the range of usual days (median of the 28 days before, ± 4 spreads). Pale: not over yet."
    return drawn("Fills per day", says, spec, 220, note)


def coverage(rows: Rows, followed: int) -> Chart:
    """A strip: how many of the followed wallets are covered on each day. Rows: day, share."""
    kinds = ["all", "nine in ten", "fewer"]
    drawn_rows = [
        {"day": row["day"], "kind": kinds[0 if row["share"] >= 1 else 1 if row["share"] >= 0.9 else 2]} for row in rows
    ]
    spec = {
        "data": values(drawn_rows),
        "mark": {"type": "bar", "width": {"band": 0.86}},
        "encoding": {
            "x": day_axis(),
            "color": {
                "field": "kind",
                "type": "nominal",
                "legend": None,
                "scale": {"domain": kinds, "range": ["var(--pass)", "var(--warn)", "var(--fail)"]},
            },
        },
    }
    whole = sum(row["share"] >= 1 for row in rows)
    says = f"On {whole} of {len(rows)} days each of the {followed:,} wallets is covered."
    note = says if whole == len(rows) else f"{says} Amber: some are missing; red: more than a tenth."
    return drawn("Coverage", says, spec, 58, note)


def freshness(rows: Rows) -> Chart:
    """How many wallets have their newest fill how long ago. Rows: age, wallets, place."""
    spec = {
        "data": values(rows),
        "encoding": {
            "x": {
                "field": "age",
                "type": "ordinal",
                "sort": None,
                "title": None,
                "axis": {"labelAngle": 0, "labelOverlap": True},
            },
            "y": {"field": "wallets", "type": "quantitative", "title": None, "axis": {"tickCount": 3}},
        },
        "layer": [
            {"mark": {"type": "bar", "color": "var(--series)", "width": {"band": 0.72}}},
            {
                "mark": {"type": "text", "dy": -7, "color": "var(--muted)", "fontSize": 12},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }
    says = "; ".join(f"{row['age']}: {row['wallets']}" for row in rows)
    return drawn("Newest fill of each wallet", says, spec, 170, "Wallets by the age of their newest fill.")


def run_times(rows: Rows) -> Chart:
    """Stacked bars: where the time of each run went. Rows: run, phase, minutes, order."""
    spec = {
        "data": values(rows),
        "mark": {"type": "bar", "width": {"band": 0.72}},
        "encoding": {
            "x": _RUN_AXIS,
            "y": {"field": "minutes", "type": "quantitative", "title": "minutes", "axis": {"tickCount": 4}},
            "order": {"field": "order"},
            "color": {
                "field": "phase",
                "type": "nominal",
                "scale": {
                    "domain": ["fetch", "markets and events", "dbt", "rest"],
                    "range": ["var(--series)", "var(--third)", "var(--second)", "var(--soft)"],
                },
            },
        },
    }
    runs = len({row["run"] for row in rows})
    return drawn("Duration of runs", f"Minutes of each of {runs} runs, by phase.", spec, 190)


def slowest(rows: Rows) -> Chart:
    """Bars: what of dbt took longest in the last run. Rows: name, seconds, kind."""
    spec = {
        "data": values(rows),
        "encoding": {
            "y": {
                "field": "name",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": _NAME_AXIS,
            },
            "x": {"field": "seconds", "type": "quantitative", "title": "seconds", "axis": {"tickCount": 4}},
        },
        "layer": [
            {
                "mark": {"type": "bar", "height": {"band": 0.6}},
                "encoding": {
                    "color": {
                        "field": "kind",
                        "type": "nominal",
                        "scale": {"domain": ["model", "test"], "range": ["var(--second)", "var(--soft)"]},
                    }
                },
            }
        ],
    }
    says = ", ".join(f"{row['name']} {row['seconds']:.1f} s" for row in rows[:5])
    return drawn("Where dbt's time went", says, spec, 26 * max(2, len(rows)) + 40, "The last run; models and tests.")


def cost(rows: Rows, budget: float | None, price_per_tib: float) -> Chart:
    """Stacked bars of gigabytes billed a day, tests apart, and what they cost.

    Rows: day, gigabytes (10^9 bytes), kind. `budget` in gigabytes of a day; `price_per_tib` for 2^40 bytes.
    """
    layers: list[dict[str, Any]] = [
        {
            "data": values(rows),
            "mark": {"type": "bar", "width": {"band": 0.72}},
            "encoding": {
                "x": day_axis(),
                "y": {"field": "gigabytes", "type": "quantitative", "title": "GB", "axis": {"tickCount": 4}},
                "color": {
                    "field": "kind",
                    "type": "nominal",
                    "scale": {"domain": ["models and runner", "tests"], "range": ["var(--series)", "var(--third)"]},
                },
            },
        }
    ]
    total = sum(row["gigabytes"] for row in rows)
    money = total * 1e9 / 2**40 * price_per_tib
    says = f"{total:,.1f} GB were billed in this time, {money:,.2f} at {price_per_tib:g} a TiB."
    if budget and max(total / max(1, len({row["day"] for row in rows})), 0) < 0.3 * budget:
        says += f" A day may use {budget:,.0f} GB."
    elif budget:
        says += f" Dashed: what a day may use, {budget:,.0f} GB."
        layers.append(
            {
                "data": values([{"gigabytes": budget}]),
                "mark": {"type": "rule", "color": "var(--fail)", "strokeDash": [4, 3]},
                "encoding": {"y": {"field": "gigabytes", "type": "quantitative"}},
            }
        )
    return drawn("Bytes billed per day", says, {"layer": layers}, 180, says)


def rejected(rows: Rows) -> Chart:
    """Stacked bars of rejected records by reason. Rows: day, reason, records."""
    names = sorted(
        {row["reason"] for row in rows}, key=lambda name: -sum(r["records"] for r in rows if r["reason"] == name)
    )
    shades = ["var(--series)", "var(--second)", "var(--third)", "var(--warn)", "var(--soft)"]
    spec = {
        "data": values(rows),
        "mark": {"type": "bar", "width": {"band": 0.72}},
        "encoding": {
            "x": day_axis(),
            "y": {"field": "records", "type": "quantitative", "title": None, "axis": {"tickCount": 3}},
            "color": {
                "field": "reason",
                "type": "nominal",
                "sort": names,
                "scale": {"domain": names, "range": [shades[min(at, 4)] for at in range(len(names))]},
            },
        },
    }
    says = "; ".join(f"{name}: {sum(row['records'] for row in rows if row['reason'] == name):,}" for name in names)
    return drawn("Rejected records", says, spec, 170, "By the day on which they came.")


def findings_over_time(rows: Rows) -> Chart:
    """A grid: tests that failed at least once, run by run. Rows: run, test, failures (None: not run)."""
    spec = {
        "data": values(rows),
        "mark": {"type": "rect", "cornerRadius": 1, "width": {"band": 0.86}, "height": {"band": 0.72}},
        "encoding": {
            "x": _RUN_AXIS,
            "y": {
                "field": "test",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": _NAME_AXIS,
            },
            "color": {
                "field": "state",
                "type": "nominal",
                "legend": None,
                "scale": {
                    "domain": ["passed", "failed", "not run"],
                    "range": ["var(--pass)", "var(--fail)", "var(--rule)"],
                },
            },
        },
    }
    tests = list(dict.fromkeys(row["test"] for row in rows))
    failed = sum(row["state"] == "failed" for row in rows)
    says = f"{len(tests)} tests over time; {failed} failures."
    return drawn(
        "Duplicates and failed tests", says, spec, 26 * max(1, len(tests)) + 34, "Each column is a run; red: it failed."
    )
