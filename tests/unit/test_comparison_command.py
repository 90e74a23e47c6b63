"""`keyhole registry compare`: what it prints, as text and JSON, and how it refuses."""

import json
import sys
from types import ModuleType

import pytest
from click.testing import CliRunner
from two_arms import world

from keyhole.casefile.store import RESEARCH_USE
from keyhole.cli.main import main
from keyhole.comparison.table import read_table, write_table


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "world.csv"
    write_table(world(400, seed=6, missing=0.1), path)
    return path


def _run(*words):
    return CliRunner().invoke(main, ["registry", "compare", *map(str, words)])


def stand_in(monkeypatch, module, **names):
    """A module of these names alone in place of a heavy one that has tests of its own."""
    light = ModuleType(module)
    vars(light).update(names)
    monkeypatch.setitem(sys.modules, module, light)


def test_text_tells_the_plan_before_the_result_and_ends_with_what_weakens_it(csv):
    done = _run(csv, "--outcome", "odi_12m", "--imputations", 2)
    assert done.exit_code == 0, done.output
    told = done.output
    order = ["PLAN, stated before the result", "RESULT: small openings minus open", "OVERLAP", "BALANCE", "E-VALUE"]
    order += ["MISSING", "CAVEATS", RESEARCH_USE]
    places = [told.index(word) for word in order]
    assert places == sorted(places)
    for word in ("plain difference", "g-computation", "IPW", "doubly robust", "association", "not drawn by lot"):
        assert word in told
    assert max(len(line) for line in told.splitlines()) <= 130


def test_json_is_one_object_with_the_same_figures_each_time(csv):
    words = ("--outcome", "odi_12m", "--imputations", 2, "--covariates", "age, odi_0,smoker,operation", "--json")
    first, again = _run(csv, *words), _run(csv, *words)
    assert first.exit_code == 0, first.output
    assert first.output == again.output
    told = json.loads(first.output)
    assert told["notice"] == RESEARCH_USE
    assert told["covariates"] == ["age", "odi_0", "smoker", "operation"]
    assert -9 < told["estimates"]["aipw"]["value"] < -2
    assert told["missing"]["imputations"] == 2


def test_options_reach_the_analysis(csv):
    words = ("--outcome", "reoperated", "--covariates", "none", "--trim", "none", "--cluster", "none", "--level", 0.9)
    told = json.loads(_run(csv, *words, "--json").output)
    assert told["covariates"] == []
    assert told["settings"]["trim"] is None
    assert told["settings"]["cluster"] is None
    assert told["settings"]["level"] == 0.9
    assert told["estimates"]["aipw"]["ratio"]["value"] > 0
    text = _run(csv, *words).output
    assert "risk ratio" in text
    assert "percentage points" in text


def test_poor_overlap_is_a_warning_above_the_result(tmp_path):
    write_table(world(600, seed=2, strength=3.5), tmp_path / "poor.csv")
    told = _run(tmp_path / "poor.csv", "--outcome", "odi_12m", "--trim", "none").output
    assert told.index("WARNING: OVERLAP IS POOR") < told.index("doubly robust (AIPW) ")
    assert "OVERLAP: POOR" in told


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--outcome", "odi_99m"), 1, "no column 'odi_99m'"),
        (("--outcome", "odi_12m", "--treatment", "age"), 1, "must be 0 or 1"),
        (("--outcome", "odi_12m", "--covariates", "weight"), 1, "no column 'weight'"),
        (("--outcome", "odi_12m", "--trim", "0.7"), 1, "trimming must be"),
        (("--outcome", "odi_12m", "--trim", "some"), 2, "not a number, crump or none"),
        ((), 2, "--outcome"),
    ],
)
def test_a_wrong_question_is_refused_without_a_traceback(csv, words, status, told):
    done = _run(csv, *words)
    assert done.exit_code == status
    assert told in done.output
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there_is_told(tmp_path):
    done = _run(tmp_path / "none.csv", "--outcome", "odi_12m")
    assert done.exit_code == 1
    assert "there is no such file" in done.output


def test_the_report_and_its_json_are_written(csv, tmp_path, monkeypatch):
    def page(table, found, folder):  # the page itself has tests of its own
        folder.mkdir()
        (folder / "index.html").write_text(f"{len(table)} {found.outcome}")
        return folder / "index.html"

    stand_in(monkeypatch, "keyhole.report.comparison", write_comparison=page)
    done = _run(csv, "--outcome", "odi_12m", "--imputations", 2, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.output.rstrip().endswith(f"Report: {tmp_path / 'out' / 'index.html'}")
    assert (tmp_path / "out" / "index.html").read_text() == "400 odi_12m"
    told = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert told["outcome"] == "odi_12m"


def test_a_registry_is_read_through_its_analysis_table(tmp_path, monkeypatch):
    file = tmp_path / "clinic.db"
    file.write_bytes(b"SQLite format 3\x00" + bytes(100))
    write_table(world(200, seed=6), tmp_path / "same.csv")
    opened = []
    stand_in(monkeypatch, "keyhole.registry.database", open_registry=opened.append)
    stand_in(monkeypatch, "keyhole.registry.tables", analysis_table=lambda _: read_table(tmp_path / "same.csv"))
    words = ("--outcome", "odi_12m", "--json")
    assert _run(file, *words).output == _run(tmp_path / "same.csv", *words).output
    assert _run("postgresql://clinic/keyhole", *words).exit_code == 0
    assert opened == [str(file), "postgresql://clinic/keyhole"]
