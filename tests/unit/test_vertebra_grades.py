"""Height loss, density classes and their probabilities."""

import numpy as np
import pytest

from keyhole.assessment.vertebra.density import Density, expected, fusion_density, low_density, vertebral_density
from keyhole.assessment.vertebra.heights import Height, genant, height_loss


def height(value, sd=0.3, at=0.0):
    return Height(value, sd, 0.0, np.array([[0.0, at, value], [0.0, at, 0.0]]))


def three(anterior, middle, posterior):
    return {
        "anterior": height(anterior, at=-15.0),
        "middle": height(middle),
        "posterior": height(posterior, at=15.0),
    }


def test_a_wedge_loses_its_front_against_its_back():
    found = height_loss("L2", three(20.0, 24.0, 27.0), (height(27.0),))
    assert found.value == pytest.approx(100 * 7 / 27)
    assert "lowest: anterior" in found.method
    assert genant(found).likeliest == "2 (25 to 40 %)"


def test_an_even_crush_shows_against_the_neighbours_only():
    crushed = three(18.0, 18.0, 18.0)
    assert height_loss("L2", crushed, ()).value == pytest.approx(0.0)
    assert height_loss("L2", crushed, (height(26.0), height(28.0))).value == pytest.approx(100 * 9 / 27)


def test_a_body_higher_in_front_has_lost_nothing():
    assert height_loss("L5", three(30.0, 27.5, 26.0), ()).value < 0


def test_the_sd_of_a_loss_is_that_of_simulated_heights():
    rng = np.random.default_rng(3)
    a, p = 21.0 + 0.4 * rng.standard_normal(20_000), 27.0 + 0.3 * rng.standard_normal(20_000)
    heights = {"anterior": height(21.0, 0.4, -15.0), "middle": height(26.9), "posterior": height(27.0, 0.3, 15.0)}
    found = height_loss("L3", heights, ())
    assert found.sd == pytest.approx((100 * (1 - a / p)).std(), rel=0.03)


def test_heights_whose_errors_are_alike_lose_less_certainty():
    line = np.array([[0.0, 0.0, 25.0], [0.0, 0.0, 0.0]])
    alike = {place: Height(25.0, 0.5, 0.5, line) for place in ("anterior", "middle", "posterior")}
    assert height_loss("L3", alike, ()).sd == pytest.approx(0.0, abs=1e-6)


def test_l1_is_graded_by_pickhardt_and_others_by_the_limit_of_totalsegmentator():
    region = Density(112.0, 5.0, 900, np.zeros((4, 3)))
    l1, l3 = low_density(vertebral_density("L1", region)), low_density(vertebral_density("L3", region))
    assert (l1.source, l3.source) == ("pickhardt2013", "totalsegmentator-phase")
    assert l1.probability["below 110 HU (over 90 % specific for osteoporosis)"] == pytest.approx(0.345, abs=0.01)
    assert sum(l1.probability.values()) == pytest.approx(1.0)
    assert fusion_density(vertebral_density("L1", region)).likeliest.startswith("below 117 HU")


def test_a_density_says_what_scanner_and_contrast_do_and_nothing_is_subtracted():
    notes = " ".join(vertebral_density("L2", Density(150.0, 4.0, 500, np.zeros((4, 3)))).caveats)
    assert all(word in notes for word in ("120 kV", "14.75", "21 HU"))


def test_an_unknown_density_has_no_class():
    assert low_density(vertebral_density("L2", "the case has no CT; not measured")) is None


def test_bone_thins_with_age_from_thirty_on():
    assert expected(25) == expected(29) == 226.0
    assert expected(69) == 126.0
