"""Other tools' segmenters: found, run, read, or refused; with stand-ins that write what the tools write."""

import json
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from import_files import REAL, blocks, placed, scan, tree

from keyhole.anatomy import intake
from keyhole.anatomy.intake import import_case
from keyhole.casefile import Case, CaseRecord, LabelsRecord
from keyhole.cli.main import main
from keyhole.errors import InvalidInput, KeyholeError, NotInScan, SegmenterFailed
from keyhole.geometry import LabelMap
from keyhole.imaging import write_nifti
from keyhole.segment import METHODS, TOOLS, run_tool, segment_case
from keyhole.segment.tools import found

NAMES = {29: "vertebrae_L3", 28: "vertebrae_L4", 27: "vertebrae_L5", 25: "sacrum", 79: "spinal_cord"}
TOTAL = np.array([0, 29, 28, 27, 25, 79, 0, 0], dtype=np.uint8)
SPINE = np.array([0, 43, 44, 45, 50, 2, 0, 0], dtype=np.uint8)
INSTANCE = np.array([0, 22, 23, 24, 26, 0, 0, 0], dtype=np.uint8)
REGION = np.array([0, 49, 49, 49, 26, 61, 0, 0], dtype=np.uint8)

HEAD = """#!{python}
import glob, os, shutil, subprocess, sys, time
told = sys.argv[1:]
ready = {ready!r}
def after(flag):
    return told[told.index(flag) + 1]
if told == ["--version"]:
    print("TotalStandIn 2.18.0"); sys.exit(0)
"""

TOTALSEGMENTATOR = """
assert os.path.isfile(after("-i")) and "--ml" in told
print("loading", file=sys.stderr, flush=True)
shutil.copy(os.path.join(ready, after("-ta") + ".nii.gz"), after("-o"))
"""
TOTALSPINESEG = """
inside, out = told[0], told[1]
name = os.path.basename(glob.glob(inside + "/*.nii.gz")[0])
os.makedirs(out + "/step1_output"); os.makedirs(out + "/step2_output")
shutil.copy(ready + "/spine.nii.gz", out + "/step2_output/" + name)
"""
SPINEPS = """
assert told[0] == "sample" and after("-model_labeling")
folder = os.path.join(os.path.dirname(after("-i")), "derivatives_seg")
os.makedirs(folder)
shutil.copy(ready + "/vert.nii.gz", folder + "/sub-case_mod-T2w_seg-vert_msk.nii.gz")
shutil.copy(ready + "/subreg.nii.gz", folder + "/sub-case_mod-T2w_seg-spine_msk.nii.gz")
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No settings of the person who runs the tests, and nothing derived: that is tested where it is made."""
    for name in TOOLS:
        monkeypatch.delenv(f"KEYHOLE_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = lambda labels, structures, _image, _modality, _tell: (labels, dict(structures), ())  # noqa: E731
    monkeypatch.setattr(intake, "_completed", done)


@pytest.fixture
def ready(tmp_path):
    """What the stand-ins leave, as files."""
    folder = tmp_path / "ready"
    folder.mkdir()
    array, at = blocks(), placed()
    parts = np.where(np.isin(array, (1, 2, 3)), 1, 0).astype(np.uint8)
    parts[8:16, 5:12, [9, 10, 18, 19]] = 2
    write_nifti(LabelMap(TOTAL[array], at), folder / "total.nii.gz", NAMES)
    write_nifti(LabelMap(parts, at), folder / "vertebrae_body.nii.gz", {1: "vertebrae_body", 2: "intervertebral_discs"})
    write_nifti(LabelMap(SPINE[array], at), folder / "spine.nii.gz")
    write_nifti(LabelMap(INSTANCE[array], at), folder / "vert.nii.gz")
    write_nifti(LabelMap(REGION[array], at), folder / "subreg.nii.gz")
    return folder


def stand_in(path, script, ready):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(python=sys.executable, ready=str(ready)) + script)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


@pytest.fixture
def ct(tmp_path):
    return import_case(tmp_path / "case", [scan(tmp_path / "in")[0]])


@pytest.fixture
def mr(tmp_path):
    return import_case(tmp_path / "mr", [scan(tmp_path / "in", modality="MR")[0]])


