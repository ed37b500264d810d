# SPDX-License-Identifier: GPL-3.0-or-later
"""F against delay as a picture: how soon it is known, and how surely."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from bridge.evaluate.truth import FAMILIES

WIDTH, HEIGHT = 900, 500
LEFT, RIGHT, TOP, BOTTOM = 66, 690, 136, 416  # of the plot
LEAST = 17  # between two lines of writing
CROWDED = 48  # between two names side by side
INK, GREY, FAINT, BLUE = "#23292f", "#5a6570", "#e3e7ea", "#1d4f78"
COLOURS = {"kick": "#b5483a", "snare": "#c98a1b", "hat": "#2f8f6b", "tom": "#7b5ea7", "cymbal": "#3b7bb0"}
FEW = 20  # strokes, of which no curve is drawn
FONT = "ui-sans-serif, system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif"


class Axes(NamedTuple):
    """From delay [ms] and F to places in the picture."""

    x0: float
    x1: float
    y0: float

    def x(self, ms: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (ms - self.x0) / (self.x1 - self.x0), 1)

    def y(self, f: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (f - self.y0) / (1 - self.y0), 1)


def curve(rows: Sequence[dict[str, Any]], below: str) -> str:
    """The picture as SVG.

    Parameters
    ----------
    rows
        A result of `pooled` for each decision, with its ``decision_ms``.
    below
        What was heard, in a line.
    """
    rows = sorted((row for row in rows if row["delay_ms"]), key=lambda row: row["decision_ms"])
    many = [name for name in FAMILIES if _strokes(rows, name) >= FEW]
    lines = {name: [row["scores"][name]["f"] for row in rows] for name in many}
    micro = [row["scores"]["micro of five"]["f"] for row in rows]
    axes = _axes(rows, [micro, *lines.values()])
    parts = [_head(below), _grid(axes)]
    xs = [axes.x(row["delay_ms"]["median"]) for row in rows]
    parts.append(_micro(axes, rows, xs, micro))
    for name, fs in lines.items():
        parts.append(_line(xs, [axes.y(f) for f in fs], COLOURS[name], 1.6))
    parts.append(_legend(axes, rows, lines, micro))
    return "\n".join([*parts, "</svg>", ""])


def _strokes(rows: Sequence[dict[str, Any]], name: str) -> int:
    return rows[0]["scores"][name]["hit"] + rows[0]["scores"][name]["missed"] if rows else 0


def _axes(rows: Sequence[dict[str, Any]], lines: Sequence[Sequence[float]]) -> Axes:
    ends = [row["delay_ms"][key] for row in rows for key in ("p10", "p90")] or [0.0]
    low, high = min(0.0, *ends), max(5.0, *ends)
    lowest = min((f for fs in lines for f in fs), default=0.0)
    step = 0.05 if lowest > 0.55 else 0.1
    margin = 0.02 * (high - low)
    return Axes(low - margin, high + margin, max(0.0, step * math.floor((lowest - 0.015) / step)))


def _head(below: str) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" font-size="13">
<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" fill="#ffffff" stroke="#d0d4d8"/>
<text x="28" y="38" font-size="18" font-weight="bold" fill="{INK}">How soon a drum is named, and how surely</text>
<text x="28" y="60" fill="{GREY}">{escape(below)}</text>"""


