"""ct-classical on real scans: overlap with a network's labels of a 3 mm abdomen CT, and refusals of what is too small.

The overlap is taken on the labels' own 3 mm voxels: one counts as found where at least half of 27 points in it are.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from keyhole.errors import NotInScan
from keyhole.geometry import Grid, Volume, affine
from keyhole.geometry.resample import resample
from keyhole.imaging.nifti import read_nifti
from keyhole.segment.classical.method import ct_classical

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
CT = DATA / "ct_abdomen_3mm"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CT.is_dir(), reason="real data of ../shared/data is not here"),
]
NUMBERS = {"L1": 31, "L2": 30, "L3": 29, "L4": 28, "L5": 27}
NAMES = ("T12", "L1", "L2", "L3", "L4", "L5")


@cache
def image():
    return read_nifti(CT / "ct.nii.gz").volume


@cache
def found():
    return ct_classical(image())


def share_of(labels, key, grid):
    """Where at least half of each voxel of `grid` lies in `key`."""
    mask = Volume(labels.mask(key).astype(np.float32), labels.patient_from_index)
    total = np.zeros(grid.shape, dtype=np.float32)
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            for c in (-1, 0, 1):
                shift = np.eye(4)
                shift[:3, 3] = np.array([a, b, c]) / 3
                moved = Grid(grid.shape, affine(grid.patient_from_index.matrix @ shift))
                total += resample(mask, moved, order=0, fill=0.0).array
    return total >= 13.5


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def overlaps(labels, grid, place=lambda array: array):
    truth = place(read_nifti(CT / "labels_totalsegmentator_total.nii.gz").volume.array.astype(np.uint8))
    return {n: dice(share_of(labels, f"vertebra/{n}", grid), truth == number) for n, number in NUMBERS.items()}


def test_vertebrae_bodies_and_discs_overlap_a_networks_labels():
    grid = image().grid
    whole = overlaps(found().labels, grid)
    parts = read_nifti(CT / "labels_totalsegmentator_vertebrae_body.nii.gz").volume.array
    truth = read_nifti(CT / "labels_totalsegmentator_total.nii.gz").volume.array
    bodies = [
        dice(share_of(found().labels, f"vertebra/{n}/body", grid), (truth == number) & (parts == 1))
        for n, number in NUMBERS.items()
    ]
    assert np.mean(list(whole.values())) >= 0.90
    assert min(whole.values()) >= 0.87
    assert np.mean(bodies) >= 0.93
    from scipy import ndimage

    lumps = ndimage.label(parts == 2)[0]
    discs = []
    for level in ("L1-L2", "L2-L3", "L3-L4", "L4-L5"):
        mine = share_of(found().labels, f"disc/{level}", grid)
        discs.append(dice(mine, lumps == np.bincount(lumps[mine & (lumps > 0)]).argmax()))
    assert np.mean(discs) >= 0.87
    assert min(discs) >= 0.85


def test_names_rest_on_sacrum_and_ribs_and_doubt_only_what_is_cut():
    one = found()
    assert {e.kind: e.supports for e in one.evidence} == {"sacrum": True, "ribs": True}
    assert set(one.vertebrae) == set(NAMES)
    assert one.vertebrae["T12"].warnings
    assert not any(one.vertebrae[n].warnings for n in NAMES[1:])


def test_every_structure_says_how_it_is_known():
    one = found()
    assert set(one.labels.keys) == set(one.structures)
    assert one.structures["canal/dural_sac"].origin == "modelled"
    assert one.structures["vertebra/L3/body"].confidence == one.vertebrae["L3"].confidence


def test_a_mirrored_patient_gives_the_mirrored_labels():
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    twin = Volume(image().array, affine(flip @ image().patient_from_index.matrix))
    labels = ct_classical(twin).labels
    assert {k for k in labels.keys if k.startswith("vertebra")} == {
        k for k in found().labels.keys if k.startswith("vertebra")
    }
    values = overlaps(labels, twin.grid)
    assert min(values.values()) >= 0.86


def test_an_oblique_anisotropic_scan_of_a_turned_patient_is_named_alike():
    a, c = np.radians((-12.0, 18.0))
    turn = np.eye(4)
    turn[:3, :3] = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    )
    middle = image().grid.centres((np.array(image().grid.shape) - 1) / 2)
    laid = np.eye(4)
    laid[:3, 3] = middle - turn[:3, :3] @ middle
    patient = Volume(image().array, affine(laid @ turn @ image().patient_from_index.matrix))
    steps = np.array([3.0, 3.6, 2.0])
    shape = tuple(int(n) for n in np.ceil(np.array([366, 303, 336]) / steps))
    at = np.diag([*steps, 1.0])
    at[:3, 3] = middle - steps * np.array(shape) / 2
    scan = resample(patient, Grid((shape[0], shape[1], shape[2]), affine(at)), fill=-1024)
    labels = ct_classical(scan).labels
    values = overlaps(labels, patient.grid)
    assert np.mean(list(values.values())) >= 0.85
    assert min(values.values()) >= 0.78


def test_a_scan_that_ends_above_the_sacrum_is_named_by_its_ribs():
    high = image().crop((slice(0, 122), slice(0, 101), slice(60, 112)))
    one = ct_classical(high)
    assert {e.kind: e.supports for e in one.evidence} == {"sacrum": None, "ribs": True}
    assert dice(share_of(one.labels, "vertebra/L2", high.grid), _truth("L2")[:, :, 60:]) > 0.85


def test_without_sacrum_and_ribs_the_scan_is_refused():
    middle = image().crop((slice(30, 95), slice(0, 101), slice(54, 95)))
    with pytest.raises(NotInScan):
        ct_classical(middle)


def _truth(name):
    return read_nifti(CT / "labels_totalsegmentator_total.nii.gz").volume.array == NUMBERS[name]


def test_a_crop_of_one_vertebra_is_refused():
    file = DATA / "crops_spineps" / "sub-ct_label-22_ct.nii.gz"
    with pytest.raises(NotInScan, match="no lumbar spine was found"):
        ct_classical(read_nifti(file).volume)
