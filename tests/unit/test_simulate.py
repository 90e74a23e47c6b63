"""The simulated registry: the same rows for the same settings, and truths that are true."""

import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner

from keyhole.cli.main import main
from keyhole.comparison.simulate import Settings, simulate, write_simulated
from keyhole.comparison.simulate.assignment import OPERATIONS
from keyhole.comparison.simulate.write import csv_of
from keyhole.comparison.table import read_table
from keyhole.errors import InvalidInput

COVARIATES = ("age", "bmi", "asa", "smoker", "diabetes", "prior_surgery", "levels", "odi_0", "leg_0", "back_0")


@pytest.fixture(scope="module")
def large():
    return simulate(Settings(8_000, 11, missing="none"))


def _naive(found, name):
    y, t = found.table[name], found.table["miss"]
    return y[t == 1].mean() - y[t == 0].mean()


def _regression(found, name):
    y = found.table[name]
    design = np.column_stack([found.table["miss"], np.ones(len(y)), *(found.table[c] for c in COVARIATES)])
    return np.linalg.lstsq(design, y, rcond=None)[0][0]


def test_the_same_settings_give_the_same_bytes_and_another_seed_others():
    first, again, other = (csv_of(simulate(Settings(300, seed))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_naive_difference_is_about_twice_the_effect_and_a_right_model_finds_it(large):
    assert large.truth["effect"]["odi_12m"] == -5.0
    assert -13 < _naive(large, "odi_12m") < -8.5
    assert abs(_regression(large, "odi_12m") + 5.0) < 1.2  # three standard errors


def test_without_confounding_the_naive_difference_is_the_effect():
    found = simulate(Settings(6_000, 3, confounding=0.0, missing="none"))
    assert abs(_naive(found, "odi_12m") + 5.0) < 1.4
    for name in ("minutes", "complication", "readmitted", "reoperated", "recovered", "leg_12m"):
        y = found.table[name]
        error = 4 * y.std() / np.sqrt(len(y) / 4)
        assert abs(_naive(found, name) - found.truth["effect"][name]) < error, name


def test_a_hidden_confounder_misleads_even_the_right_model():
    found = simulate(Settings(4_000, 3, hidden=1.0, missing="none"))
    assert _regression(found, "odi_12m") < -7


def test_what_is_missing_changes_no_value_of_what_is_there():
    whole, holes = (simulate(Settings(2_000, 5, missing=kind)).table for kind in ("none", "mcar"))
    there = ~np.isnan(holes["odi_12m"])
    assert np.array_equal(whole["odi_12m"][there], holes["odi_12m"][there])
    assert 0.15 < 1 - there.mean() < 0.25
    assert not np.isnan(whole["bmi"]).any()
    assert np.isnan(holes["bmi"]).any()


def test_values_missing_for_what_they_are_are_the_bad_ones():
    whole, holes = (simulate(Settings(3_000, 5, missing=kind)).table for kind in ("none", "mnar"))
    lost = np.isnan(holes["odi_12m"])
    assert whole["odi_12m"][lost].mean() > whole["odi_12m"][~lost].mean() + 3


def test_who_has_left_answers_no_more_and_poor_overlap_is_poor():
    found = simulate(Settings(4_000, 8, overlap="poor"))
    gone = found.table["followup_days"] < 365
    assert gone.any()
    assert np.isnan(found.table["odi_12m"][gone]).all()
    share = found.truth["propensity"]
    assert share["below_0.05"] + share["above_0.95"] > 0.25


def test_times_stay_within_follow_up_and_scores_on_their_scales(large):
    table = large.table
    again = table["reoperated"] == 1
    assert (table["reoperation_days"][again] <= table["followup_days"][again]).all()
    assert np.isnan(table["reoperation_days"][~again]).all()
    for name in ("odi_12m", "odi_24m"):
        assert table[name].min() >= 0
        assert table[name].max() <= 100
        assert (table[name] % 2 == 0).all()


def test_surgeons_learn(large):
    table = large.table
    usual = {kind: table["minutes"][(table["operation"] == kind) & (table["miss"] == 0)].mean() for kind in OPERATIONS}
    slow = table["minutes"] / np.array([usual[kind] for kind in table["operation"]])
    first, last = [], []
    for surgeon in set(table["surgeon"]):
        mine = np.flatnonzero((table["surgeon"] == surgeon) & (table["miss"] == 1))
        mine = mine[np.argsort(table["surgery_date"][mine], kind="stable")]
        first.extend(slow[mine[:10]])
        last.extend(slow[mine[60:]])
    assert np.mean(first) > np.mean(last) + 0.02


def test_odd_wishes_are_refused_in_one_sentence():
    for wish in ({"patients": 3}, {"effect": 99}, {"overlap": "so-so"}, {"centres": 9, "surgeons": 3}, {"seed": -1}):
        with pytest.raises(InvalidInput):
            Settings(**{"patients": 100, "seed": 1} | wish)
    with pytest.raises(InvalidInput, match="effect"):
        Settings(100, 1, effect=float("nan"))


def test_files_are_the_pair_or_nothing_and_nobodys_data_is_replaced(tmp_path):
    out = tmp_path / "new" / "made"
    for seed in (1, 2):  # into a new folder, then over an earlier simulation
        table, truth = write_simulated(simulate(Settings(50, seed)), out)
        said = json.loads(truth.read_text())
        assert said["table"]["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
        assert said["settings"]["seed"] == seed
    assert sorted(p.name for p in out.iterdir()) == ["registry.csv", "truth.json"]
    assert [p.name for p in out.parent.iterdir()] == ["made"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "registry.csv").write_text("episode\n1\n")
    with pytest.raises(InvalidInput, match="no simulation"):
        write_simulated(simulate(Settings(50, 1)), mine)
    assert (mine / "registry.csv").read_text() == "episode\n1\n"


def test_a_table_read_back_is_the_table_written(tmp_path):
    found = simulate(Settings(200, 4))
    path, _ = write_simulated(found, tmp_path / "made")
    back = read_table(path)
    assert set(back["sex"]) == {"F", "M"}
    assert list(back.columns) == list(found.table.columns)
    for name, values in found.table.columns.items():
        if values.dtype == object:
            assert list(back[name]) == list(values)
        else:
            assert np.array_equal(back[name], values, equal_nan=True)


def test_the_command_says_that_it_is_synthetic_and_prints_the_truth(tmp_path):
    args = ["registry", "simulate", "--patients", "60", "--seed", "1", "--out", str(tmp_path / "made")]
    told = CliRunner().invoke(main, args)
    assert told.exit_code == 0, told.output
    assert "Synthetic" in told.output
    assert "Research use only" in told.output
    printed = CliRunner().invoke(main, [*args, "--json"])
    assert json.loads(printed.output)["effect"]["odi_12m"] == -5.0
    wrong = CliRunner().invoke(main, [*args, "--effect", "80"])
    assert wrong.exit_code == 1
    assert "effect must be -15 to 15" in wrong.output
