"""Labels that contradict themselves are refused with a sentence; doubtful ones carry a caveat."""

import numpy as np
import pytest

from keyhole.anatomy.checks import check_direction, check_labels, check_row, check_sides
from keyhole.anatomy.spine import Bone
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import LabelMap, affine

BLOCK = np.zeros((4, 4, 4), dtype=np.bool_)


def bone(name, height, turn=1.0, x=0.0):
    """A vertebra at `height` mm whose posterior is +y times `turn`."""
    centre, back, up = np.array([x, 0.0, height]), np.array([0.0, turn, 0.0]), np.array([0.0, 0.0, 1.0])
    return Bone(name, (slice(0, 4),) * 3, BLOCK, BLOCK, affine(np.eye(4)), centre, back, up, centre + 20 * back, None)


def row(**heights):
    return {name: bone(name, height) for name, height in heights.items()}


def blocks(names, shape=(60, 60, 200), at=10):
    """One block of 24 mL per name, from the head down."""
    array = np.zeros(shape, dtype=np.uint16)
    for n in range(len(names)):
        top = shape[2] - at - 35 * n
        array[10:50, 10:35, top - 24 : top] = n + 1
    return LabelMap(array, affine(np.eye(4)), {n + 1: f"vertebra/{name}" for n, name in enumerate(names)})


def test_an_empty_label_map_is_refused():
    with pytest.raises(ImplausibleAnatomy, match="empty"):
        check_labels(LabelMap(np.zeros((5, 5, 5), dtype=np.uint8), affine(np.eye(4)), {1: "vertebra/L4"}))


def test_labels_without_lumbar_vertebra_are_refused_and_the_sentence_says_what_was_found():
    with pytest.raises(ImplausibleAnatomy, match="no lumbar vertebra; vertebrae found: T11, T12"):
        check_labels(blocks(["T11", "T12"]))


def test_islands_are_dropped_and_counted():
    labels = blocks(["L3", "L4"])
    array = labels.array.copy()
    array[55:57, 55:57, 150:152] = 1
    found = check_labels(LabelMap(array, labels.patient_from_index, labels.structures))
    assert found.array[56, 56, 151] == 0
    assert "1 islands of 8 voxels dropped" in found.caveats["L3"][0]


def test_a_vertebra_at_the_edge_is_cut_and_a_small_rest_of_one_is_a_fragment():
    labels = blocks(["L2", "L3", "L4"])
    array = labels.array.copy()
    array[array == 1] = 0
    array[10:50, 10:35, 195:200] = 1
    found = check_labels(LabelMap(array, labels.patient_from_index, labels.structures))
    assert found.cut == {"L2"}
    assert found.fragments == {"L2"}


def test_neighbours_too_close_or_too_far_are_refused():
    assert check_row(row(L3=0, L4=-35, L5=-70)) == ()
    with pytest.raises(ImplausibleAnatomy, match="L3 and L4 lie 10 mm apart"):
        check_row(row(L3=0, L4=-10))
    with pytest.raises(ImplausibleAnatomy, match="L3 and L4 lie 70 mm apart"):
        check_row(row(L3=0, L4=-70))


def test_a_skipped_name_without_room_for_it_is_refused_and_a_real_gap_is_a_caveat():
    with pytest.raises(ImplausibleAnatomy, match="numbering skips"):
        check_row(row(L3=0, L5=-35))
    assert "no vertebra is labelled between L3 and L5" in check_row(row(L3=0, L5=-70))[0]


def test_vertebrae_out_of_order_are_refused():
    with pytest.raises(ImplausibleAnatomy, match="order is wrong"):
        check_row(row(L2=0, L3=-55, L4=-20))


def test_numbering_from_the_foot_is_refused():
    labels = blocks(["L3", "L4", "L5"])
    with pytest.raises(ImplausibleAnatomy, match="upside down"):
        check_direction(labels, row(L3=-70, L4=-35, L5=0))
    check_direction(labels, row(L3=0, L4=-35, L5=-70))


def sided(left_x):
    array = np.zeros((120, 60, 90), dtype=np.uint8)
    array[60 + left_x : 75 + left_x, 20:40, 20:60] = 1
    array[60 - left_x : 75 - left_x, 20:40, 20:60] = 2
    matrix = np.eye(4)
    matrix[:3, 3] = [-67, -30, -80]
    return LabelMap(array, affine(matrix), {1: "organ/kidney/left", 2: "organ/kidney/right"})


def test_sides_follow_the_spine_and_a_mirrored_map_is_refused_by_name():
    spine = row(L3=0, L4=-35)
    assert check_sides(sided(30), spine) == ()
    with pytest.raises(ImplausibleAnatomy, match=r"left and right are exchanged.*organ/kidney"):
        check_sides(sided(-30), spine)


def test_a_prone_patient_is_fine():
    prone = {name: bone(name, height, turn=-1.0) for name, height in (("L3", 0), ("L4", -35))}
    assert check_sides(sided(-30), prone) == ()