def test_totalsegmentators_output_becomes_the_labels_of_the_case(tmp_path, ct, ready):
    stand_in(tmp_path / "bin" / "TotalSegmentator", TOTALSEGMENTATOR, ready)
    said = []
    segment_case(ct, "totalsegmentator", lambda text, share: said.append((text, share)))
    labels = ct.read(LabelsRecord)
    keys = {entry.key for entry in labels.structures.values()}
    assert {"vertebra/L4/body", "vertebra/L5/body", "sacrum", "disc/L4-L5", "canal/dural_sac"} <= keys
    told = labels.provenance.parameters
    assert (told["tool"], told["tool_version"], told["method"]) == ("TotalSegmentator", "2.18.0", "totalsegmentator")
    assert told["tool_commands"].startswith("TotalSegmentator -i INPUT -o OUTPUT/total.nii.gz --ml -ta total; Total")
    assert set(labels.provenance.inputs) == {"ct.nii.gz"}
    sources = {entry.source for entry in labels.structures.values()}
    assert sources == {
        "TotalSegmentator 2.18.0, TotalSegmentator total",
        "TotalSegmentator 2.18.0, TotalSegmentator vertebrae body",
    }
    numbering = ct.read(CaseRecord).numbering
    assert numbering == "the segmenter TotalSegmentator 2.18.0; not confirmed by a person"
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert said[-1] == ("Case written", 1.0)
    assert any("TotalSegmentator 2.18.0 is running" in text for text, _ in said)


def test_the_same_output_gives_the_same_bytes(tmp_path, ready):
    stand_in(tmp_path / "bin" / "TotalSegmentator", TOTALSEGMENTATOR, ready)
    image = scan(tmp_path / "in")[0]
    made = [segment_case(import_case(tmp_path / name / "case", [image]), "totalsegmentator") for name in ("one", "two")]
    assert tree(made[0].path) == tree(made[1].path)


@pytest.mark.parametrize(
    ("method", "script", "keys"),
    [
        ("totalspineseg", TOTALSPINESEG, {"vertebra/L4", "sacrum", "canal/dural_sac"}),
        ("spineps", SPINEPS, {"vertebra/L4/body", "sacrum", "canal/dural_sac"}),
    ],
)
def test_the_tools_for_mr(tmp_path, mr, ready, method, script, keys):
    stand_in(tmp_path / "bin" / TOOLS[method].command, script, ready)
    segment_case(mr, method)
    assert keys <= {entry.key for entry in mr.read(LabelsRecord).structures.values()}


def test_a_tool_is_named_by_variable_before_settings_before_search_path(tmp_path, monkeypatch, ready):
    places = [tmp_path / name / "seg" for name in ("a", "b")]
    for place in places:
        stand_in(place, TOTALSPINESEG, ready)
    on_path = stand_in(tmp_path / "bin" / "totalspineseg", TOTALSPINESEG, ready)
    assert found("totalspineseg").words == (str(on_path),)
    settings = tmp_path / "config" / "keyhole" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[segmenters]\ntotalspineseg = "{places[0]} --fast"\n')
    assert found("totalspineseg").words == (str(places[0]), "--fast")
    monkeypatch.setenv("KEYHOLE_TOTALSPINESEG", str(places[1]))
    assert found("totalspineseg").words == (str(places[1]),)
    assert found("totalspineseg").version == "2.18.0"
    monkeypatch.setenv("KEYHOLE_TOTALSPINESEG", str(tmp_path / "gone"))
    with pytest.raises(SegmenterFailed, match="the variable KEYHOLE_TOTALSPINESEG names .* no program here"):
        found("totalspineseg")
    monkeypatch.delenv("KEYHOLE_TOTALSPINESEG")
    for text, sentence in (("[segmenters\n", "not readable TOML"), ("[segmenters]\ntotalspineseg = 3\n", "in quotes")):
        settings.write_text(text)
        with pytest.raises(InvalidInput, match=sentence):
            found("totalspineseg")


def test_an_absent_tool_is_said_with_how_to_get_it(ct):
    with pytest.raises(
        SegmenterFailed, match=r"TotalSegmentator was not found .* \(pip install TotalSegmentator\)"
    ) as e:
        segment_case(ct, "totalsegmentator")
    assert "\n" not in str(e.value)
    assert "config.toml under [segmenters]" in str(e.value)


def test_a_tool_without_a_version_is_of_unknown_version(tmp_path, ready):
    path = stand_in(tmp_path / "bin" / "spineps", SPINEPS, ready)
    path.write_text(path.read_text().replace('told == ["--version"]', "False"))
    assert found("spineps").version == "of unknown version"


