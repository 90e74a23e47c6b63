"""`keyhole evidence` as a user runs it."""

import csv
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keyhole.cli.main import main
from keyhole.evidence import COLUMNS, shipped

ROOT = Path(__file__).resolve().parents[2]
KNOWN = json.loads((ROOT / "tests/reference/meta_analysis.json").read_text())["bcg"]


def run(*words, code=0):
    done = CliRunner().invoke(main, ["evidence", *(str(w) for w in words)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stdout if code == 0 else done.output


@pytest.fixture
def bcg(tmp_path):
    path = tmp_path / "bcg.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "x_ablat"], restval="")
        writer.writeheader()
        for n, (x, without, x0, without0, latitude) in enumerate(KNOWN["data"]):
            writer.writerow(
                {
                    "procedure": "BCG", "comparator": "no vaccine", "outcome": "tuberculosis", "unit": "events",
                    "n_miss": x + without, "events_miss": x, "n_open": x0 + without0, "events_open": x0,
                    "source": f"Colditz 1994, trial {n + 1}", "url": "https://example.org", "status": "read",
                    "design": "RCT", "x_ablat": latitude - 33.46,
                }
            )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("measure", "model", "estimate"),
    [
        ("rr", "fixed", KNOWN["EE"]["estimate"]),
        ("rr", "dl", KNOWN["DL"]["estimate"]),
        ("rr", "reml", KNOWN["REML"]["estimate"]),
        ("rr", "pm", KNOWN["measured"]["PM"]["estimate"]),
        ("rr", "mh", KNOWN["MH_logRR"]),
        ("or", "mh", KNOWN["MH_logOR"]),
        ("or", "peto", KNOWN["Peto_logOR"]),
        ("or", "dl", KNOWN["DL_logOR"]["estimate"]),
    ],
)
def test_any_table_is_pooled_to_the_published_digits(bcg, measure, model, estimate):
    (found,) = json.loads(run("pool", bcg, "--measure", measure, "--model", model, "--json"))["pools"]
    assert found["estimate"] == pytest.approx(estimate, abs=5.1e-5)
    assert found["k"] == 13


def test_hk_takes_the_first_place_and_both_intervals_stay(bcg):
    (plain,) = json.loads(run("pool", bcg, "--measure", "rr", "--json"))["pools"]
    (found,) = json.loads(run("pool", bcg, "--measure", "rr", "--hk", "--json"))["pools"]
    assert found["interval"] == pytest.approx(KNOWN["REML_KH"]["ci"], abs=5.1e-5)
    assert plain["interval"] == pytest.approx(KNOWN["REML"]["ci"], abs=5.1e-5)
    assert found["wald"] == plain["wald"]
    assert found["prediction"]["convention"].startswith("t with k - 1")


def test_direction_regression_and_sensitivity_are_printed(bcg):
    assert "UNKNOWN" in run("pool", bcg, "--measure", "rr")
    words = run("pool", bcg, "--measure", "rr", "--better", "lower", "--covariate", "ablat", "--sensitivity")
    assert "word: BETTER" in words
    assert "regression: ablat" in words
    assert words.count("without Colditz") == 13
    plain = json.loads(run("pool", bcg, "--measure", "rr", "--covariate", "ablat", "--sensitivity", "--json"))["pools"][
        0
    ]
    assert len(plain["leave_one_out"]) == 13
    assert plain["regression"]["coefficients"][1]["name"] == "ablat"


def test_a_forest_plot_is_written(bcg, tmp_path):
    out = tmp_path / "forest.svg"
    run("pool", bcg, "--measure", "rr", "--plot", out)
    assert out.read_text().startswith("<svg")
    assert "choose with --outcome" in run("pool", "--measure", "md", "--plot", out, code=1)


def test_the_shipped_table_is_pooled_question_by_question():
    pools = json.loads(run("pool", "--measure", "md", "--json"))["pools"]
    keys = [(p["comparison"], p["outcome"], p["time"]) for p in pools]
    assert len(set(keys)) == len(keys)
    assert all(p["word"] in {"unknown", "no clear difference"} for p in pools if p["k"] < 3)
    blood = next(p for p in pools if (p["comparison"], p["outcome"]) == ("discectomy", "Blood loss"))
    assert all("row" in row and row["reason"] for row in blood["left_out"])
    (one,) = json.loads(run("pool", "--measure", "or", "--together", "--outcome", "any complication", "--json"))[
        "pools"
    ]
    assert one["k"] == 5


def test_list_show_and_summary_answer_in_words_and_json():
    assert "Gibson 2017" in run("list", "--outcome", "reoperation")
    assert {"name", "status", "address"} <= set(json.loads(run("list", "--json"))["studies"][0])
    assert "5 of 70" in run("show", "gibson")
    assert json.loads(run("show", "PMC4037525", "--json"))["rows"][0]["outcome"] == "recurrence"
    assert "worse" in run("summary", "--comparison", "discectomy")
    found = json.loads(run("summary", "--json"))["answers"]
    recurrence = next(a for a in found if (a["comparison"], a["outcome"]) == ("discectomy", "recurrence"))
    assert recurrence["word"] == "worse"
    assert recurrence["syntheses"][0]["interval"] == pytest.approx([0.174, 1.160], abs=1e-3)


def test_a_table_of_ones_own_is_checked_and_added(bcg, tmp_path):
    assert f"{len(shipped()) + 13} rows are sound" in run("check", bcg)
    assert "tuberculosis" in run("show", "Colditz", "--add", bcg)
    bad = tmp_path / "bad.csv"
    bad.write_text(bcg.read_text().replace(",123,", ",3,", 1))
    said = run("check", bad, code=1)
    assert "bad.csv, row 2, column events_miss: must not exceed n, got 4 of 3" in said
    assert json.loads(run("check", bad, "--json", code=1))["wrong"]
    twice = tmp_path / "twice.csv"
    twice.write_text("\n".join([*bcg.read_text().splitlines(), bcg.read_text().splitlines()[1], ""]))
    assert "the same source (or cohort)" in run("check", twice, code=1)
    again = ROOT / "src/keyhole/evidence/studies.csv"
    assert "the same source (or cohort)" in run("check", again, code=1)
    pooled = run("pool", bad, "--measure", "rr", code=1)
    assert pooled.startswith("Error: bad.csv, row 2, column events_miss")
    assert pooled.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--outcome", "joy"), "no row has the outcome 'joy'"),
        (("show", "nobody"), "no study has 'nobody'"),
        (("summary", "--comparison", "magic"), "no comparison is called 'magic'"),
        (("pool", "--measure", "md", "--outcome", "joy"), "no row has the outcome"),
        (("pool", "--measure", "smd", "--outcome", "recurrence"), "nothing to pool as standardised"),
        (("pool", "--measure", "md", "--model", "mh", "--outcome", "odi"), "model mh pools counts"),
    ],
)
def test_questions_without_an_answer_are_one_sentence(words, said):
    told = run(*words, code=1)
    assert said in told
    assert told.count("\n") == 1


