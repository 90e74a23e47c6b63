"""The quality of an image: each defect is found, measured, and said with what follows from it."""

from functools import cache

import numpy as np
import pytest
from block_spine import Spine, painted, turned

from keyhole.anatomy.coverage import label_quality
from keyhole.geometry import Grid, Volume, affine
from keyhole.imaging import quality as q
from keyhole.imaging.quality import are_hounsfield, caveats, quality

SIZE = np.array([340.0, 250.0, 300.0])  # mm, left to right, front to back, feet to head


def trunk(spacing=(3.0, 3.0, 3.0), *, noise=12.0, seed=0, axes=None, liver=-1, window=None):
    """A trunk in air: fat, muscle, a liver on one side, a column of bone; axes of the grid turned by `axes`."""
    turn = None if axes is None else tuple(map(tuple, np.asarray(axes, dtype=float)))
    return painted_trunk(spacing, noise, seed, turn, liver, window)


@cache
def painted_trunk(spacing, noise, seed, axes, liver, window):
    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    reach = (np.abs(axes).T @ SIZE if window is None else np.asarray(window, dtype=float)) / 2
    shape = np.ceil(2 * reach / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = axes @ np.diag(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ (shape - 1) / 2
    grid = Grid(tuple(int(n) for n in shape), affine(matrix))
    x, y, z = np.moveaxis(grid.centres(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    values = np.full(grid.shape, -1000.0)
    round_ = (x / 150) ** 2 + (y / 105) ** 2
    values[round_ < 1] = -100
    values[(round_ < 0.75) & (y > 62)] = 55
    values[((x - 78 * liver) / 55) ** 2 + ((y + 30) / 50) ** 2 + ((z - 90) / 55) ** 2 < 1] = 60
    bone = (np.abs(x) < 22) & (np.abs(y - 40) < 17)
    values[bone] = 180
    values[bone & ((np.abs(x) > 18) | (np.abs(y - 40) > 13) | (np.abs(z % 34 - 17) > 14))] = 500
    values += np.random.default_rng(seed).normal(0, noise, grid.shape)
    return Volume(np.rint(np.clip(values, -1024, 3071)).astype(np.int16), grid.patient_from_index)


def items(volume, modality="CT"):
    return {item.name: item for item in quality(volume, modality)}


def changed(volume, array):
    return Volume(np.asarray(array), volume.patient_from_index)


def test_a_sound_ct_has_nothing_to_complain_of_but_its_voxels():
    found = items(trunk((1.5, 1.5, 1.5), window=(320, 230, 170)))
    assert {i.verdict for i in found.values()} <= {"good", "unknown"}
    assert caveats(tuple(found.values())) == ()
    assert found[q.HOUNSFIELD].value.startswith("air -")


@pytest.mark.parametrize("sd", [8.0, 25.0, 60.0])
@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (1.2, 1.2, 4.0)])
def test_noise_is_measured_within_a_tenth(sd, spacing):
    found = items(trunk(spacing, noise=sd, seed=3))[q.NOISE]
    assert found.value == pytest.approx(sd, rel=0.1)
    assert found.verdict == ("good" if sd < 30 else "limited")


def test_deafening_noise_is_unusable_and_becomes_a_caveat():
    found = quality(trunk(noise=150.0), "CT")
    assert {i.name: i.verdict for i in found}[q.NOISE] == "unusable"
    assert any("too noisy" in text for text in caveats(found))


@pytest.mark.parametrize("offset", [1024, 1000, -1024, 32768, 300])
def test_shifted_values_are_no_hounsfield_units_and_the_shift_is_named(offset):
    volume = trunk()
    found = quality(changed(volume, volume.array.astype(np.int32) + offset), "CT")
    named = {i.name: i for i in found}
    assert named[q.HOUNSFIELD].verdict == "unusable"
    assert not are_hounsfield(found)
    said = named[q.HOUNSFIELD].value
    assert float(said.split("if ", 1)[1].split(" were")[0]) == pytest.approx(offset, abs=5)
    assert "metal" not in named
    assert any("no tissue class" in text for text in caveats(found))


@pytest.mark.parametrize(("slope", "offset"), [(0.5, 0.0), (4.0, 0.0), (4.0, 1024.0), (0.001, 0.0), (1 / 4000, 0.25)])
def test_scaled_values_are_no_hounsfield_units(slope, offset):
    volume = trunk()
    found = quality(changed(volume, (volume.array * slope + offset).astype(np.float32)), "CT")
    assert not are_hounsfield(found)


def test_eight_bit_greys_are_no_hounsfield_units():
    volume = trunk()
    grey = np.clip((volume.array.astype(float) + 160) / (760 + 160) * 255, 0, 255).astype(np.uint8)
    assert items(changed(volume, grey))[q.HOUNSFIELD].verdict == "unusable"


def test_a_moderate_shift_is_named():
    volume = trunk()
    found = items(changed(volume, volume.array + 55))[q.HOUNSFIELD]
    assert found.verdict == "limited"
    assert found.value in ("shifted by about +53", "shifted by about +55")


def test_a_patient_without_fat_or_air_around_is_not_called_wrong():
    small = trunk(window=(120, 60, 200))
    assert items(small)[q.HOUNSFIELD].verdict in ("good", "limited")
    assert are_hounsfield(quality(small, "CT"))


def test_metal_and_its_streaks_are_found():
    volume = trunk((2.0, 2.0, 2.0))
    array = np.array(volume.array)
    at = np.array(array.shape) // 2 + [6, 18, 0]
    for away in (0, 14):
        array[at[0] - away : at[0] - away + 3, at[1] : at[1] + 20, at[2] : at[2] + 3] = 3071
    array[at[0] - 8 : at[0] + 8, at[1] + 4 : at[1] + 6, at[2] : at[2] + 3] = -600
    found = quality(changed(volume, array), "CT")
    metal = {i.name: i for i in found}[q.METAL]
    assert metal.verdict == "limited"
    assert metal.value == pytest.approx(2 * 3 * 20 * 3 * 8 / 1000, rel=0.3)
    assert "streaked" in metal.consequence
    assert any(text.startswith("metal") for text in caveats(found))


def test_a_few_bright_voxels_are_no_implant():
    volume = trunk()
    array = np.array(volume.array)
    array[50, 50, 50] = 3000
    assert items(changed(volume, array))[q.METAL].verdict == "good"


@pytest.mark.parametrize(("axis", "sides"), [(0, ("left", "right")), (1, ("back", "front"))])
@pytest.mark.parametrize("end", [0, 1])
def test_a_body_cut_by_the_field_of_view_says_where(axis, sides, end):
    volume = trunk()
    n = volume.array.shape[axis]
    keep = [slice(None)] * 3
    keep[axis] = slice(n // 4, None) if end == 0 else slice(0, n - n // 4)
    box = tuple(
        slice(s.start or 0, m if s.stop is None else s.stop) for s, m in zip(keep, volume.array.shape, strict=True)
    )
    found = quality(volume.crop(box), "CT")
    cut = {i.name: i for i in found}[q.TRUNCATION]
    low, high = {"left": ("right", "left"), "back": ("front", "back")}[sides[0]]
    assert cut.verdict == "limited"
    assert cut.value == f"cut at the {low if end == 0 else high}"
    assert any("no way in" in text for text in caveats(found))


def test_a_round_field_of_view_that_cuts_the_body_is_seen_by_its_padding():
    volume = trunk()
    i, j = np.indices(volume.array.shape[:2])
    middle = (np.array(volume.array.shape[:2]) - 1) / 2
    outside = (i - middle[0]) ** 2 + (j - middle[1]) ** 2 > (120 / 3) ** 2
    array = np.where(outside[..., None], -3024, volume.array)
    found = items(changed(volume, array))[q.TRUNCATION]
    assert found.verdict == "limited"
    assert "borders on what was not measured" in found.value
    assert items(changed(volume, array))[q.HOUNSFIELD].verdict == "good"


def test_a_table_below_the_patient_is_no_truncation():
    volume = trunk()
    array = np.array(volume.array)
    array[:, -2:, :] = -150
    assert items(changed(volume, array))[q.TRUNCATION].verdict == "good"


def test_displaced_slices_are_found_where_they_are():
    volume = trunk((2.0, 2.0, 2.0))
    array = np.array(volume.array)
    array[..., 70:] = np.roll(array[..., 70:], 5, axis=1)
    found = quality(changed(volume, array), "CT")
    jump = {i.name: i for i in found}[q.JUMPS]
    assert jump.verdict == "limited"
    assert "between slices 70 and 71 of 150" in jump.consequence
    assert any("slices are missing" in text for text in caveats(found))


def test_repeated_slices_are_counted():
    volume = trunk((2.0, 2.0, 2.0))
    array = np.array(volume.array)
    array[..., 61] = array[..., 60]
    found = items(changed(volume, array))[q.JUMPS]
    assert (found.verdict, found.value) == ("limited", 1.0)


def test_thick_slices_and_short_scans_say_what_they_are_not_fit_for():
    thick = items(trunk((1.0, 1.0, 5.0), window=(340, 250, 100)))
    assert thick[q.SPACING].verdict == "limited"
    assert thick["anisotropy"].verdict == "limited"
    assert "head to feet" in thick["anisotropy"].consequence
    assert thick["length head to feet"].verdict == "limited"
    coarse = quality(trunk((7.0, 7.0, 7.0)), "CT")
    assert {i.name: i.verdict for i in coarse}[q.SPACING] == "unusable"
    assert any("too coarse" in text for text in caveats(coarse))


def test_a_mirrored_file_shows_itself_by_its_liver():
    found = quality(trunk(liver=1), "CT")
    side = {i.name: i for i in found}["left and right"]
    assert side.verdict == "limited"
    assert "mirrored" in side.consequence
    assert any("mirrored" in text for text in caveats(found))


def test_without_a_liver_in_view_nothing_is_said_of_the_sides():
    found = items(trunk(window=(340, 250, 100)).crop((slice(0, 114), slice(0, 84), slice(0, 20))))
    assert (found["left and right"].verdict, found["left and right"].value) == ("unknown", "not visible")


@pytest.mark.parametrize(
    "axes",
    [turned((10, -8, 12)), np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]), np.diag([-1.0, -1.0, 1.0])],
    ids=["oblique", "permuted and flipped", "flipped"],
)
def test_the_axes_of_the_array_mean_nothing(axes):
    turned_one = items(trunk((2.5, 3.0, 3.5), axes=axes))
    straight = items(trunk())
    for name in (q.HOUNSFIELD, q.NOISE, q.METAL, q.JUMPS, "left and right", "length head to feet"):
        assert turned_one[name].verdict == straight[name].verdict, name
    assert turned_one["left and right"].value.endswith("to the right")


def test_mr_is_judged_without_hounsfield_units():
    volume = trunk()
    mr = changed(volume, np.clip(volume.array.astype(np.int32) + 1000, 0, 1500).astype(np.uint16))
    found = items(mr, "MR")
    assert q.HOUNSFIELD not in found
    assert q.METAL not in found
    assert found[q.NOISE].verdict == "unknown"
    assert found[q.NOISE].value == pytest.approx(12, rel=0.15)
    assert found[q.TRUNCATION].verdict == "good"


def test_voxels_without_value_are_no_obstacle():
    volume = trunk()
    array = volume.array.astype(np.float32)
    array[:10] = np.nan
    array[:, :5] = np.nan
    found = items(changed(volume, array))
    assert found[q.HOUNSFIELD].verdict == "good"
    assert found[q.NOISE].value == pytest.approx(12, rel=0.15)


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 200, 4), (40, 2, 40)])
def test_tiny_and_flat_images_are_judged_without_complaint(shape):
    array = np.random.default_rng(0).integers(-1000, 500, shape).astype(np.int16)
    for modality in ("CT", "MR"):
        found = quality(Volume(array, affine(np.diag((1.0, 1, 1, 1)))), modality)
        assert len(found) >= 5


