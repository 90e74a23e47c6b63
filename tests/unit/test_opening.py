"""Pictures of the opening: what is filled is what the way takes, wherever and however the patient lies."""

import re

import numpy as np
import pytest
from report_case import STILL, Pose, anatomy, plan

from keyhole.report.opening import SIZE, SKIN_FIELD, SKIN_SIZE, openings

ANGLE = np.deg2rad(25)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
TURNED = Pose(TURN, np.array([15.0, 40, -200]))
OBLIQUE = Pose(TURN, np.array([15.0, 40, -200]), (2.5, 3.5, 3.0), True)


def drawn(pose=STILL, shown=None):
    made = plan({}, pose)
    shown = shown or [made.candidates[0], made.open]
    return openings(anatomy(pose), (), "L4/L5", shown, [(f"s{n}", f"k{n}") for n in range(len(shown))])


@pytest.fixture(scope="module")
def still():
    return drawn()


def way(opening):
    """The filled way: lines (n, 2) in px."""
    data = re.search(r'd="([^"]*)" fill="#ffd23f"', opening.slice)[1]
    lines = [[tuple(map(float, p.split())) for p in line.rstrip("Z").split("L")] for line in data.split("M")[1:]]
    return [np.array(line) for line in lines]


def area(line):
    x, y = line.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def cut(opening):
    return [float(re.search(rf'<line[^>]* {k}="([^"]*)"', opening.skin)[1]) for k in ("x1", "y1", "x2", "y2")]


def test_the_open_way_is_filled_wider_than_the_tube(still):
    tube, open_ = (sum(map(area, way(one))) for one in still)
    assert open_ > 2 * tube > 0


def test_the_open_way_spares_bone_and_canal(still):
    found = anatomy()
    from keyhole.report.opening import opened_at
    from keyhole.report.views import along, axes_of, label_samples

    upper, lower = found.pair("L4/L5")
    view = along(plan({}).open, axes_of(found, "L4/L5"), SIZE, (upper.centre + lower.centre) / 2)[0]
    points = view.points(2.0)
    opened = opened_at(found, plan({}).open, points)
    keys = {found.labels.structures[n] for n in np.unique(label_samples(found.labels, points)[opened])}
    assert keys
    assert not any(key.startswith(("vertebra", "canal", "root", "disc")) for key in keys)
    assert any(key.startswith("muscle") for key in keys)


@pytest.mark.parametrize("pose", [TURNED, OBLIQUE], ids=["moved and turned", "oblique, anisotropic"])
def test_a_patient_who_lies_otherwise_has_the_same_pictures(still, pose):
    for one, other in zip(still, drawn(pose), strict=True):
        assert sum(map(area, way(other))) == pytest.approx(sum(map(area, way(one))), rel=0.12)
        middles = [np.concatenate(way(x)).mean(axis=0) for x in (one, other)]
        assert middles[1] == pytest.approx(middles[0], abs=12)
        assert cut(other) == pytest.approx(cut(one), abs=0.1)


def test_left_and_right_are_the_patients(still):
    made = plan({}).candidates[0]

    def flipped(p):
        return (-p[0], p[1], p[2])

    mirrored = made.model_copy(
        update={"entry": flipped(made.entry), "dock": flipped(made.dock), "target": flipped(made.target)}
    )
    other = drawn(shown=[mirrored, plan({}).open])
    assert cut(still[0])[0] < SKIN_SIZE[0] / 2 < cut(other[0])[0]  # from behind the left is at the left
    left, right = (np.concatenate(way(x[0]))[:, 0].mean() for x in (still, other))
    bone = SIZE[0] / 2
    assert left > bone > right  # from the feet the left is at the right


def test_the_cut_has_its_true_length(still):
    scale = SKIN_SIZE[0] / SKIN_FIELD
    for one, entry in zip(still, (plan({}).candidates[0], plan({}).open), strict=True):
        x1, y1, x2, y2 = cut(one)
        assert np.hypot(x2 - x1, y2 - y1) == pytest.approx(entry.incision.value * scale, abs=0.05)


def test_an_incision_that_is_not_known_is_not_drawn():
    made = plan({}).candidates[0]
    blind = made.model_copy(update={"incision": made.incision.model_copy(update={"value": None, "caveats": ("no",)})})
    assert "<line" not in drawn(shown=[blind])[0].skin


def test_both_slices_have_one_scale_and_say_what_they_show(still):
    assert [re.search(r'aria-label="([^"]*)"', one.slice)[1] for one in still] == ["s0", "s1"]
    assert "sac" in still[1].groups
