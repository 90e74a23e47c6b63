"""`keyhole score`: what it prints, what it refuses."""

import json

import pytest
from click.testing import CliRunner

from keyhole.cli.main import main


def _run(*words):
    return CliRunner().invoke(main, ["score", *words])


def _json(*words):
    done = _run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_a_form_is_scored_with_a_dash_for_an_item_left_out():
    done = _run("odi", *["2", "2", "2", "2", "2", "2", "2", "-", "1", "1"])
    assert "35.6 %, moderate" in done.output
    assert "divisor is 45" in done.output
    plain = _json("odi", *["2", "2", "2", "2", "2", "2", "2", "-", "1", "1"])
    assert round(plain["value"], 1) == 35.6
    assert plain["missing"] == [8]
    assert plain["research_use"].startswith("Research use only")


def test_a_change_is_told_with_what_is_known_of_it():
    assert "less than every published change" in _run("nrs-leg", "6", "--before", "7").output
    assert "not known" in _run("eq-vas", "60", "--before", "40").output
    assert _json("odi", "--score", "22", "--before", "46")["change"]["points"] == -24


def test_ticked_statements_are_counted():
    assert _json("rmdq-24", "--ticked", "1 4, 7")["value"] == 3
    assert _run("odi", "--ticked", "1").exit_code == 1
    assert "got item '25'" in _run("rmdq-24", "--ticked", "25").output


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        (
            "a.csv",
            "id,odi_1,odi_2,odi_3,odi_4,odi_5,odi_6,odi_7,odi_8,odi_9,odi_10\nP1,5,5,5,5,5,5,5,,5,5\nP2" + "," * 10,
            [100, None],
        ),
        ("a.json", json.dumps([[0] * 10, {"1": 5, "2": 0}]), [0, 50]),
        (
            "a.json",
            json.dumps(
                {
                    "resourceType": "QuestionnaireResponse",
                    "item": [{"linkId": f"odi-{n}", "answer": [{"valueInteger": 1}]} for n in range(1, 11)],
                }
            ),
            [20],
        ),
    ],
)
def test_files_of_forms_are_scored(tmp_path, name, text, values):
    path = tmp_path / name
    path.write_text(text)
    assert [row["value"] for row in _json("odi", "--file", str(path))["scores"]] == values
    assert f"{sum(v is not None for v in values)} of {len(values)} forms" in _run("odi", "--file", str(path)).output


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "", "1,2,3\n1,2,3,4\n"])
def test_a_file_without_the_forms_columns_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text)
    done = _run("odi", "--file", str(path))
    assert done.exit_code == 1
    assert done.output.startswith("Error: a.csv")


def test_without_answers_the_rule_licence_and_thresholds_are_shown():
    done = _run("odi")
    assert "Fairbank" in done.output
    assert "raw points" in done.output
    assert "Swespine" in done.output
    assert len(_json()["instruments"]) == 21
    assert "5r-sts" in _run().output
    assert _run("eq5d-5l").output.count("never called important") == 1