@pytest.mark.parametrize("kind", ["nan but two", "huge", "32 bit", "one value but two"])
def test_damaged_values_are_judged_without_complaint_and_in_time(kind):
    rng = np.random.default_rng(1)
    array = rng.normal(0, 300, (40, 50, 60))
    if kind == "nan but two":
        array[...] = np.nan
        array[3, 3, 3], array[4, 4, 4] = 1, 2
    elif kind == "huge":
        array = (array * 1e33).astype(np.float32)
    elif kind == "32 bit":
        array = rng.integers(0, 2**32 - 1, array.shape).astype(np.uint32)
    else:
        array = np.full(array.shape, -1024, np.int16)
        array[3, 3, 3] = 5
    image = Volume(array, affine(np.diag((2.0, 2, 2, 1))))
    assert len(quality(image, "MR")) >= 5
    assert {i.verdict for i in quality(image, "CT") if i.name == q.HOUNSFIELD} <= {"unusable", "limited"}


def test_the_same_image_gives_the_same_report():
    assert quality(trunk(), "CT") == quality(trunk(), "CT")


# --- what labels tell


def sides(spine, **how):
    labels = painted(spine, **how)
    return {i.name: i for i in label_quality(labels, None, is_hu=False)}


def test_organs_on_their_sides_speak_for_the_file():
    found = sides(Spine())["left and right"]
    assert found.verdict == "good"
    assert "liver 87 mm to the right" in found.value
    assert "aorta 24 mm left of the IVC" in found.value


