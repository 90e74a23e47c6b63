"""The error budget: what ships, what a clinic's file may say, and how terms add up."""

import numpy as np
import pytest

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.plan.doubt import ExecutionError, default_budget, execution_error, frame_error, read_budget

TIP = np.array([30.0, -20.0, 110.0])


def written(tmp_path, text):
    path = tmp_path / "clinic.toml"
    path.write_text(text, encoding="utf-8")
    return path


REGISTRATION = '[registration]\nkind = "systematic"\nsource = "own"\nnote = "measured"\n'


def test_every_term_that_ships_has_a_source_and_a_note():
    budget = default_budget()
    for term in (budget.registration, *budget.terms, budget.label):
        assert term.source in sources()
        assert term.note


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    text = '[breathing]\nsd = [0.2, 1.0, 0.5]\nkind = "random"\nsource = "own"\nnote = "apnoea"\n'
    given, shipped = read_budget(written(tmp_path, text)), default_budget()
    assert given.registration == shipped.registration
    changed = [term.name for term, other in zip(given.terms, shipped.terms, strict=True) if term != other]
    assert changed == ["breathing"]


def test_a_term_along_the_level_turns_with_the_level(tmp_path):
    text = '[breathing]\nsd = [0.2, 1.0, 0.5]\nkind = "random"\nsource = "own"\nnote = "apnoea"\n'
    budget = read_budget(written(tmp_path, text))
    axes = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    still = execution_error(budget.without("breathing"), TIP, axes=axes)
    added = execution_error(budget, TIP, axes=axes).covariance - still.covariance
    assert np.diag(added) == pytest.approx([1.0, 0.25, 0.04])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[breething]\nsd = 1.0\n", r"the terms of a budget are registration, .* got 'breething'"),
        ("breathing = 1.0\n", "breathing must be a table"),
        ('[tool]\nsd = -1.0\nkind = "random"\nsource = "own"\n', "sd must be a number from 0 to 20, got -1.0"),
        ('[tool]\nsd = nan\nkind = "random"\nsource = "own"\n', "sd must be a number from 0 to 20, got nan"),
        ('[tool]\nsd = [1.0, 2.0]\nkind = "random"\nsource = "own"\n', "must be three numbers"),
        ('[tool]\nsd = true\nkind = "random"\nsource = "own"\n', "must be a number"),
        ('[tool]\nkind = "random"\nsource = "own"\n', "sd must be a number from 0 to 20, got None"),
        ('[tool]\nsd = 1\nkind = "often"\nsource = "own"\n', "kind is systematic or random, got 'often'"),
        ('[tool]\nsd = 1\nkind = "random"\nsource = "nobody2020"\n', "source must be a key .* got 'nobody2020'"),
        ('[tool]\nsd = 1\nkind = "random"\nsource = "own"\n', "needs a note"),
        ('[tool]\nsd = 1\nbend = 2\n', "its fields are sd, angle, kind, source, note, got 'bend'"),
        ('[label]\nscale = 1\nkind = "random"\nsource = "own"\nnote = "n"\n', "least must be a number"),
        (REGISTRATION + 'method = "guess"\n', "method is one of rms, fiducials, frame, got 'guess'"),
        (REGISTRATION + 'method = "rms"\nrms = 50\n', "rms must be a number from 0 to 20, got 50"),
        (REGISTRATION + 'method = "rms"\nrms = 1\nfle = 1\n', "got 'fle'"),
        (REGISTRATION + 'method = "fiducials"\nfle = 1\n', "fiducials must be a list"),
        (REGISTRATION + 'method = "fiducials"\nfle = 1\nfiducials = [[0,0,0],[9,0,0]]\n', "three fiducials or more"),
        (REGISTRATION + 'method = "fiducials"\nfle = 1\nfiducials = [[0,0,0],[9,0,0],[20,0,0]]\n', "on one line"),
        (REGISTRATION + 'method = "fiducials"\nfle = 1\nfiducials = [[0,0],[9,0],[20,0]]\n', "three numbers"),
        (REGISTRATION + 'method = "frame"\nrms = 1\ngrowth = 0.02\n', "either frame = .* or distance"),
        ("[tool\n", "this is not"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_sentence_that_names_file_and_place(tmp_path, text, said):
    with pytest.raises(InvalidInput, match=said) as told:
        read_budget(written(tmp_path, text))
    assert str(told.value).startswith("clinic.toml")
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match=r"^nothing\.toml: .* No such file"):
        read_budget(tmp_path / "nothing.toml")
    path = tmp_path / "image.toml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UnreadableFile, match=r"^image\.toml: .* not UTF-8"):
        read_budget(path)


def test_two_levels_from_the_reference_frame_the_published_two_mm_are_added():
    frame = frame_error([0, 0, 0], 1.0, 2.0 / 70.0)
    assert frame.rms(np.zeros(3)) == pytest.approx(1.0)
    assert frame.rms(np.array([0, 0, 70.0])) == pytest.approx(np.hypot(1.0, 2.0))


def test_the_error_of_a_frame_grows_across_the_way_to_it_and_not_along(tmp_path):
    text = REGISTRATION + 'method = "frame"\nrms = 1.0\ndistance = 70.0\ngrowth = 0.03\n'
    budget = read_budget(written(tmp_path, text))
    axes = np.eye(3)
    registered = execution_error(budget, TIP, axes=axes).covariance
    registered = registered - execution_error(budget.without("registration"), TIP, axes=axes).covariance
    assert np.diag(registered) == pytest.approx([1 / 3 + 2.205, 1 / 3 + 2.205, 1 / 3], abs=1e-9)


def test_an_error_written_about_another_centre_is_the_same_error():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 6))
    whole = root @ root.T
    error = ExecutionError(whole[:3, :3], whole[3:, 3:] / 1e4, whole[:3, 3:] / 1e2, TIP)
    points = rng.normal(0, 50, (9, 3))
    assert error.moved(np.array([9.0, 8, 7])).at(points) == pytest.approx(error.at(points), rel=1e-9)


def test_the_rms_error_of_registration_is_shared_by_three_axes_and_grows_away_from_the_tip():
    budget = default_budget().with_registration(1.5)
    bare = execution_error(budget, TIP).covariance - execution_error(budget.without("registration"), TIP).covariance
    assert np.trace(bare) == pytest.approx(1.5**2)
    assert execution_error(budget, TIP).rms(TIP + np.array([0, 0, 80.0])) > execution_error(budget, TIP).rms(TIP) + 1


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_an_impossible_registration_error_is_refused(wrong):
    with pytest.raises(InvalidInput, match="registration error"):
        execution_error(wrong)
    with pytest.raises(InvalidInput, match="registration error"):
        default_budget().with_registration(wrong)


def test_a_covariance_with_a_negative_variance_is_refused():
    with pytest.raises(InvalidInput, match="negative variance"):
        ExecutionError(np.diag([1.0, 1.0, -0.5]))
