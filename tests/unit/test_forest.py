"""Forest plots: what is drawn and where."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from keyhole.evidence import Outcome, Question
from keyhole.forecast import Study, pool, verdict
from keyhole.report.forest import forest

SVG = "{http://www.w3.org/2000/svg}"


def asked(better="lower"):
    return Question("fusion", Outcome("stay", "Length of stay", "days", better), "any", 1.0)


def drawn(effects, errors, measure="md", better="lower", **options):
    studies = [Study(f"Study {n}", y, se**2) for n, (y, se) in enumerate(zip(effects, errors, strict=True))]
    found = pool(studies, measure)
    question = asked(better)
    return found, forest(found, question, verdict(found, question.outcome), **options)


def shapes(plot, kind):
    return list(ET.fromstring(plot.svg).iter(f"{SVG}{kind}"))


def texts(plot):
    return [node.text for node in shapes(plot, "text")]


def middles(plot):
    return [
        float(b.get("x")) + float(b.get("width")) / 2 for b in shapes(plot, "rect") if b.get("fill-opacity") == "0.72"
    ]


def test_squares_stand_in_the_order_of_the_effects_and_grow_with_weight():
    _, plot = drawn([-3, 1, 2], [1, 0.3, 1])
    assert middles(plot) == sorted(middles(plot))
    widths = [float(box.get("width")) for box in shapes(plot, "rect") if box.get("fill-opacity") == "0.72"]
    assert widths[1] > widths[0] == widths[2]


def test_every_study_the_pool_and_the_word_are_written():
    found, plot = drawn([-3, 1, 2], [1, 0.3, 1])
    words = " ".join(texts(plot))
    assert all(f"Study {n}" in words for n in range(3))
    assert "Pooled, k = 3" in words
    assert f"I² {found.i2:.1f} %" in words
    assert "No clear difference" in words
    assert "next study may lie" in words
    assert "Hartung-Knapp" in words


def test_the_diamond_is_the_interval_that_is_asked_for():
    widths = []
    for hk in (True, False):
        _, plot = drawn([-3, 1, 2], [1, 0.3, 1], hk=hk)
        diamond = max(shapes(plot, "polygon"), key=lambda p: len(p.get("points")))
        xs = [float(pair.split(",")[0]) for pair in diamond.get("points").split()]
        widths.append(max(xs) - min(xs))
    assert widths[0] > widths[1]


@pytest.mark.parametrize(("better", "left"), [("lower", "MISS better"), ("higher", "MISS worse")])
def test_the_sides_say_which_is_better(better, left):
    _, plot = drawn([-3, 1, 2], [1, 0.3, 1], better=better)
    sides = [node for node in shapes(plot, "text") if node.text.startswith("MISS ")]
    assert min(sides, key=lambda node: float(node.get("x"))).text == left


def test_ratios_are_drawn_on_a_logarithmic_axis_and_written_as_ratios():
    _, plot = drawn([math.log(0.5), 0.0, math.log(2), 0.0, 0.1], [0.3] * 5, "or")
    x = middles(plot)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.02)
    assert any(re.match(r"0\.50 \[", words or "") for words in texts(plot))
    assert {"0.5", "1", "2"} <= set(texts(plot))


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow():
    _, plot = drawn([0, 0.1], [0.01, 0.01])
    assert len(shapes(plot, "polygon")) > 1
    _, calm = drawn([0, 0.1, 0.05, 0.02], [0.1, 0.1, 0.1, 0.1])
    assert len(shapes(calm, "polygon")) == 1


def test_one_study_is_a_plot_too_and_the_same_input_gives_the_same_bytes():
    _, plot = drawn([2.0], [1.0])
    assert "Pooled, k = 1" in texts(plot)
    assert drawn([2.0], [1.0])[1].svg == plot.svg
    assert "Study 0 2.00" in plot.alt


def test_names_are_escaped():
    found = pool([Study("A <b> & 'c'", 1.0, 1.0)], "md")
    assert "A <b> & 'c'" in texts(forest(found, asked(), verdict(found, asked().outcome)))