def test_rows_of_ones_own_are_pooled_beside_those_of_the_table(tmp_path):
    path = tmp_path / "clinic.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerow(
            {
                "procedure": "tubular discectomy", "comparator": "microdiscectomy",
                "outcome": "radiation exposure time", "unit": "s", "timepoint": "perioperative",
                "n_miss": 40, "mean_miss": 31, "sd_miss": 12, "n_open": 52, "mean_open": 6, "sd_open": 3,
                "source": "Clinic", "status": "measured", "design": "cohort",
            }
        )  # fmt: skip
    asked = ("pool", "--measure", "md", "--outcome", "radiation", "--comparison", "discectomy")
    (pool,) = json.loads(run(*asked, "--add", path, "--json"))["pools"]
    assert [study["name"] for study in pool["studies"]] == ["Clinic", "TED trial, 65 patients"]
    assert pool["word"] == "unknown"
    assert "points to worse" in pool["why"]
    assert "the same source (or cohort)" in run(*asked, "--add", path, "--add", path, code=1)


def test_the_document_prints_what_the_table_says_now():
    document = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert run("summary", "--markdown").rstrip() in document


def test_help_of_every_part_names_its_options():
    group = main.get_command(None, "evidence")
    for name, command in group.commands.items():
        assert command.help, name
        assert all(o.help for o in command.params if isinstance(o, click.Option)), name
        assert f"keyhole evidence {name}" in (ROOT / "docs/evidence.md").read_text(encoding="utf-8"), name


def test_a_question_that_a_model_cannot_pool_does_not_stop_the_others(bcg):
    with bcg.open() as file:
        rows = list(csv.DictReader(file))
    empty = {**rows[0], "outcome": "meningitis", "events_miss": "0", "events_open": "3"}
    with bcg.open("a", newline="") as file:
        csv.DictWriter(file, list(rows[0])).writerow(empty)
    found = json.loads(run("pool", bcg, "--measure", "or", "--model", "mh", "--json"))
    assert [one["k"] for one in found["pools"]] == [13]
    assert "no event" in found["not_pooled"][0]["reason"]
    assert "meningitis" in found["not_pooled"][0]["question"]
    assert "not pooled" in run("pool", bcg, "--measure", "or", "--model", "mh")
    assert "nothing to pool" in run("pool", bcg, "--measure", "md", "--model", "mh", code=1)
