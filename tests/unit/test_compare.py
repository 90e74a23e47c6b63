"""Two readers' labels of one scan: differences, agreement, overlap; another scan is refused."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from test_reading import KEYS as BLOCKS
from test_reading import blocks
from test_reading import case as made_case  # noqa: F401  (a fixture)

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.assessment import compare_case
from keyhole.assessment.readers.compare import LIMIT, MeasurePair, agreement, compared, overlaps
from keyhole.casefile import Case, CaseRecord, FindingEntry
from keyhole.cli.main import main
from keyhole.errors import WrongCase
from keyhole.geometry import LabelMap, affine
from keyhole.imaging.nifti import read_nifti, write_nifti
from keyhole.terms import Origin

KEYS = {1: "vertebra/L4/body", 2: "disc/L4-L5"}


def found(value, name="disc height", level="L4/L5", sd=0.3):
    return FindingEntry(
        name=name, level=level, side=None, value=value, sd=sd, unit="mm", source="keyhole", method="test"
    )


def test_a_difference_is_second_minus_first_and_its_limit_comes_from_both_sds():
    made = compared([found(10.0, sd=0.3)], [found(11.0, sd=0.4)])
    (pair,) = made.measures
    assert pair.difference == pytest.approx(1.0)
    assert pair.limit == pytest.approx(1.96 * 0.5)
    assert not pair.is_within
    assert "1 of 1 differences lie beyond" in made.caveats[-1]


def test_agreement_is_bland_and_altmans():
    rng = np.random.default_rng(4)
    pairs = [
        MeasurePair("slip", f"{n}", None, "mm", a, a + d, 1.0) for n, (a, d) in enumerate(rng.normal(size=(40, 2)))
    ]
    made = agreement(pairs)
    off = np.array([pair.second - pair.first for pair in pairs])
    assert made.n == 40
    assert made.bias == pytest.approx(off.mean())
    assert made.high - made.low == pytest.approx(2 * LIMIT * off.std(ddof=1))
    assert agreement(pairs[:2]) is None


def test_what_only_one_reader_has_is_said():
    made = compared([found(10.0), found(2.0, "slip")], [found(10.0), found(None, "slip", sd=None)])
    assert [pair.name for pair in made.measures] == ["disc height"]
    assert made.caveats[0] == "1 measures could be taken on the first labels only: L4/L5 slip"


def of(array, at=None):
    labels = LabelMap(array, affine(np.eye(4)) if at is None else at, KEYS)
    return Anatomy(
        labels,
        {k: Structure(k, Origin.LABELLED, "test", 0.5) for k in labels.keys},
        {},
        np.zeros((0, 3)),
        None,
        "",
        "",
        False,
    )


def test_dice_is_twice_the_shared_volume_over_both_on_the_same_and_on_another_grid():
    one, two = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    one[4:12, 4:12, 4:12], two[4:12, 4:12, 8:16] = 1, 1
    same = {o.key: o for o in overlaps(of(one), of(two))}
    assert same["vertebra/L4/body"].dice == pytest.approx(0.5)
    assert same["vertebra/L4/body"].volumes == (0.512, 0.512)
    assert "disc/L4-L5" not in same  # nobody painted it
    matrix = np.eye(4)
    matrix[:3, 3] = (19.0, 0.0, 0.0)
    matrix[0, 0] = -1.0  # the same voxels, stored from the other side
    other = {o.key: o for o in overlaps(of(one), of(two[::-1].copy(), affine(matrix)))}
    assert other["vertebra/L4/body"].dice == pytest.approx(0.5)


@pytest.fixture
def twins(made_case, tmp_path):  # noqa: F811
    other = Case(shutil.copytree(made_case.path, tmp_path / "other"))
    volume = read_nifti(other.path / "labels.nii.gz").volume
    array = volume.array.astype(np.uint8)
    thin = np.where((array == 1) & (np.roll(array, 1, 2) == 0), 0, array)  # L4's lower endplate one voxel higher
    write_nifti(LabelMap(thin, volume.patient_from_index), other.path / "labels.nii.gz")
    return made_case, other


def test_a_voxel_less_at_an_endplate_is_the_difference_in_disc_height(twins):
    first, second = twins
    before = {p: p.read_bytes() for p in first.path.rglob("*") if p.is_file()}
    made = compare_case(first, second.path)
    pair = next(p for p in made.measures if p.name == "disc height")
    assert pair.difference == pytest.approx(1.0, abs=0.15)
    body = next(o for o in made.overlap if o.key == "vertebra/L4/body")
    assert 0.97 < body.dice < 0.99
    assert next(o for o in made.overlap if o.key == "vertebra/L5/body").dice == 1.0
    assert {p: p.read_bytes() for p in first.path.rglob("*") if p.is_file()} == before


def test_the_command_prints_both_and_the_agreement(twins):
    first, second = twins
    done = CliRunner().invoke(main, ["assess", str(first.path), "--against", str(second.path)])
    assert done.exit_code == 0, done.output
    assert "difference" in done.output
    assert "beyond" in done.output
    assert "Dice" in done.output
    assert CliRunner().invoke(main, ["assess", str(first.path), "--against", str(first.path / "no")]).exit_code == 1


def test_another_scan_is_refused(twins):
    first, second = twins
    record = second.read(CaseRecord)
    images = tuple(one.model_copy(update={"sha256": "0" * 64}) for one in record.images)
    second.write(record.model_copy(update={"images": images}))
    with pytest.raises(WrongCase, match="no image is the same"):
        compare_case(first, second.path)


def test_labels_that_lie_elsewhere_are_refused(twins):
    first, second = twins
    volume = read_nifti(second.path / "labels.nii.gz").volume
    matrix = volume.patient_from_index.matrix.copy()
    matrix[:3, 3] += (0.0, 0.0, 35.0)
    write_nifti(LabelMap(volume.array.astype(np.uint8), affine(matrix)), second.path / "labels.nii.gz")
    with pytest.raises(WrongCase, match="another patient or frame, or the levels are named otherwise"):
        compare_case(first, second.path)


def test_a_label_file_of_the_same_scan_goes_through_the_same_import(tmp_path):
    first = np.where(blocks() == 4, 0, blocks())
    thin = np.where((first == 2) & (np.roll(first, 1, 1) != 2), 0, first)  # L5's front a voxel further in
    for name, array in (("first", first), ("second", thin)):
        write_nifti(LabelMap(array, affine(np.eye(4)), BLOCKS), tmp_path / f"{name}.nii.gz")
    case = import_case(tmp_path / "case", [], labels=tmp_path / "first.nii.gz")
    made = compare_case(case, tmp_path / "second.nii.gz")
    whole = {one.key: one.dice for one in made.overlap}
    assert whole["vertebra/L4/body"] == 1.0
    assert 0.9 < whole["vertebra/L5/body"] < 0.99
    same = next(p for p in made.measures if p.name == "disc height")
    assert abs(same.difference) < 0.2
