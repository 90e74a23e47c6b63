"""Harm: nothing counted twice, openings, modelled nerves and capsules, the plane between the muscles."""

from types import SimpleNamespace

import numpy as np
import pytest
from harm_recount import by_deed, capsule_share, skin_area, union
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.casefile import Body
from keyhole.geometry import LabelMap, Tube, affine
from keyhole.plan.approaches import catalogue
from keyhole.plan.harm import Harming, harm, openings, volumes
from keyhole.plan.harm.branch import branches
from keyhole.plan.harm.capsule import capsules
from keyhole.plan.harm.cleft import cleft
from keyhole.plan.harm.count import marks
from keyhole.plan.harm.midline import exposure
from keyhole.plan.harm.openings import opening
from keyhole.plan.site import Site, body_code, site

COARSE = (2.0, 2.0, 2.0)
MOTION = np.eye(4)
MOTION[:3, :3] = Rotation.from_euler("xyz", [25, -40, 70], degrees=True).as_matrix()
MOTION[:3, 3] = [31.0, -12.0, 55.0]
POSES = {
    "as it lies": {"spacing": COARSE},
    "moved and turned": {"motion": MOTION, "spacing": COARSE},
    "oblique and anisotropic": {"spacing": (1.6, 1.9, 2.2), "turn": (18, -13)},
}


@pytest.fixture(scope="module")
def places():
    return {name: site(back(herniation=None, **pose), "L4/L5", "left") for name, pose in POSES.items()}


@pytest.fixture(scope="module")
def mirrored():
    return site(back(herniation=None, flip=True, spacing=COARSE), "L4/L5", "right")


def tube(place, entry, tip, radius=7.0):
    """A tube by the level's own (lateral, posterior, up) mm."""
    return Tube(place.frame.patient(np.array(entry, float)), place.frame.patient(np.array(tip, float)), radius)


def docked(place):
    return tube(place, (24, 76, 3), (18, 44, 0))


def crossed(place, what):
    return {e.name: e for e in harm(place, what).crossings}


@pytest.mark.parametrize("pose", POSES)
def test_a_recount_of_two_portals_finds_the_same_union(places, pose):
    place = places[pose]
    pair = Harming((("tube", docked(place)), ("portal", tube(place, (26, 76, 22), (17, 44, 4), 4.0))))
    found = harm(place, pair)
    bodies = [b.model_dump() for b in found.bodies]
    counted = union(place.labels.array, place.labels.patient_from_index.matrix, dict(place.labels.structures), bodies)
    for entry in found.tissues:
        assert entry.volume.value == pytest.approx(counted[entry.key], abs=0.02), entry.key
        assert entry.volume.sd >= 0
    assert {k: q.value for k, q in found.totals.items()} == pytest.approx(by_deed(counted), abs=0.03)


def test_what_two_portals_share_counts_once(places):
    place = places["as it lies"]
    one, other = docked(place), tube(place, (24, 76, 3), (10, 44, 0))
    alone, beside = (sum(volumes(place.labels, t).values()) for t in (one, other))
    both = sum(volumes(place.labels, [one, other]).values())
    assert sum(volumes(place.labels, [one, one]).values()) == pytest.approx(alone)
    assert max(alone, beside) < both < alone + beside - 0.5


