"""Each command as a user runs it."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from follow_up import follow_up
from recount import check, scene, touched
from test_acceptance import FORBIDDEN, deviations

from keyhole.casefile import Case
from keyhole.cli.main import main

KEYHOLE = Path(sys.executable).with_name("keyhole")


def run(*words: str | Path, code: int = 0) -> str:
    """Standard output of a command that must end with `code`; on errors, what it said."""
    done = CliRunner().invoke(main, [str(w) for w in words])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stdout if code == 0 else done.output


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    said = json.loads(run("demo", out, "--json"))
    return out, said


@pytest.mark.alone
def test_help_answers_in_under_half_a_second():
    subprocess.run([KEYHOLE, "--help"], check=True, capture_output=True)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([KEYHOLE, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_help_says_research_use_only():
    assert "Research use only" in run("--help")


def test_the_demo_ends_with_a_report_and_every_file_of_the_case(demo):
    out, said = demo
    assert Path(said["report"]).is_file()
    assert Path(said["pdf"]).read_bytes().startswith(b"%PDF")
    for name in (
        "case.json",
        "labels.nii.gz",
        "labels.json",
        "findings.json",
        "plan.json",
        "forecast.json",
        "report/index.html",
    ):
        assert (out / "case" / name).is_file(), name
    assert any((out / "case" / "meshes").glob("*.glb"))


def test_the_demo_finds_a_corridor_of_each_kind_or_says_why_not(demo):
    plan = json.loads((demo[0] / "case" / "plan.json").read_text())
    seen = {c["approach"] for c in plan["candidates"]} | {r["approach"] for r in plan["rejected"]}
    assert seen >= {"transforaminal-endoscopic", "interlaminar-endoscopic", "tubular-paramedian"}
    assert plan["candidates"]
    assert plan["open"]["approach"] == "open-midline"


def test_an_independent_recount_agrees_on_the_demo(demo):
    case = demo[0] / "case"
    plan = json.loads((case / "plan.json").read_text())
    assert check(case) == []
    assert touched(plan["candidates"], scene(case), FORBIDDEN) == []
    assert deviations(Case(case), demo[0] / "phantom") == []


def test_the_demo_replaces_an_earlier_demo_and_nothing_else(demo, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "something other than an earlier demo" in run("demo", tmp_path, code=1)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.fixture(scope="module")
def copy(demo, tmp_path_factory):
    """The demo's case, to be planned again with other questions."""
    return Path(shutil.copytree(demo[0] / "case", tmp_path_factory.mktemp("copy") / "case"))


ONE = ("--level", "L4/L5", "--side", "left", "--goal", "decompress", "--approach", "tubular-paramedian")


@pytest.mark.slow
def test_stages_print_json_that_equals_their_files(copy):
    assert json.loads(run("assess", copy, "--json")) == json.loads((copy / "findings.json").read_text())
    assert json.loads(run("plan", copy, *ONE, "--json")) == json.loads((copy / "plan.json").read_text())


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(demo):
    case = demo[0] / "case"
    files = ("findings.json", "plan.json", "forecast.json", "report/index.html", "report/report.pdf")
    before = {name: (case / name).read_bytes() for name in files}
    run("run", case, "--level", "L4/L5", "--side", "left", "--goal", "decompress", "--json")
    assert [name for name in files if (case / name).read_bytes() != before[name]] == []


@pytest.mark.slow
def test_tables_are_readable_without_json(copy):
    findings = run("assess", copy)
    assert "disc height" in findings
    assert "canal area" in findings
    plan = run("plan", copy, *ONE)
    assert "open-midline" in plan
    assert "clearance" in plan


@pytest.mark.slow
def test_the_demo_is_followed_up_to_the_comparison_by_commands_alone(demo, tmp_path):
    case = Path(shutil.copytree(demo[0] / "case", tmp_path / "case"))
    found = follow_up(case, tmp_path)
    assert found.two_weeks["advice"]["word"] == "advance"
    assert found.visits["2026-07-06"]["advice"]["word"] == "call"
    assert found.comparison["n"] == 401


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("assess", "CASE/report"), "no case.json"),
        (("assess", "CASE/absent"), "no such folder"),
        (("plan", "CASE", "--level", "T8/T9", "--side", "left", "--goal", "decompress"), "not in the scan"),
        (("plan", "CASE", "--level", "L4", "--side", "left", "--goal", "decompress"), "neighbouring vertebrae"),
        (("plan", "CASE", "--level", "L4/L5", "--side", "left", "--goal", "decompress", "--approach", "nose"), "nose"),
        (
            ("plan", "CASE", "--level", "L4/L5", "--side", "left", "--goal", "fuse", "--budget", "CASE/case.json"),
            "case.json: a budget is a TOML file, and this is not",
        ),
        (("confirm", "CASE", "--lowest-lumbar", "L9", "--by", "me"), "L9"),
    ],
)
def test_a_bad_request_is_one_sentence_and_leaves_the_case_as_it_was(demo, words, sentence):
    case = demo[0] / "case"
    before = {p: p.stat().st_mtime_ns for p in case.rglob("*")}
    said = run(*(word.replace("CASE", str(case)) for word in words), code=1)
    assert sentence in said
    assert said.splitlines()[-1].startswith("Error: ")
    assert {p: p.stat().st_mtime_ns for p in case.rglob("*")} == before


@pytest.mark.parametrize(
    "words", [("plan", "x", "--level", "L4/L5"), ("assess",), ("phantom", "x", "--pathology", "gout"), ("sing",)]
)
def test_a_wrong_command_line_ends_with_status_two(words):
    run(*words, code=2)
