"""Charts as inline SVG: no script, coloured by the page's style sheet, so they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

WIDTH, HEIGHT = 320, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 28, 40


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; points whose y is None are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str
    """CSS class that gives colour and dashes: "oracle", "logprob", "ranker-1", ..."""
    band: Sequence[Sequence[float]] = ()
    """(low, high) of each point, drawn as a band."""
    notes: Sequence[str] = ()
    """Shown beside the value when a point is hovered."""


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], at most `most` of them.

    Example:
        >>> ticks(0, 1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    while math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1 > most:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(x: float) -> str:
    """A number as short as a label needs it."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}".replace("-", "\u2212")


def _span(values: Sequence[float], padding: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * padding or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    diagonal: bool = False,
    path: bool = False,
) -> Markup:
    """A figure with title, axes, lines with points, bands where given, and a legend of several lines.

    Args:
        x_label, y_label: with their units.
        y_range: of the y axis; from the data when None.
        percent: y values are shares, shown as percent.
        diagonal: draw y = x, on axes from 0 to 1.
        path: points are joined in their order, x may go back; intervals are bars, not a band.
    """
    drawn = [s for s in series if any(y is not None for y in s.y)]
    xs = [x for s in drawn for x in s.x]
    ys = [y for s in drawn for y in s.y if y is not None] + [
        v for s in drawn for pair in s.band for v in pair
    ]
    x_low, x_high = (0.0, 1.0) if diagonal else _span(xs, padding=0.02)
    y_low, y_high = y_range or ((0.0, 1.0) if diagonal else _span(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT), 1),
            round(HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM), 1),
        )

    def shown(y: float) -> str:
        return f"{100 * y:.4g}" if percent else number(y)

    svg = ET.Element("svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    svg.set("aria-label", f"{title}: {y_label} by {x_label}")
    for y in ticks(y_low, y_high):
        (x1, y1), (x2, _) = at(x_low, y), at(x_high, y)
        _add(svg, "line", "grid", x1=x1, y1=y1, x2=x2, y2=y1)
        _text(svg, shown(y), x1 - 6, y1 + 4, "end")
    whole = not diagonal and all(x == int(x) for x in xs)  # counts of something, which has no halves
    first = min(xs)
    for x in sorted({*ticks(x_low, x_high), *([first] if whole else [])}):
        clear = x == first or x - first > 0.06 * (x_high - x_low)  # of the first count's number
        if not whole or (x == int(x) and clear):
            x1, y1 = at(x, y_low)
            _add(svg, "line", "tick", x1=x1, y1=y1, x2=x1, y2=y1 + 4)
            _text(svg, number(x), x1, y1 + 17, "middle")
    (x1, y1), (x2, _) = at(x_low, y_low), at(x_high, y_low)
    _add(svg, "line", "axis", x1=x1, y1=y1, x2=x2, y2=y1)
    _text(svg, x_label, (x1 + x2) / 2, HEIGHT - 6, "middle")
    _text(svg, y_label, 2, 12, "start")
    if diagonal:
        (x1, y1), (x2, y2) = at(0, 0), at(1, 1)
        _add(svg, "line", "diagonal", x1=x1, y1=y1, x2=x2, y2=y2)
    for s in drawn:
        if s.band and (path or len(s.x) == 1):
            for x, pair in zip(s.x, s.band, strict=True):
                (x1, y1), (_, y2) = at(x, pair[0]), at(x, pair[1])
                _add(svg, "line", f"whisker {s.style}", x1=x1, y1=y1, x2=x1, y2=y2)
        elif s.band:
            low = [at(x, pair[0]) for x, pair in zip(s.x, s.band, strict=True)]
            high = [at(x, pair[1]) for x, pair in zip(s.x, s.band, strict=True)]
            _add(svg, "polygon", f"band {s.style}", points=_path([*low, *reversed(high)]))
    for s in drawn:
        points = [(x, y, i) for i, (x, y) in enumerate(zip(s.x, s.y, strict=True)) if y is not None]
        _add(svg, "polyline", f"line {s.style}", points=_path([at(x, y) for x, y, _ in points]))
        for x, y, i in points:
            cx, cy = at(x, y)
            dense = len(points) > 24  # then the point is there for hovering alone
            css = f"point {s.style}{' dense' if dense else ''}"
            point = _add(svg, "circle", css, cx=cx, cy=cy, r=4 if dense else 2.5)
            interval = f" ({shown(s.band[i][0])} to {shown(s.band[i][1])})" if s.band else ""
            note = f", {s.notes[i]}" if s.notes else ""
            ET.SubElement(
                point, "title"
            ).text = f"{s.name}, {x_label} {number(x)}: {shown(y)}{interval}{note}"
    figure = ET.Element("figure")
    ET.SubElement(figure, "figcaption").text = title
    figure.append(svg)
    if len(drawn) > 1:
        figure.append(_legend(drawn))
    return _markup(figure)


def _legend(series: Sequence[Series]) -> ET.Element:
    legend = ET.Element("ul", {"class": "legend"})
    for s in series:
        item = ET.SubElement(legend, "li")
        key = ET.SubElement(item, "svg", {"viewBox": "0 0 22 8", "class": "key", "aria-hidden": "true"})
        _add(key, "line", f"line {s.style}", x1=1, y1=4, x2=21, y2=4)
        key.tail = s.name
    return legend


def interval_strip(low: float, value: float, high: float, *, span: tuple[float, float]) -> Markup:
    """A difference with its interval on an axis over `span`, which holds 0; a dotted line marks 0."""
    width, height = 200, 16

    def at(x: float) -> float:
        return round(5 + (x - span[0]) / (span[1] - span[0]) * (width - 10), 1)

    svg = ET.Element("svg", {"viewBox": f"0 0 {width} {height}", "class": "strip", "aria-hidden": "true"})
    told_apart = "apart" if low > 0 or high < 0 else "same"
    _add(svg, "line", "zero", x1=at(0), y1=0, x2=at(0), y2=height)
    _add(svg, "line", f"interval {told_apart}", x1=at(low), y1=height / 2, x2=at(high), y2=height / 2)
    _add(svg, "circle", f"estimate {told_apart}", cx=at(value), cy=height / 2, r=3.5)
    return _markup(svg)


def _markup(element: ET.Element) -> Markup:
    return Markup(ET.tostring(element, encoding="unicode", short_empty_elements=False))


def _add(parent: ET.Element, tag: str, css: str, **attributes: float | str) -> ET.Element:
    return ET.SubElement(parent, tag, {"class": css} | {k: str(v) for k, v in attributes.items()})


def _text(parent: ET.Element, text: str, x: float, y: float, anchor: str) -> None:
    ET.SubElement(parent, "text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}).text = text


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
