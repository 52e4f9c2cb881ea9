import math
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rewardranker.report.charts import HEIGHT, WIDTH, Series, interval_strip, line_chart, ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_few_round_and_inside(low, width, most):
    high = low + width
    assume(width > abs(low) * 1e-5)
    found = ticks(low, high, most)
    assert len(found) <= most
    assert all(low - width * 1e-6 <= t <= high + width * 1e-6 for t in found)
    for a, b in pairwise(found):
        mantissa = float(f"{b - a:.3e}".split("e")[0])
        assert mantissa in (1, 2, 5)


def test_ticks_of_a_share():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0.5, 0.96) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert ticks(1, 10) == [2, 4, 6, 8, 10]


def parsed(chart):
    return ET.fromstring(str(chart))


def test_chart_has_title_axes_and_every_point():
    chart = line_chart(
        "Loss <b>",
        [
            Series("a", [1, 2, 3], [3.0, None, 1.0], "training"),
            Series("b", [1, 2, 3], [2.0, 2.5, 0.5], "validation"),
        ],
        x_label="epoch",
        y_label="nats",
    )
    figure = parsed(chart)
    assert figure.find("figcaption").text == "Loss <b>"
    assert "&lt;b&gt;" in str(chart)
    texts = [t.text for t in figure.iter("text")]
    assert "epoch" in texts
    assert "nats" in texts
    points = list(figure.iter("circle"))
    assert len(points) == 5
    assert points[0].find("title").text == "a, epoch 1: 3"
    assert [li.find("svg").tail for li in figure.iter("li")] == ["a", "b"]


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=20),
    st.booleans(),
)
def test_points_lie_inside_the_picture(ys, band):
    series = Series(
        "s", list(range(len(ys))), ys, "training", band=[(y - 1, y + 1) for y in ys] if band else ()
    )
    figure = parsed(line_chart("t", [series], x_label="x", y_label="y"))
    for circle in figure.iter("circle"):
        x, y = float(circle.get("cx")), float(circle.get("cy"))
        assert math.isfinite(x)
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_intervals_of_a_single_point_and_of_a_path_are_bars():
    one = Series("s", [1], [0.5], "pass", band=[(0.4, 0.6)])
    path = Series("s", [1.5, 0.5, 2.5], [0.5, 0.6, 0.7], "pass", band=[(0.4, 0.6)] * 3)
    for series, is_path in ((one, False), (path, True)):
        figure = parsed(line_chart("t", [series], x_label="x", y_label="y", path=is_path))
        bars = [e for e in figure.iter("line") if e.get("class").startswith("whisker")]
        assert len(bars) == len(series.x)
        assert all(float(b.get("y1")) > float(b.get("y2")) for b in bars)
        assert not list(figure.iter("polygon"))


def test_an_axis_of_counts_has_no_halves_and_another_has():
    def labels(xs):
        chart = line_chart("t", [Series("s", xs, xs, "pass")], x_label="x", y_label="y")
        return [t.text for t in parsed(chart).iter("text") if t.get("text-anchor") == "middle"]

    assert labels([1, 2]) == ["1", "2", "x"]
    assert "1.2" in labels([1.1, 1.9])


def test_higher_values_are_drawn_higher():
    figure = parsed(line_chart("t", [Series("s", [0, 1], [0.1, 0.9], "pass")], x_label="x", y_label="y"))
    low, high = (float(c.get("cy")) for c in figure.iter("circle"))
    assert high < low


def test_one_line_needs_no_legend():
    assert not list(
        parsed(line_chart("t", [Series("s", [0], [1.0], "kl")], x_label="x", y_label="y")).iter("ul")
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "css"),
    [(0.01, 0.02, 0.03, "apart"), (-0.01, 0.02, 0.05, "same"), (-3, -2, -1, "apart")],
)
def test_strip_tells_whether_zero_is_inside(low, value, high, css):
    svg = parsed(interval_strip(low, value, high, span=(-4, 4)))
    assert svg.find("circle").get("class") == f"estimate {css}"
    zero, interval = svg.findall("line")
    inside = float(interval.get("x1")) <= float(zero.get("x1")) <= float(interval.get("x2"))
    assert inside == (css == "same")
