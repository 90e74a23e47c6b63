"""Tables of published results: what is refused, with file, row and column; what the shipped one holds."""

import pytest
from evidence_rows import BASE, counted, rows_of, written

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import examined, families, horizon, joined, outcomes, parse, question, read_table, shipped


@pytest.mark.parametrize(
    ("changes", "column", "words"),
    [
        ({"sd_miss": "0"}, "sd_miss", "above 0"),
        ({"sd_open": "-3"}, "sd_open", "above 0"),
        ({"n_miss": "0"}, "n_miss", "whole number of 1"),
        ({"n_open": "12.5"}, "n_open", "whole number"),
        ({"mean_miss": "nan"}, "mean_miss", "finite"),
        ({"sd_open": "inf"}, "sd_open", "finite"),
        ({"sd_open": "1e-300"}, "sd_open", "between 1e-09 and 1e+09"),
        ({"mean_open": "-1e308"}, "mean_open", "between 1e-09 and 1e+09"),
        ({"mean_open": "3,5"}, "mean_open", "number, got '3,5'"),
        ({"mean_miss": "", "sd_miss": "3"}, "sd_miss", "without a mean"),
        (counted(12, 10, 1, 20), "events_miss", "12 of 10"),
        (counted(-1, 10, 1, 20), "events_miss", "whole number of 0"),
        (counted(1, "", 1, 20), "events_miss", "without n"),
        ({"pct_miss": "101"}, "pct_miss", "0 to 100"),
        ({"effect": "5", "ci_low": "6", "ci_high": "9"}, "effect", "outside [6, 9]"),
        ({"effect": "5", "ci_low": "9", "ci_high": "1"}, "ci_low", "not exceed ci_high"),
        ({"unit": "OR", "effect": "-0.5"}, "effect", "ratio must be above 0"),
        ({"unit": "RR", "ci_low": "0", "ci_high": "2"}, "ci_low", "ratio must be above 0"),
        ({"source": ""}, "source", "is empty"),
        ({"ids": "", "url": ""}, "source", "no address"),
        ({"ids": "see the web"}, "ids", "doi:10"),
        ({"status": "true"}, "status", "read, measured, unverified"),
        ({"design": ""}, "design", "is empty"),
        ({"median_miss": "9", "q1_miss": "2", "q3_miss": "4"}, "median_miss", "between its quartiles 2 and 4, got 9"),
        ({"turned": "perhaps"}, "turned", "yes or no"),
        ({"finding": "good"}, "finding", "no difference"),
        ({"finding": "lower", "ci_low": "1", "ci_high": "2"}, "finding", "without an interval"),
        ({"studies": "0"}, "studies", "whole number of 1"),
        ({"x_age": "old"}, "x_age", "number"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_file_row_and_column(changes, column, words):
    extra = ("median_miss", "q1_miss", "q3_miss", "turned", "finding", "studies", "x_age")
    with pytest.raises(InvalidInput) as told:
        rows_of({}, changes, extra=extra, name="clinic.csv")
    assert str(told.value).startswith(f"clinic.csv, row 3, column {column}: ")
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_every_row_that_cannot_be_is_named_once():
    good, wrong = examined(written({}, {"sd_miss": "0"}, {"n_open": "-1"}, {}), "t.csv")
    assert len(good) == 2
    assert [sentence.split(":")[0] for sentence in wrong] == [
        "t.csv, row 3, column sd_miss",
        "t.csv, row 4, column n_open",
    ]
    with pytest.raises(InvalidInput, match="1 more: keyhole evidence check t.csv"):
        parse(written({"sd_miss": "0"}, {"n_open": "-1"}), "t.csv")


def test_own_results_need_no_address():
    assert rows_of({"status": "measured", "ids": "", "source": "Our registry 2026"})[0].status == "measured"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("procedure,outcome\n", "columns comparator"),
        (written({}).replace("mean_miss", "average_miss", 1), "columns mean_miss"),
        (written({}, extra=("colour",)), "'colour' is not known"),
        (written({}, extra=("cohort",)).replace("cohort", "source", 1), "source is there twice"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(text, words):
    with pytest.raises((InvalidInput, UnreadableFile), match=words):
        parse(text, "t.csv")


def test_a_row_with_a_cell_too_many_is_refused():
    with pytest.raises(InvalidInput, match="row 2, column note: 24 cells expected, got 25"):
        parse(written({}).rstrip("\n") + ",more\n", "t.csv")


def test_files_that_are_no_tables_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\x00p\x00r")
    with pytest.raises(UnreadableFile, match="UTF-8"):
        read_table(path)
    path.write_text('procedure,"comparator\n')
    with pytest.raises(UnreadableFile, match="not a CSV"):
        read_table(path)


def test_a_table_of_a_spreadsheet_with_semicolons_and_a_mark_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(written({}, {}, delimiter=";"), encoding="utf-8-sig")
    assert len(read_table(path)) == 2


def test_the_same_result_twice_is_refused_also_across_tables():
    with pytest.raises(InvalidInput, match=r"row 3, column cohort: .* as t.csv, row 2"):
        rows_of({"source": "S", "ids": "doi:10.1/x"}, {"source": "S again", "ids": "doi:10.1/x", "mean_miss": "9"})
    one, two = rows_of({}, name="a.csv"), rows_of({}, name="b.csv")
    with pytest.raises(InvalidInput, match=r"b.csv, row 2, .* as a.csv, row 2"):
        joined(one, two)
    assert len(rows_of({"cohort": "x"}, {"cohort": "y"}, extra=("cohort",))) == 2


def test_a_sign_that_the_unit_leaves_open_is_not_taken_for_known():
    unit = {"unit": "0-100 (positive=MISS better)", "effect": "3", "ci_low": "1", "ci_high": "5"}
    assert rows_of(unit)[0].turned is None
    assert rows_of(unit | {"turned": "yes"}, extra=("turned",))[0].turned is True
    assert rows_of({})[0].turned is False


@pytest.mark.parametrize(
    ("words", "when"),
    [
        ("baseline", "baseline"),
        ("perioperative", "perioperative"),
        ("1 week", "early"),
        ("week 4", "early"),
        ("3 mo", "early"),
        ("6 months", "middle"),
        ("12 mo", "late"),
        ("last follow-up (mean 36-38 mo)", "late"),
        ("2w-2y", "late"),
        ("pooled", "not said"),
        ("", "not said"),
    ],
)
def test_time_points_fall_into_horizons(words, when):
    assert horizon(words) == when


def test_units_and_signs_come_to_those_of_the_outcome():
    hours, improvement, odd = rows_of(
        {"outcome": "length of stay", "unit": "hours"},
        {"outcome": "ODI improvement", "unit": "ODI points", "timepoint": "12 mo"},
        {"outcome": "length of stay", "unit": "fortnights"},
    )
    assert question(hours).factor == pytest.approx(1 / 24)
    assert question(improvement).factor == -1
    assert question(improvement).key == ("fusion", "odi", "late")
    assert question(odd).factor != question(odd).factor


def test_words_that_no_catalogue_knows_are_a_question_of_their_own():
    row = rows_of({"procedure": "Laser", "comparator": "Knife", "outcome": "Smiles", "unit": "per day"})[0]
    assert question(row).key == ("Laser against Knife", "smiles, per day", "perioperative")


def test_the_shipped_table_is_sound_and_every_row_has_source_address_and_status():
    rows = shipped()
    assert len(rows) > 239
    assert all(row.source and row.address and row.status in {"read", "unverified"} for row in rows)
    assert sum(row.status == "unverified" for row in rows) == 4


def test_the_shipped_registry_and_trial_papers_of_the_same_patients_are_one_cohort():
    patients = {row.name: row.patients for row in shipped()}
    assert patients["Chan 2020 (QOD)"] == patients["Chan 2023 (QOD)"]
    assert patients["Arts 2009"] == patients["Arts 2011"]
    assert patients["Gibson 2017"] != patients["Gadjradj 2022"]


def test_every_outcome_and_comparison_of_the_catalogues_is_whole():
    for key, outcome in outcomes().items():
        assert outcome.better in {"lower", "higher"}, key
        assert (outcome.matters is None) == (not outcome.matters_source), key
        assert outcome.names, key
    assert {question(row).family for row in shipped()} >= set(families())
    assert BASE["procedure"] == "MIS-TLIF"