def _grid(axes: Axes) -> str:
    out = []
    step = 0.05 if axes.y0 > 0.49 else 0.1
    for n in range(round((1 - axes.y0) / step) + 1):
        f = axes.y0 + n * step
        y = axes.y(f)
        out.append(f'<path d="M{LEFT} {y}H{RIGHT}" stroke="{FAINT}"/>')
        out.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end" fill="{GREY}">{f:.2f}</text>')
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (axes.x1 - axes.x0) / step <= 13)
    for ms in range(every * math.ceil(axes.x0 / every), int(axes.x1) + 1, every):
        x = axes.x(ms)
        out.append(f'<path d="M{x} {BOTTOM}v5" stroke="{GREY}"/>')
        out.append(f'<text x="{x}" y="{BOTTOM + 21}" text-anchor="middle" fill="{GREY}">{ms}</text>')
    out.append(f'<path d="M{axes.x(0)} {TOP}V{BOTTOM}" stroke="#c3cad0"/>')
    out.append(f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="{GREY}"/>')
    told = "milliseconds from the stroke until its name is known: the median, and where 80 % lie"
    out.append(f'<text x="{LEFT}" y="{BOTTOM + 46}" fill="{INK}">{told}</text>')
    out.append(
        f'<text x="{LEFT}" y="{BOTTOM + 65}" fill="{BLUE}" font-size="12"><tspan font-weight="bold">bold</tspan>: '
        f"the decision that was allowed</text>"
    )
    out.append(f'<text x="28" y="{TOP - 36}" fill="{INK}">F, within 50 ms</text>')
    return "\n".join(out)


def _line(xs: Sequence[float], ys: Sequence[float], colour: str, width: float) -> str:
    points = " ".join(f"{x},{y}" for x, y in zip(xs, ys, strict=True))
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="{1.4 * width:g}"/>' for x, y in zip(xs, ys, strict=True))
    stroke = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
    return f'<polyline points="{points}" {stroke}/><g fill="{colour}">{dots}</g>'


def _micro(axes: Axes, rows: Sequence[dict[str, Any]], xs: Sequence[float], fs: Sequence[float]) -> str:
    out = []
    for row, x, f, place in zip(rows, xs, fs, _apart(xs), strict=True):
        low, high = (axes.x(row["delay_ms"][key]) for key in ("p10", "p90"))
        bar = f'stroke="{BLUE}" stroke-width="9" stroke-linecap="round" opacity="0.16"'
        out.append(
            f'<path d="M{low} {axes.y(f)}H{high}" {bar}/>'
            f'<path d="M{place} {TOP - 7}L{x} {TOP + 7}V{axes.y(f)}" fill="none" stroke="{BLUE}" opacity="0.35" '
            f'stroke-dasharray="1 3"/><text x="{place}" y="{TOP - 12}" text-anchor="middle" font-weight="bold" '
            f'fill="{BLUE}">{row["decision_ms"]:g} ms</text>'
        )
    return "\n".join([*out, _line(xs, [axes.y(f) for f in fs], BLUE, 3.2)])


def _apart(xs: Sequence[float]) -> list[float]:
    """Places for names near `xs`, moved apart where points crowd."""
    places = list(xs)
    for n in range(1, len(places)):
        places[n] = max(places[n], places[n - 1] + CROWDED)
    free = float(RIGHT)
    for n in reversed(range(len(places))):
        places[n] = round(min(places[n], free), 1)
        free = places[n] - CROWDED
    return places


def _legend(
    axes: Axes, rows: Sequence[dict[str, Any]], lines: dict[str, list[float]], micro: list[float]
) -> str:
    """Names beside the ends of their curves, moved apart where they would lie on one another."""
    if not rows:
        return ""
    told = [("all five", BLUE, micro[-1], "micro of five")]
    told += [(name, COLOURS[name], fs[-1], name) for name, fs in lines.items()]
    told.sort(key=lambda row: -row[2])
    places = [axes.y(f) for _, _, f, _ in told]
    for n in range(1, len(places)):
        places[n] = max(places[n], places[n - 1] + LEAST)
    over = max(0.0, places[-1] - BOTTOM)
    places = [place - over for place in places]
    x = RIGHT + 26
    head = f'<g fill="{GREY}" font-size="12"><text x="{x + 104}" y="{TOP - 12}" text-anchor="end">F</text>'
    out = [f'{head}<text x="{x + 160}" y="{TOP - 12}" text-anchor="end">strokes</text></g>']
    end = axes.x(rows[-1]["delay_ms"]["median"])
    for (name, colour, f, key), place in zip(told, places, strict=True):
        out.append(
            f'<path d="M{end + 8} {axes.y(f)}L{x - 8} {round(place, 1)}" stroke="{colour}" opacity="0.35" '
            f'stroke-dasharray="1 3"/>'
        )
        bold = ' font-weight="bold"' if key == "micro of five" else ""
        out.append(
            f'<g fill="{colour}"{bold}><text x="{x}" y="{round(place + 4, 1)}">{name}</text>'
            f'<text x="{x + 104}" y="{round(place + 4, 1)}" text-anchor="end">{f:.3f}</text></g>'
            f'<text x="{x + 160}" y="{round(place + 4, 1)}" text-anchor="end" fill="{GREY}">'
            f"{_strokes(rows, key)}</text>"
        )
    few = [f"{name} {n}" for name in FAMILIES if 0 < (n := _strokes(rows, name)) < FEW]
    if few:
        told = f"too few strokes: {', '.join(few)}"
        out.append(f'<text x="{x + 160}" y="{BOTTOM + 46}" text-anchor="end" fill="{GREY}">{told}</text>')
    return "\n".join(out)
