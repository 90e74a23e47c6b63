"""The label map after a planned decompression, written for any candidate, and nothing else than the plan says."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner
from plan_anatomy import back
from plan_case import stored

from keyhole.casefile import Case
from keyhole.cli.main import main
from keyhole.errors import InvalidInput
from keyhole.plan import plan_case
from keyhole.report.decompressed import write_decompressed

COARSE = (2.0, 2.0, 2.0)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    room = tmp_path_factory.mktemp("painted")
    case, own = stored(back(spacing=COARSE, herniation=None), room / "case"), room / "ours.toml"
    own.write_text('[our-tube]\nlike = "tubular-paramedian"\ntitle = "Ours"\nradii = [7.0, 9.0]\nsteps = [5, 5]\n')
    plan_case(case, "L4/L5", "left", "decompress", approaches=["our-tube"], catalogue_file=own)
    return case, json.loads((case.path / "plan.json").read_text()), own


def keys(folder):
    named = json.loads((folder / "labels.json").read_text())["structures"]
    image = nibabel.load(folder / "labels.nii.gz")
    names = np.array([named.get(str(n), {"key": ""})["key"] for n in range(int(np.max(image.dataobj)) + 1)])
    return names[np.asarray(image.dataobj)], abs(np.linalg.det(image.affine[:3, :3])) / 1000


def written(planned, which):
    """The plan's candidate, what the labels were and became, and mL of a voxel."""
    case, made, own = planned
    entry = made["candidates"][which]
    folder = write_decompressed(case, entry["rank"], catalogue_file=own)
    assert json.loads((folder / "labels.json").read_text())["provenance"]["parameters"]["rank"] == entry["rank"]
    (before, each), (after, _) = keys(case.path), keys(folder)
    return entry, before, after, each


def test_what_changed_in_the_written_labels_is_what_the_plan_says_of_each_candidate(planned):
    (first, before, one, each), (last, _, two, _) = written(planned, 0), written(planned, -1)
    for entry, after in ((first, one), (last, two)):
        told, changed = entry["decompression"]["removed"], before != after
        assert {str(k) for k in np.unique(before[changed])} <= {k for k, q in told.items() if q["value"] > 0}
        for key, quantity in told.items():
            assert (changed & (before == key)).sum() * each == pytest.approx(quantity["value"], abs=1e-3)
        assert set(np.unique(after[changed])) <= {"canal/epidural", "tissue/fat"}
        assert changed.sum() * each > 0.1
    assert (one != two).any()


def test_a_rank_that_the_plan_does_not_hold_is_one_sentence(planned):
    case, made, own = planned
    done = CliRunner().invoke(main, ["decompressed", str(case.path), "--candidate", "99", "--catalogue", str(own)])
    assert done.exit_code == 1
    assert done.output.strip() == f"Error: plan.json has ranks 1 to {len(made['candidates'])}, got 99"


def test_another_catalogue_than_the_plans_is_refused(planned, tmp_path):
    case, _, own = planned
    other = tmp_path / own.name
    other.write_text(own.read_text() + "angulation = 5\n")
    for file, why in ((None, "name its file with --catalogue"), (other, "not made with the catalogue ours.toml")):
        with pytest.raises(InvalidInput, match=why):
            write_decompressed(case, catalogue_file=file)


def test_labels_that_changed_since_the_plan_are_refused(planned, tmp_path):
    case, _, own = planned
    other = Case(shutil.copytree(case.path, tmp_path / "case"))
    image = nibabel.load(case.path / "labels.nii.gz")
    array = np.asarray(image.dataobj).copy()
    array[0, 0, 0] = 1 - min(array[0, 0, 0], 1)
    nibabel.save(nibabel.Nifti1Image(array, image.affine), other.path / "labels.nii.gz")
    with pytest.raises(InvalidInput, match="other labels"):
        write_decompressed(other, catalogue_file=own)


def test_the_commands_write_the_candidate_that_is_asked_for_and_a_fusion_has_none(planned):
    case, made, own = planned
    words = ["decompressed", str(case.path), "--candidate", str(len(made["candidates"])), "--catalogue", str(own)]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert json.loads(done.stdout) == {"candidate": len(made["candidates"]), "folder": str(case.path / "decompressed")}
    words = ["plan", str(case.path), "--level", "L4/L5", "--side", "left", "--goal", "fuse", "--write-decompressed"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "goes with --goal decompress" in done.output