def test_what_is_counted_already_is_not_counted_again(places):
    place = places["as it lies"]
    one = docked(place)
    everything = np.ones(place.labels.array.shape, dtype=bool)
    assert volumes(place.labels, one, counted=everything) == {}
    half = everything.copy()
    half[: place.labels.array.shape[0] // 2] = False
    rest = sum(volumes(place.labels, one, counted=half).values()) + sum(
        volumes(place.labels, one, counted=~half).values()
    )
    assert rest == pytest.approx(sum(volumes(place.labels, one).values()))


@pytest.mark.parametrize("pose", ["moved and turned", "oblique and anisotropic"])
def test_harm_hangs_on_the_patient_alone(places, pose):
    first, second = (harm(places[name], docked(places[name])) for name in ("as it lies", pose))
    close = 0.02 if pose == "moved and turned" else 0.6
    for one, other in zip(first.openings, second.openings, strict=True):
        assert one.area.value == pytest.approx(other.area.value, rel=0.02 if close < 0.1 else 0.12)
    gaps, others = ({e.name: e.gap.value for e in h.crossings if e.gap.value is not None} for h in (first, second))
    for name in gaps:
        assert gaps[name] == pytest.approx(others[name], abs=max(close, 0.02) * 3), name
    assert first.plane.lateral.value == pytest.approx(second.plane.lateral.value, abs=0.6)
    muscle = [sum(m.volume.value for m in h.muscles) for h in (first, second)]
    assert muscle[0] == pytest.approx(muscle[1], rel=0.04)


def test_a_mirrored_patient_has_mirrored_harm(places, mirrored):
    found, other = harm(places["as it lies"], docked(places["as it lies"])), harm(mirrored, docked(mirrored))
    swap = {"left": "right", "right": "left"}
    gaps = {e.name: e.gap.value for e in found.crossings if e.gap.value is not None}
    for entry in other.crossings:
        name = " ".join(swap.get(w, w) for w in entry.name.split())
        if entry.gap.value is not None:
            assert entry.gap.value == pytest.approx(gaps[name], abs=0.3), name
    assert [o.area.value for o in found.openings] == pytest.approx([o.area.value for o in other.openings], rel=0.02)
    assert found.totals["dilated"].value == pytest.approx(other.totals["dilated"].value, rel=0.01)


def slab(normal, turn=(0.0, 0.0, 0.0), spacing=(1.0, 1.0, 1.0)):
    """A site whose skin, 2 mm, and muscle end at a plane through the origin with `normal`."""
    base = site(back(herniation=None, spacing=COARSE), "L4/L5", "left")
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    matrix, shape = np.eye(4), np.ceil(70 / np.array(spacing)).astype(int)
    matrix[:3, :3], matrix[:3, 3] = axes, -axes @ ((shape - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    depth = -(index @ matrix[:3, :3].T + matrix[:3, 3]) @ (np.array(normal) / np.linalg.norm(normal))
    code = np.select([depth < 0, depth < 2, depth < 8], [0, 1, 2], 3).astype(np.uint16)
    keys = {1: "tissue/skin", 2: "tissue/fat", 3: "muscle/paraspinal/left"}
    labels = LabelMap(code, affine(matrix), keys)
    return Site(base.frame, labels, base.structures, body_code(labels)[0], {}, ())


@pytest.mark.parametrize(("turn", "spacing"), [((0, 0, 0), (1, 1, 1)), ((20, -35, 50), (0.8, 1.3, 1.1))])
@pytest.mark.parametrize("layer", ["skin", "fascia"])
def test_a_tube_through_a_tilted_plane_opens_an_ellipse(turn, spacing, layer):
    place = slab((0, 1, 0.5), turn, spacing)
    cosine = 1 / np.hypot(1, 0.5)
    one = Tube(np.array([0, 6.0, 0]), np.array([0, -25.0, 0]), 6.0)
    found = opening(place.labels, [one], layer, place.frame.lateral, 0.5)
    assert found.count == 1
    assert found.length == pytest.approx(12 / cosine, rel=0.03)
    assert found.area == pytest.approx(np.pi * 36 / cosine, rel=0.03)
    assert found.length_sd > 0


def test_a_tube_square_to_the_skin_has_a_finite_doubt_however_its_cosine_rounds(monkeypatch):
    place, one = slab((0, 1, 0)), Tube(np.array([0, 6.0, 0]), np.array([0, -25.0, 0]), 6.0)
    for cosine in (1.0, np.nextafter(1.0, 2.0)):
        plane = SimpleNamespace(normal=np.array([0, cosine, 0]), foot=lambda point: point)
        monkeypatch.setattr(openings, "_surface", lambda points, out, plane=plane: (plane, 0.2))
        found = opening(place.labels, [one], "skin", place.frame.lateral, 0.5)
        assert np.isfinite([found.length_sd, found.area_sd]).all()
        assert found.length == pytest.approx(12)


def test_two_openings_that_meet_have_the_area_of_their_union():
    place = slab((0, 1, 0))
    one = Tube(np.array([0, 6.0, 0]), np.array([0, -25.0, 0]), 6.0)
    other = Tube(np.array([6.0, 6.0, 0]), np.array([6.0, -25.0, 0]), 6.0)
    found = opening(place.labels, [one, other], "skin", place.frame.lateral, 0.5)
    lens = 2 * 36 * np.arccos(0.5) - 3 * np.sqrt(144 - 36)
    assert found.area == pytest.approx(2 * np.pi * 36 - lens, rel=0.04)
    assert found.count == 2
    assert opening(place.labels, [one, one], "skin", place.frame.lateral, 0.5).count == 1


def test_the_skin_opening_is_what_lines_down_the_tube_find(places):
    place = places["oblique and anisotropic"]
    found = harm(place, docked(place))
    length, area = skin_area(place.labels.array, place.labels.patient_from_index.matrix, found.bodies[0].model_dump())
    skin = found.openings[0]
    assert skin.length.value == pytest.approx(length, rel=0.06)
    assert skin.area.value == pytest.approx(area, rel=0.06)


def test_the_medial_branch_runs_down_the_groove_beside_the_articular_process(places):
    place = places["as it lies"]
    found = {b.name: b for b in branches(place)}
    upper, notch = place.frame.local(found["medial branch of L4 left"].path)[[0, -1]]
    assert 18 < upper[0] < 30  # articular process 15 to 23, transverse process 18 to 42 mm lateral
    assert -20 <= notch[2] < upper[2] <= -8  # where both lie
    assert found["medial branch of L3 left"].path is None  # no articular process is labelled at L4
    assert "not placed" in found["medial branch of L3 left"].caveats[0]


def test_a_tube_over_the_groove_crosses_the_branch_and_one_beside_the_midline_does_not(places):
    place = places["as it lies"]
    path = place.frame.local(next(b for b in branches(place) if b.name == "medial branch of L4 left").path)
    middle = path.mean(axis=0)
    over = crossed(place, tube(place, middle + np.array([0, 40, 0]), middle, 6.0))["medial branch of L4 left"]
    aside = crossed(place, tube(place, (5, 76, 0), (5, 44, 0), 4.0))["medial branch of L4 left"]
    assert over.gap.value < -4
    assert over.probability > 0.9
    assert aside.probability < 0.001
    assert over.origin == "modelled"
    assert any("modelled" in c for c in over.gap.caveats)


def test_the_capsule_lies_about_its_joint_and_a_recount_finds_its_share(places):
    place = places["oblique and anisotropic"]
    one = tube(place, (20, 60, 2), (18, 33, 2), 5.0)
    found = crossed(place, one)["facet capsule L4/L5 left"]
    parts = ("vertebra/L4/facet/inferior/left", "vertebra/L5/facet/superior/left")
    keys, body = (
        dict(place.labels.structures),
        Body(what="tube", start=tuple(one.start), stop=tuple(one.stop), radius=5.0),
    )
    counted = capsule_share(
        place.labels.array, place.labels.patient_from_index.matrix, keys, parts, [body.model_dump()]
    )
    assert 5 < found.share.value < 95
    assert found.share.value == pytest.approx(counted, abs=2.0)
    assert crossed(place, one)["facet capsule L4/L5 right"].share.value == 0


def test_no_joint_in_the_labels_means_no_share():
    place = site(back(herniation=None, spacing=COARSE, without=("vertebra/L4/facet",)), "L4/L5", "left")
    found = {c.name: c for c in capsules(place)}["facet capsule L4/L5 left"]
    assert not len(found.points)
    entry = crossed(place, docked(place))["facet capsule L4/L5 left"]
    assert entry.gap.value is None
    assert entry.probability is None
    assert entry.gap.caveats


def apart(place, border):
    """`place` with the left paraspinal muscle split at `border` mm lateral into multifidus and erector spinae."""
    labels = place.labels
    n = labels.labels_of("muscle/paraspinal/left")[0]
    array = labels.array.copy()
    index = np.argwhere(array == n)
    lateral = place.frame.local(labels.grid.centres(index))[:, 0]
    new = max(labels.structures) + 1
    array[tuple(index[lateral > border].T)] = new
    side = "muscle/paraspinal/left"
    keys = {**labels.structures, n: f"{side}/multifidus", new: f"{side}/erector_spinae"}
    made = LabelMap(array, labels.patient_from_index, keys)
    return Site(place.frame, made, place.structures, place.body, place.counts, place.caveats)


@pytest.mark.parametrize("pose", ["as it lies", "oblique and anisotropic"])
def test_a_way_between_the_muscles_follows_the_plane_and_one_through_them_does_not(places, pose):
    place = apart(places[pose], 24.0)
    between = cleft(place, tube(place, (24, 76, 0), (24, 30, 0)))
    through = cleft(place, tube(place, (12, 76, 0), (12, 30, 0)))
    assert between.share > 0.95
    assert through.share == 0
    assert between.lateral == pytest.approx(24, abs=0.5)
    named = {m.name: m.is_named for m in harm(place, docked(place)).muscles}
    assert named == {"multifidus, left": True, "erector spinae, left": True}


def test_the_plane_is_unknown_where_the_muscles_are_not_told_apart(places):
    found = harm(places["as it lies"], docked(places["as it lies"]))
    assert not found.plane.is_visible
    assert found.plane.share.value is None
    assert found.plane.share.caveats
    assert {q.source for q in found.plane.published} == {"deng2015", "vialle2006"}
    assert [m.is_named for m in found.muscles] == [False]


def test_volumes_say_that_they_are_not_injury_and_what_speaks_against(places):
    said = " ".join(harm(places["as it lies"], docked(places["as it lies"])).caveats)
    assert "displaced volume, not injury" in said
    assert "Arts 2011" in said
    assert "times less" not in said


def test_an_exposure_on_one_side_retracts_about_half_and_screws_need_more(places):
    place = places["as it lies"]
    table = catalogue()
    muscle, width = {}, {}
    for name in ("open-midline", "open-microdiscectomy", "open-tlif"):
        opened = exposure(place, table[name])
        found = harm(place, Harming(opened=opened))
        muscle[name], width[name] = sum(m.volume.value for m in found.muscles), opened.extent
        assert {t.does for t in found.tissues if t.tissue == "muscle"} == {"retracted"}
        assert found.openings[0].area.value is None
    assert 0.3 < muscle["open-microdiscectomy"] / muscle["open-midline"] < 0.6
    assert muscle["open-tlif"] > 1.5 * muscle["open-midline"]
    assert width["open-microdiscectomy"].left == 0


def test_a_screw_through_the_exposure_adds_only_what_lies_beyond_it(places):
    place = places["as it lies"]
    opened = exposure(place, catalogue()["open-midline"])
    bare = harm(place, Harming(opened=opened))
    screw = tube(place, (15, 70, 10), (10, 0, 22), 3.0)
    both = harm(place, Harming((("screw", screw),), opened=opened))
    assert both.totals["removed"].value > 0.2
    assert both.totals["retracted"].value == pytest.approx(bare.totals["retracted"].value, abs=0.3)
    assert both.totals["cut"].value == pytest.approx(bare.totals["cut"].value, abs=1e-6)


def test_modelled_structures_are_placed_once_for_a_site(places):
    place = places["as it lies"]
    assert marks(place) is marks(place)
