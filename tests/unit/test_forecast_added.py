"""Results that a clinic adds reach the forecast: checked, pooled, named, and never stronger than the rules."""

import csv
import hashlib
import shlex

import pytest
from click.testing import CliRunner
from expected_case import case_record
from own_patients import cohort
from report_case import case, plan

from keyhole.casefile import CaseRecord, ForecastRecord
from keyhole.cli.main import main
from keyhole.errors import InvalidInput
from keyhole.evidence import COLUMNS, read_added
from keyhole.forecast import forecast, forecast_case
from keyhole.forecast.added import NONE_USED, NOT_POOLED, TWICE
from keyhole.report.outlook import outlook
from keyhole.report.patient import aid
from keyhole.report.sentences import sentences

STAY = {
    "procedure": "tubular discectomy", "comparator": "microdiscectomy", "outcome": "length of stay", "unit": "days",
    "timepoint": "perioperative", "n_miss": 40, "mean_miss": 0.9, "sd_miss": 0.6, "n_open": 52, "mean_open": 2.1,
    "sd_open": 1.1, "source": "Our clinic", "status": "measured", "design": "retrospective cohort",
}  # fmt: skip
RAYS = STAY | {
    "outcome": "radiation exposure time", "unit": "s", "mean_miss": 31, "sd_miss": 12, "mean_open": 6, "sd_open": 3,
}  # fmt: skip
OTHER = STAY | {"procedure": "MIS-TLIF", "comparator": "open TLIF", "source": "Our fusions"}


def written(path, *rows):
    with path.open("w", newline="") as stream:
        lines = csv.DictWriter(stream, COLUMNS)
        lines.writeheader()
        lines.writerows(rows)
    return path


def made(tmp_path, *rows, **more):
    added = read_added([written(tmp_path / "clinic.csv", *rows)]) if rows else ()
    return forecast(plan({}), {}, operation="discectomy", added=added, **more)


def outcome(record, key):
    return next(one for one in record.outcomes if one.key == key)


def test_an_added_row_enters_the_pool_and_is_named(tmp_path):
    before, after = outcome(made(tmp_path), "stay"), outcome(made(tmp_path, STAY), "stay")
    assert (before.answers[0].pool.k, after.answers[0].pool.k) == (2, 3)
    assert "Our clinic" in {study.name for study in after.answers[0].pool.studies}
    assert "the clinic added results of this outcome: clinic.csv, row 2" in after.caveats
    entry = made(tmp_path, STAY, OTHER).added[0]
    assert (entry.file, entry.rows, entry.used, entry.outcomes) == ("clinic.csv", 2, 1, ("stay",))
    assert entry.sha256 == hashlib.sha256((tmp_path / "clinic.csv").read_bytes()).hexdigest()


def test_a_row_that_the_clinic_measured_is_the_baseline(tmp_path):
    found = outcome(made(tmp_path, STAY), "stay")
    assert found.open.value == 2.1
    assert "measured here" in found.baseline
    read = outcome(made(tmp_path, STAY | {"status": "read", "url": "https://clinic.example/a"}), "stay")
    assert "measured here" not in read.baseline


def test_two_studies_that_agree_on_a_harm_point_to_it_and_are_no_difference_called(tmp_path):
    found = outcome(made(tmp_path, RAYS), "radiation")
    pool = found.answers[0].pool
    assert pool.k == 2
    assert pool.interval[0] > 0
    assert pool.hartung_knapp[0] < 0  # one degree of freedom holds everything
    assert (found.word, found.points_to) == ("unknown", "worse")


def test_rows_of_another_operation_change_nothing_and_it_is_said(tmp_path):
    record = made(tmp_path, OTHER)
    assert record.outcomes == made(tmp_path).outcomes
    assert record.added[0].caveats == (NONE_USED,)


def test_unverified_rows_are_named_and_never_used(tmp_path):
    record = made(tmp_path, STAY | {"status": "unverified", "url": "https://clinic.example/a"})
    before, after = outcome(made(tmp_path), "stay"), outcome(record, "stay")
    assert record.added[0].caveats == (NOT_POOLED,)
    assert after.planned == before.planned
    assert after.answers[0].pool == before.answers[0].pool


def test_own_patients_beside_results_measured_here_are_warned_of(tmp_path):
    assert TWICE in made(tmp_path, STAY, cohort=cohort(40)).caveats
    assert TWICE not in made(tmp_path, OTHER, cohort=cohort(40)).caveats
    assert TWICE not in made(tmp_path, STAY).caveats


def test_an_impossible_row_is_one_sentence_and_leaves_the_forecast_as_it_was(tmp_path):
    own = case(tmp_path / "case")[0]
    forecast_case(own)
    before = (own.path / "forecast.json").read_bytes()
    bad = written(tmp_path / "bad.csv", STAY | {"sd_miss": -1})
    done = CliRunner().invoke(main, ["forecast", str(own.path), "--add", str(bad)])
    assert done.exit_code == 1
    assert done.output == "Error: bad.csv, row 2, column sd_miss: must be above 0, got -1\n"
    assert (own.path / "forecast.json").read_bytes() == before


@pytest.mark.parametrize(("name", "twice"), [("studies.csv", 1), ("own.csv", 2)])
def test_two_tables_of_one_name_are_refused(tmp_path, name, twice):
    path = written(tmp_path / name, STAY)
    with pytest.raises(InvalidInput, match=f"two tables of results are called {name}"):
        read_added([path] * twice)


def test_a_table_with_the_name_of_a_file_of_the_case_is_refused(tmp_path):
    own = case(tmp_path / "case")[0]
    with pytest.raises(InvalidInput, match=r"two inputs of the forecast are called plan\.json"):
        forecast_case(own, added=read_added([written(tmp_path / "plan.json", STAY)]))


def test_the_command_on_the_surgeons_page_gives_the_same_bytes(tmp_path, monkeypatch):
    own = case(tmp_path / "case")[0]
    monkeypatch.chdir(tmp_path)
    table = written(tmp_path / "clinic.csv", STAY)
    forecast_case(own, added=read_added([table]), patient={"diabetes": True, "operating_hours": 2.5})
    before = (own.path / "forecast.json").read_bytes()
    said = outlook(own.read(CaseRecord), own.read(ForecastRecord), is_confirmed=True)
    first = shlex.split(said.commands[0])
    assert first[:3] == ["keyhole", "forecast", "CASE"]
    assert "--operation" not in first  # it was not asked for: the file says why the plan means it
    (own.path / "forecast.json").unlink()
    done = CliRunner().invoke(main, ["forecast", str(own.path), *first[3:]])
    assert done.exit_code == 0, done.output
    assert (own.path / "forecast.json").read_bytes() == before
    assert "keyhole evidence check clinic.csv" in said.commands


def test_both_pages_name_what_was_added(tmp_path):
    record = made(tmp_path, STAY, OTHER)
    lines = {line.term: line.said.text for line in outlook(case_record(), record, is_confirmed=True).lines}
    assert lines["Added results"] == "clinic.csv: 1 of 2 rows are of this operation (length of stay)"
    page = aid(case_record(), record, (), sentences(), is_confirmed=True)
    assert any("clinic.csv" in said and "Of its 2 rows, 1 " in said for said in page.sources)
