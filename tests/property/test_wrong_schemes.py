"""Labels read by a wrong scheme are refused, doubted, or name every level right after all; never silently wrong."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.derive import examine
from keyhole.anatomy.level_evidence import against, evidence
from keyhole.anatomy.phantom.model import PHANTOM, phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.anatomy.placement import check_lumbar
from keyhole.anatomy.plausible import DOUBT
from keyhole.anatomy.schemes import read_labels, tables, written_as
from keyhole.anatomy.schemes.special import NEEDS
from keyhole.anatomy.schemes.tables import vertebra_of
from keyhole.errors import KeyholeError
from keyhole.geometry import Grid, LabelMap, Transform, affine, bounding_box
from keyhole.geometry.resample import keyhole_grid, labels_on_grid, reoriented
from keyhole.geometry.transform import PATIENT
from keyhole.imaging import write_nifti
from keyhole.terms import rank

REAL = Path(__file__).resolve().parents[2] / "../shared/data"
SCHEMES = [one for one in tables() if one.kind == "labels"]
TRIALS = int(os.environ.get("KEYHOLE_TRIALS", "40"))
"""Maps read by a wrong scheme in the slow test; KEYHOLE_TRIALS=400 tries the whole set."""

SPINE = ("vertebra", "sacrum", "disc", "canal")


@cache
def of_phantom(seed, with_trunk):
    """A phantom on 2 mm voxels: its whole trunk, or the spine and what lies near."""
    body = phantom(PhantomParameters(seed=seed))
    whole = body.grid(2.0)
    if with_trunk:
        return body.labels_on(whole)
    middle = body.patient_from_phantom.apply(np.array([0.0, 30.0, 0.0]))
    low = np.maximum(np.floor(whole.index(middle)[:2] - [30, 36]), 0).astype(int)
    box = (slice(low[0], low[0] + 60), slice(low[1], low[1] + 72), slice(0, whole.shape[2]))
    part = whole.crop(box)
    return body.labels_on(Grid(part.shape, part.patient_from_index))


@cache
def of_file(name):
    """A real label map on 2 mm voxels."""
    labels = reoriented(read_labels(REAL / name).labels)
    box = bounding_box(labels.mask("vertebra", "sacrum", "canal", "pelvis"), 4)
    labels = labels.crop(box)
    fine = labels_on_grid(labels, keyhole_grid(labels.grid))
    matrix = fine.patient_from_index.matrix @ np.diag([2.0, 2.0, 2.0, 1.0])
    return LabelMap(np.ascontiguousarray(fine.array[::2, ::2, ::2]), affine(matrix), fine.structures)


FILES = (
    "labelmaps_verse/sub-verse010_seg-vert_msk.nii.gz",
    "labelmaps_verse/sub-verse004_seg-vert_msk.nii.gz",
    "ct_abdomen_3mm/labels_totalsegmentator_total.nii.gz",
)


def cut(rng, truth):
    """A part of `truth` as files hold it: the spine alone or all, with or without sacrum, all levels or a few."""
    keys = dict(truth.structures)
    if rng.random() < 0.5:
        keys = {n: key for n, key in keys.items() if key.split("/")[0] in SPINE}
    if rng.random() < 0.3:
        keys = {n: k for n, k in keys.items() if not k.startswith(("sacrum", "vertebra/S1", "disc/L5"))}
    row = sorted({name for key in keys.values() if (name := vertebra_of(key))}, key=rank)
    first = int(rng.integers(len(row))) if rng.random() < 0.6 else 0
    last = int(rng.integers(first, len(row))) if first or rng.random() < 0.6 else len(row) - 1
    held = row[first : last + 1]

    def stays(key):
        if key.startswith(("vertebra/", "disc/")):
            return set(key.split("/")[1].split("-")) <= set(held)
        return not key.startswith("sacrum") or held[-1] in ("L5", "S1")

    keys = {n: key for n, key in keys.items() if stays(key)}
    lookup = np.zeros(max(truth.structures) + 1, dtype=np.uint16)
    lookup[list(keys)] = list(keys)
    kept = LabelMap(lookup[truth.array], truth.patient_from_index, keys)
    box = bounding_box(kept.mask("vertebra", "sacrum"), 6)
    return kept.crop(box) if rng.random() < 0.5 else kept


def stored_anew(rng, labels):
    """`labels` with its axes in another order and direction in the file."""
    order = rng.permutation(3)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    steps = []
    for row, axis in enumerate(order):
        back = bool(rng.integers(2))
        matrix[axis, row] = -1 if back else 1
        matrix[axis, 3] = labels.array.shape[axis] - 1 if back else 0
        steps.append(slice(None, None, -1 if back else 1))
    array = np.ascontiguousarray(labels.array.transpose(order)[tuple(steps)])
    return LabelMap(array, affine(labels.patient_from_index.matrix @ matrix), labels.structures)


def drawn(rng, maps):
    """A label map, the integers of its true scheme, and a wrong scheme that knows them all and finds lumbar names."""
    while True:
        truth = cut(rng, maps[rng.integers(len(maps))]())
        truth = stored_anew(rng, truth) if rng.random() < 0.5 else truth
        right = SCHEMES[rng.integers(len(SCHEMES))]
        array, _ = written_as(truth, right.scheme)
        present = [int(n) for n in np.unique(array) if n]
        if right.scheme in NEEDS and not any(n in NEEDS[right.scheme] for n in present):
            continue
        if not any(vertebra_of(right.rows[n].key) for n in present):
            continue
        wrong = [
            one
            for one in SCHEMES
            if one is not right
            and all(n in one.rows for n in present)
            and any(vertebra_of(one.rows[n].key)[:1] == "L" for n in present)
        ]
        if wrong:
            return truth, array, right.scheme, wrong[rng.integers(len(wrong))].scheme


def misnamed(truth, found):
    """Lumbar vertebrae and discs of `found` most of whose voxels are something else in `truth`."""
    bad = {}
    names = {n: "/".join(key.split("/")[:2]) if key[0] in "vd" else key for n, key in truth.structures.items()}
    for n, key in found.structures.items():
        own = "/".join(key.split("/")[:2])
        if not own.startswith(("vertebra/L", "vertebra/S", "disc/L")):
            continue
        count = {}
        for value, times in zip(*np.unique(truth.array[found.array == n], return_counts=True), strict=True):
            name = names.get(int(value), "nothing")
            count[name] = count.get(name, 0) + int(times)
        most = max(count, key=count.get)
        if most != own and {most, own} != {"vertebra/S1", "sacrum"}:
            bad[own] = most
    return bad


def outcome(truth, array, scheme, folder):
    """What reading `array` by `scheme` comes to."""
    file = folder / "x.nii.gz"
    write_nifti(LabelMap(array, truth.patient_from_index), file)
    try:
        named = read_labels(file, scheme)
        check_lumbar(named.labels, file)
        labels = reoriented(named.labels)
        doubts = [c for c in examine(labels, {k: named.structures[k] for k in labels.keys}) if c.startswith(DOUBT)]
        doubts += against(evidence(labels, named.structures))
    except KeyholeError:
        return "refused"
    if not misnamed(truth, named.labels):
        return "right"
    return "doubted" if doubts else "silent"


def tried(seed, n, maps, folder):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        truth, array, right, wrong = drawn(rng, maps)
        found.append((outcome(truth, array, wrong, folder), right, wrong, sorted(truth.structures.values())[:3]))
    return found


def maps_of(*phantoms, files=()):
    maps = [lambda s=seed, t=trunk: of_phantom(s, t) for seed, trunk in phantoms]
    return maps + [lambda name=name: of_file(name) for name in files if (REAL / name).is_file()]


def test_a_wrong_scheme_is_never_silently_wrong(tmp_path):
    found = tried(5, 8, maps_of((3, False)), tmp_path)
    assert not [one for one in found if one[0] == "silent"]
    assert sum(one[0] == "refused" for one in found) >= 4


@pytest.mark.slow
def test_in_many_trials_a_wrong_scheme_is_refused_or_doubted_or_names_every_level_right(tmp_path):
    found = tried(11, TRIALS, maps_of((3, True), (8, False), files=FILES), tmp_path)
    assert not [one for one in found if one[0] == "silent"]
    wrong = [one for one in found if one[0] != "right"]
    assert len(wrong) >= 0.6 * TRIALS
    assert sum(one[0] == "refused" for one in wrong) >= 0.85 * len(wrong)


@cache
def of_turned_phantom(mirrored):
    """A phantom that lies turned in the scanner, and mirrored where asked, on 2 mm voxels along the scanner's axes."""
    turn = Rotation.from_euler("zyx", (14, -12, 18), degrees=True).as_matrix()
    pose = Transform(PATIENT, PHANTOM, np.block([[turn, np.array([[40.0], [-25.0], [310.0]])], [0, 0, 0, 1]]))
    body = phantom(PhantomParameters(seed=3, is_mirrored=mirrored), pose)
    whole = body.grid(2.0)
    middle = whole.index(body.patient_from_phantom.apply(np.array([0.0, 30.0, 0.0])))[:2]
    low = np.maximum(np.floor(middle - [50, 62]), 0).astype(int)
    high = np.minimum(low + np.array([100, 124]), whole.shape[:2])
    part = whole.crop((slice(low[0], high[0]), slice(low[1], high[1]), slice(0, whole.shape[2])))
    return body.labels_on(Grid(part.shape, part.patient_from_index))


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_or_mirrored_patient_changes_nothing(tmp_path, mirrored):
    truth = of_turned_phantom(mirrored)
    for scheme in ("totalsegmentator_total", "totalspineseg"):
        array, _ = written_as(truth, scheme)
        assert outcome(truth, array, scheme, tmp_path) == "right"
    array, _ = written_as(truth, "totalsegmentator_total_v1")
    assert outcome(truth, array, "verse", tmp_path) == "refused"
    array, _ = written_as(truth, "totalsegmentator_total")
    assert outcome(truth, array, "totalsegmentator_total_v3", tmp_path) == "doubted"


