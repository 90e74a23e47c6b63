"""The phantom's truth against counting fine voxels, and against assess on labels."""

import numpy as np
import pytest

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PATHOLOGIES, PhantomParameters, findings, phantom
from keyhole.anatomy.phantom.truth.bodies import body_truth
from keyhole.anatomy.phantom.truth.canal import CHORD, canal_truth
from keyhole.assessment.findings import assess
from keyhole.geometry import Grid, Transform, affine
from keyhole.geometry.transform import INDEX, PATIENT
from keyhole.terms import Origin

UPRIGHT = Transform(PATIENT, INDEX, np.eye(4))


def local_grid(place, low, high, step):
    """A grid along the axes of `place` of an upright phantom."""
    matrix = np.eye(4)
    matrix[:3, :3] = place.axes.T * step
    matrix[:3, 3] = place.at(*low)
    return Grid(tuple(int(n) for n in np.ceil((np.array(high, dtype=float) - low) / step)), affine(matrix))


def counted_plane(one, name, sense):
    """An endplate's plane in the phantom's frame from the columns of a 0.5 mm grid: normal and a point."""
    place = one.spine.places[name]
    labels = one.labels_on(local_grid(place, (-28, -22, -18), (28, 22, 18), 0.5))
    body = labels.mask(f"vertebra/{name}/body")
    rank = np.arange(body.shape[2])
    ends = np.where(body, rank, -1).max(axis=2) if sense > 0 else np.where(body, rank, 10**6).min(axis=2)
    foot = body.any(axis=2)
    i, j = np.nonzero(foot)
    centre = np.array([i.mean(), j.mean()])
    wide = np.round(centre + (np.column_stack([i, j]) - centre) / 0.8).astype(int)
    inside = (wide >= 0).all(axis=1) & (wide < foot.shape).all(axis=1)
    inside[inside] = foot[tuple(wide[inside].T)]
    i, j = i[inside], j[inside]
    points = labels.grid.centres(np.column_stack([i, j, ends[i, j] + sense * 0.5]))
    middle = points.mean(axis=0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][2]
    return normal * np.sign(normal[2]), middle


@pytest.mark.parametrize(
    ("seed", "pathologies"), [(0, ("herniation",)), pytest.param(1, ("degeneration",), marks=pytest.mark.slow)]
)
def test_disc_height_and_lordosis_agree_with_counted_columns(seed, pathologies):
    one = phantom(PhantomParameters(seed, pathologies, severity=0.8), UPRIGHT)
    true = {f.name: f.value for f in findings(one, ("L4/L5",), (body_truth, canal_truth))}
    top, roof, floor = (counted_plane(one, name, sense) for name, sense in (("L4", 1), ("L4", -1), ("L5", 1)))
    axis = roof[0] + floor[0]
    middle = (roof[1] + floor[1]) / 2
    height = sum(s * (p - middle) @ n / (n @ axis) for s, (n, p) in ((1, roof), (-1, floor))) * np.linalg.norm(axis)
    assert height == pytest.approx(true["disc height"], abs=0.25)
    lean = [np.degrees(np.arctan2(-n[1], n[2])) for n, _ in (floor, top)]
    assert lean[0] - lean[1] == pytest.approx(true["segmental lordosis"], abs=0.4)


@pytest.mark.parametrize(("seed", "pathologies"), [(0, ("herniation",)), (5, ("central-stenosis",))])
def test_canal_area_agrees_with_fine_voxels_in_a_slab(seed, pathologies):
    from skimage.morphology import convex_hull_image

    one = phantom(PhantomParameters(seed, pathologies, severity=0.7), UPRIGHT)
    true = {f.name: f.value for f in findings(one, ("L4/L5",), (body_truth, canal_truth))}
    s = one.spine.arc_on(one.spine.discs["L4/L5"])
    normal = one.spine.point(s - CHORD) - one.spine.point(s + CHORD)
    normal /= np.linalg.norm(normal)
    back = np.array([0.0, normal[2], -normal[1]])
    matrix = np.eye(4)
    step = 0.25
    matrix[:3, :3] = np.column_stack([[1, 0, 0], back, normal]) * step
    matrix[:3, 3] = one.spine.point(s) - step * (72 * np.array([1, 0, 0]) + 56 * back + 2 * normal)
    labels = one.labels_on(Grid((145, 113, 5), affine(matrix)))
    free, roots = labels.mask("canal/dural_sac", "canal/epidural"), labels.mask("root")
    inside = np.stack([convex_hull_image(free[..., k]) for k in range(5)], axis=-1)  # roots within are content
    area = (free | (roots & inside)).sum() * step**2 / 5
    assert area == pytest.approx(true["canal area"], rel=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7])
def test_assess_on_labels_of_a_posed_phantom_finds_the_truth(seed):
    pathology = PATHOLOGIES[seed % 5]
    one = phantom(PhantomParameters(seed, (pathology,), "L3/L4", "right", 0.7))
    true = {(f.name, f.level): f.value for f in findings(one, ("L1/L2", "L3/L4", "L5/S1"), (body_truth, canal_truth))}
    top, low = one.spine.discs["T11/T12"].z, one.spine.places["S1"].z - 40
    corners = np.array([[x, y, z] for x in (-70, 70) for y in (-40, 100) for z in (low, top)])
    box = one.patient_from_phantom.apply(corners)
    matrix = np.eye(4)
    matrix[:3, 3] = box.min(axis=0)
    labels = one.labels_on(Grid(tuple(int(n) for n in np.ceil(np.ptp(box, axis=0))), affine(matrix)))
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.0) for key in labels.structures.values()}
    bones = vertebrae(labels)
    anatomy = Anatomy(labels, known, bones, canal_line(labels, bones), None, "CT", "true", True)
    found = {(f.name, f.level): f.value for f in assess(anatomy)}
    limits = {"disc height": 1.0, "slip": 1.0, "segmental lordosis": 2.0, "lumbar lordosis": 2.0}
    for (name, level), value in true.items():
        limit = 0.08 * value if name == "canal area" else limits.get(name)
        if limit is not None:
            assert found[name, level] == pytest.approx(value, abs=limit), (name, level)