@pytest.mark.parametrize("how", [{}, {"turn": turned((15, 20, 140)), "shift": (5, 6, 7)}, {"axes": turned((9, 9, 9))}])
def test_a_mirrored_file_with_its_labels_is_reported(how):
    found = sides(Spine(mirrored=True), **how)["left and right"]
    assert found.verdict == "unusable"
    assert "mirrored" in found.consequence
    assert sides(Spine(), **how)["left and right"].verdict == "good"


def test_without_organs_nothing_is_said_of_the_sides_by_labels():
    assert sides(Spine(organs=False))["left and right"].verdict == "unknown"


def test_whole_levels_are_listed_and_cut_vertebrae_named():
    found = sides(Spine())["whole lumbar vertebrae"]
    assert (found.verdict, found.value) == ("good", "L1, L2, L3, L4, L5")
    labels = painted(Spine())
    n = labels.array.shape[2]
    low = labels.crop((slice(0, labels.array.shape[0]), slice(0, labels.array.shape[1]), slice(0, n // 2 - 4)))
    cut = {i.name: i for i in label_quality(low, None, is_hu=False)}["whole lumbar vertebrae"]
    assert "cut by the label map's edge: L" in cut.value
    assert cut.verdict == "limited"


def test_contrast_medium_is_told_from_aorta_and_cava():
    labels = painted(Spine())
    blood = {"vessel/aorta": 320, "vessel/ivc": 120}
    table = np.full(max(labels.structures) + 1, -100)
    for n, key in labels.structures.items():
        table[n] = blood.get(key, 50)
    image = Volume(table[labels.array].astype(np.int16), labels.patient_from_index)
    found = {i.name: i for i in label_quality(labels, image, is_hu=True)}["contrast phase"]
    assert found.verdict == "limited"
    assert "arterial" in found.consequence
    assert found.value == "aorta 320 HU, IVC 120 HU"


def test_vertebrae_beside_metal_are_named():
    labels = painted(Spine())
    array = np.full(labels.array.shape, 50, dtype=np.int16)
    at = np.argwhere(labels.mask("vertebra/L4/body")).mean(axis=0).astype(int)
    array[at[0] - 2 : at[0] + 2, at[1] : at[1] + 8, at[2] - 1 : at[2] + 1] = 3071
    image = Volume(array, labels.patient_from_index)
    found = {i.name: i for i in label_quality(labels, image, is_hu=True)}["metal near the lumbar spine"]
    assert found.verdict == "limited"
    assert found.consequence.startswith("L3, L4, L5 within")