def with_six_lumbar(labels):
    """The same bones in a patient with six lumbar vertebrae: every name from T11 to L5 one lower."""
    lower = {"T11": "T12", "T12": "L1", **{f"L{n}": f"L{n + 1}" for n in range(1, 6)}}

    def named(key):
        head, *rest = key.split("/")
        if head in ("vertebra", "disc"):
            rest[0] = "-".join(lower.get(name, name) for name in rest[0].split("-"))
        return "/".join([head, *rest])

    return LabelMap(labels.array, labels.patient_from_index, {n: named(key) for n, key in labels.structures.items()})


def test_l6_called_s1_by_another_version_is_doubted(tmp_path):
    truth = with_six_lumbar(of_phantom(3, False))
    array, names = written_as(truth, "totalsegmentator_total_v3")
    assert names[26] == "vertebrae_L6"
    assert outcome(truth, array, "totalsegmentator_total", tmp_path) == "doubted"
    assert outcome(truth, array, "totalsegmentator_total_v3", tmp_path) == "right"


def test_s1_called_l6_by_another_version_is_doubted(tmp_path):
    truth = of_phantom(3, False)
    array, _ = written_as(truth, "totalsegmentator_total")
    assert outcome(truth, array, "totalsegmentator_total_v3", tmp_path) == "doubted"


@pytest.mark.parametrize("scheme", ["totalsegmentator_total", "spider"])
def test_the_right_scheme_is_neither_refused_nor_doubted(tmp_path, scheme):
    truth = of_phantom(3, False)
    array, _ = written_as(truth, scheme)
    assert outcome(truth, array, scheme, tmp_path) == "right"
    named = read_labels(tmp_path / "x.nii.gz", scheme)
    labels = reoriented(named.labels)
    assert not [c for c in examine(labels, {k: named.structures[k] for k in labels.keys}) if c.startswith(DOUBT)]