BAD = {
    "fails": ('print("warming up"); sys.exit("CUDA error: no kernel image")', "exit status 1: CUDA error: no kernel"),
    "silent": ("sys.exit(3)", "exit status 3: it said nothing"),
    "leaves nothing": ("pass", "ended without an error but left no total.nii.gz"),
    "leaves rubbish": ('open(after("-o"), "wb").write(b"rubbish")', "is not a readable NIfTI file"),
    "leaves no vertebra": (
        'shutil.copy(ready + "/vertebrae_body.nii.gz", after("-o"))',
        "is one for all levels; give a second label file",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_goes_wrong_is_one_sentence_and_the_case_is_as_it_was(tmp_path, ct, ready, name):
    script, sentence = BAD[name]
    stand_in(tmp_path / "bin" / "TotalSegmentator", script, ready)
    before = tree(tmp_path)
    with pytest.raises(KeyholeError, match=sentence) as told:
        segment_case(ct, "totalsegmentator")
    assert "\n" not in str(told.value)
    assert tree(tmp_path) == before


SLEEPS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(ready + "/child", "w").write(str(child.pid))
print("epoch 1 of 99", flush=True)
time.sleep(60)
"""


def _gone(process):
    for _ in range(50):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def test_a_tool_that_takes_too_long_is_ended_with_what_it_started(tmp_path, ct, ready):
    stand_in(tmp_path / "bin" / "TotalSegmentator", SLEEPS, ready)
    with pytest.raises(SegmenterFailed, match="was ended after 2 s without a result"):
        segment_case(ct, "totalsegmentator", timeout=1.5)
    assert _gone(int((ready / "child").read_text()))


def test_an_interrupt_ends_the_tool_and_leaves_nothing(tmp_path, ct, ready, monkeypatch):
    stand_in(tmp_path / "bin" / "TotalSegmentator", SLEEPS, ready)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def stop(text, _share):
        if "epoch 1 of 99" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_case(ct, "totalsegmentator", stop)
    assert _gone(int((ready / "child").read_text()))
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not ct.has(LabelsRecord)


def test_mr_without_a_tool_names_the_tools(tmp_path, mr):
    with pytest.raises(NotInScan, match="--method totalsegmentator or --method totalspineseg or --method spineps"):
        segment_case(mr)
    with pytest.raises(NotInScan, match="has MR; ct-classical reads CT"):
        segment_case(mr, "ct-classical")
    with pytest.raises(InvalidInput, match="one of ct-classical, totalsegmentator, .*, got 'magic'"):
        segment_case(mr, "magic")
    assert ("ct-classical", *TOOLS) == METHODS
    bare = import_case(tmp_path / "bare", [], labels=scan(tmp_path / "in")[1])
    with pytest.raises(NotInScan, match="has no image to segment"):
        segment_case(bare)


def said(*words, code=0):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stdout if code == 0 else done.output


def test_the_command_says_what_was_found(tmp_path, ct, ready):
    stand_in(tmp_path / "bin" / "TotalSegmentator", TOTALSEGMENTATOR, ready)
    text = said("segment", ct.path, "--method", "totalsegmentator")
    assert "the segmenter TotalSegmentator 2.18.0" in text
    assert "found:  L3, L4, L5" in text
    assert "keyhole confirm" in text
    told = json.loads(said("segment", ct.path, "--method", "totalsegmentator", "--json"))
    assert told["vertebrae"][:3] == ["L3", "L4", "L5"]


def test_the_command_for_every_stage_segments_first_or_says_why_not(tmp_path, mr):
    before = tree(mr.path)
    text = said("run", mr.path, "--level", "L4/L5", "--side", "left", "--goal", "decompress", code=1)
    assert "has MR only, which Keyhole does not segment itself" in text
    assert tree(mr.path) == before


def test_several_label_files_are_imported_in_one_command(tmp_path, ready):
    image = scan(tmp_path / "in")[0]
    files = ["--labels", ready / "vert.nii.gz", "--labels", ready / "subreg.nii.gz"]
    schemes = ["--scheme", "spineps_vert_instance", "--scheme", "spineps_subregion"]
    said("import", tmp_path / "both", "--image", image, *files, *schemes)
    record = Case(tmp_path / "both").read(LabelsRecord)
    assert "vertebra/L4/body" in {entry.key for entry in record.structures.values()}
    assert set(record.provenance.inputs) == {"vert.nii.gz", "subreg.nii.gz"}
    assert any("names only where its labelling model ran" in entry.finding for entry in record.evidence)
    text = said("import", tmp_path / "new", "--image", image, *files, code=1)
    assert "as verse: vertebrae L3-L5" in text


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_real_output_files_of_totalsegmentator_are_read_as_the_tools_own(tmp_path):
    folder = REAL / "ct_abdomen_3mm"
    (tmp_path / "real").mkdir()
    for task in ("total", "vertebrae_body"):
        (tmp_path / "real" / f"{task}.nii.gz").symlink_to((folder / f"labels_totalsegmentator_{task}.nii.gz").resolve())
    stand_in(tmp_path / "bin" / "TotalSegmentator", TOTALSEGMENTATOR, tmp_path / "real")
    made = run_tool("totalsegmentator", folder / "ct.nii.gz", "CT")
    keys = set(made.named.labels.keys)
    assert {"vertebra/L1/body", "vertebra/L5/body", "disc/L4-L5", "vertebra/S1", "vessel/aorta"} <= keys
    assert made.version == "2.18.0"
