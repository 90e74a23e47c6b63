"""The drawing of a calibration: what lies where, and the same in words."""

import xml.etree.ElementTree as ET
from functools import cache

import numpy as np
import pytest
from expected_case import case_record, record
from scipy.special import expit

from keyhole.forecast import calibration
from keyhole.forecast.patient import calibration_entry
from keyhole.report.calibration import BOTTOM, LEFT, RIGHT, TOP, calibration_chart, calibration_words
from keyhole.report.decision import outlook_page, outlook_paper
from keyhole.report.outlook import outlook

SVG = "{http://www.w3.org/2000/svg}"


@cache
def entry(shift=-0.8, n=800, few=False):
    rng = np.random.default_rng(3)
    x = np.full(n, -2.0) if few else rng.normal(-1.5, 0.8, n)
    return calibration_entry(calibration(expit(x), (rng.random(n) < expit(x + shift)).astype(float)), None)


def drawn(fit):
    return ET.fromstring(calibration_chart(fit, "Score"))


def top_of(root):
    """The share at the end of both axes."""
    return max(float(node.text) for node in root.iter(f"{SVG}text") if node.text.replace(".", "").isdigit()) / 100


def spots(root, tag, attribute="points"):
    node = next(root.iter(f"{SVG}{tag}"))
    return np.array([[float(v) for v in spot.split(",")] for spot in node.get(attribute).split()])


def test_groups_stand_where_they_were_predicted_and_observed():
    fit = entry()
    root = drawn(fit)
    top = top_of(root)
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")][: len(fit.bins)]
    for (x, y), one in zip(circles, fit.bins, strict=True):
        assert (x - LEFT) / (RIGHT - LEFT) * top == pytest.approx(one.predicted, abs=1e-3)
        assert (BOTTOM - y) / (BOTTOM - TOP) * top == pytest.approx(one.observed, abs=1e-3)


@pytest.mark.parametrize(("shift", "below"), [(-0.8, True), (0.8, False)])
def test_a_score_that_overstates_lies_below_the_diagonal(shift, below):
    root = drawn(entry(shift))
    diagonal, curve = (
        np.array([[float(v) for v in spot.split(",")] for spot in node.get("points").split()])
        for node in root.iter(f"{SVG}polyline")
    )
    on = np.interp(curve[:, 0], diagonal[:, 0], diagonal[:, 1])
    assert ((curve[:, 1] > on) == below).all()  # pixels go down


def test_the_band_holds_the_curve():
    root = drawn(entry())
    band = spots(root, "polygon")
    half = len(band) // 2
    curve = np.array(
        [[float(v) for v in s.split(",")] for s in list(root.iter(f"{SVG}polyline"))[1].get("points").split()]
    )
    assert (band[:half, 1] <= curve[:, 1] + 0.1).all()
    assert (band[half:][::-1, 1] >= curve[:, 1] - 0.1).all()


def test_one_prediction_for_all_has_a_point_and_no_curve():
    root = drawn(entry(few=True))
    assert len(list(root.iter(f"{SVG}polyline"))) == 1
    assert not any("bootstrap" in (node.text or "") for node in root.iter(f"{SVG}text"))


def test_everything_drawn_lies_in_the_axes():
    for fit in (entry(), entry(2.5), entry(few=True)):
        for node in drawn(fit).iter(f"{SVG}polygon"):
            for spot in node.get("points").split():
                x, y = map(float, spot.split(","))
                assert LEFT - 0.1 <= x <= RIGHT + 0.1
                assert TOP - 0.1 <= y <= BOTTOM + 0.1


def test_the_words_say_which_way_and_every_group():
    fit = entry()
    said = calibration_words(fit, "Score")
    assert f"on average {100 * fit.in_the_large.value:.1f} points higher than observed" in said
    assert said.count("predicted") == len(fit.bins) + 1
    assert "lower than observed" in calibration_words(entry(0.8), "Score")


def test_page_and_paper_hold_the_plot():
    risks = (record().risks[-1].model_copy(update={"calibration": entry()}),)
    found = outlook(case_record(), record().model_copy(update={"risks": risks}), is_confirmed=True)
    text = outlook_page(found).decode()
    assert found.calibrations[0].svg in text
    assert 'aria-label="Calibration: ' in text
    assert outlook_paper(found).startswith(b"%PDF-")
