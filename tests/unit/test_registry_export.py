"""Tables out of the registry: the analysis table's rules, the dictionary, the same bytes there and back."""

import csv
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import update

from keyhole.casefile.store import RESEARCH_USE
from keyhole.comparison.simulate import Settings, simulate, write_simulated
from keyhole.comparison.table import read_table, texts
from keyhole.errors import InvalidInput
from keyhole.registry.database import create, open_registry
from keyhole.registry.models import Response
from keyhole.registry.tables import (
    Asked,
    analysis_plan,
    analysis_table,
    export,
    fields,
    import_file,
    import_files,
    own_tables,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABORT = Asked("clerk", AT)
TABLES = {
    "patients": ("pseudonym,sex,birth_year", "P1,F,1970", "P2,M,"),
    "episodes": (
        "code,patient,surgery_date,age,smoker",
        "E2,P2,2024-01-10,50,1",
        "E1,P1,2024-01-10,53.5,0",
        "E3,P1,,,",
    ),
    "procedures": (
        "episode,operation,approach,is_miss,levels,minutes",
        "E1,discectomy,tubular-paramedian,1,L4/L5,62.5",
        "E1,decompression,open-midline,0,L4/L5;L5/S1,30",
        "E2,fusion,,0,,",
    ),
    "responses": (
        "episode,instrument,visit,date,value",
        "E1,odi,baseline,2023-12-01,50",
        "E1,odi,baseline,2024-01-09,44",
        "E1,odi,12m,2025-01-19,30",
        "E1,odi,12m,2025-01-05,24",
        "E1,odi,3m,2024-04-10,20",
        "E1,eq-vas,24m,2026-01-01,70",
    ),
    "complications": ("episode,code,date,note", 'E1,dural-tear,2024-01-10,"small, ""sutured"""'),
    "reoperations": ("episode,date,reason,level", "E1,2024-06-10,recurrence,L4/L5"),
    "measures": ("episode,name,level,value,unit,date", "E1,slip,L4/L5,3.25,mm,2023-12-01"),
}


@pytest.fixture
def registry(registry_url):
    with open_registry(registry_url) as opened:
        yield opened


@pytest.fixture
def filled(registry, tmp_path):
    (tmp_path / "in").mkdir()
    for name, lines in TABLES.items():
        (tmp_path / "in" / f"{name}.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    found = import_files(registry, own_tables(tmp_path / "in"), ABORT)
    assert all(one.kept for one in found), [one.problems for one in found]
    return registry


def _row(table, episode):
    at = list(table["episode"]).index(episode)
    return {name: values[at] for name, values in table.columns.items()}


def test_the_analysis_table_has_a_row_for_each_episode_that_was_operated_on(filled):
    table = analysis_table(filled)
    assert list(table.columns) == [column.name for column in analysis_plan().columns]
    assert list(table["episode"]) == ["E1", "E2"]
    row = _row(table, "E1")
    assert (row["patient"], row["sex"], row["age"], row["smoker"]) == ("P1", "F", 53.5, 0)
    assert (row["operation"], row["miss"], row["minutes"], row["levels"]) == ("discectomy", 1, 62.5, 2)


def test_of_several_answers_the_one_nearest_to_the_visits_day_counts(filled):
    row = _row(analysis_table(filled), "E1")
    assert (row["odi_0"], row["odi_12m"], row["odi_3m"]) == (44, 24, 20)
    assert np.isnan(row["odi_24m"])


def test_an_event_is_none_only_where_the_patient_was_seen_after_the_operation(filled):
    seen, unseen = _row(analysis_table(filled), "E1"), _row(analysis_table(filled), "E2")
    assert (seen["complication"], seen["readmitted"], seen["reoperated"], seen["reoperation_days"]) == (1, 0, 1, 152)
    assert seen["followup_days"] == 722
    assert all(np.isnan(unseen[name]) for name in ("complication", "readmitted", "reoperated", "followup_days"))


def test_recovery_is_the_first_acceptable_odi_of_those_who_were_not_before(filled):
    row = _row(analysis_table(filled), "E1")
    assert (row["recovered"], row["recovery_days"]) == (1, 91)
    assert np.isnan(_row(analysis_table(filled), "E2")["recovered"])


def test_what_was_taken_back_is_in_no_table(filled, tmp_path):
    with filled.writing() as session:
        session.execute(update(Response).where(Response.value == 24).values(voided_at=AT))
    assert _row(analysis_table(filled), "E1")["odi_12m"] == 30
    export(filled, tmp_path / "out", what="tables")
    assert ",24," not in (tmp_path / "out" / "responses.csv").read_text(encoding="utf-8")


def test_tables_go_out_and_in_and_out_as_the_same_bytes(filled, tmp_path):
    first = export(filled, tmp_path / "first", what="tables")
    assert first.rows["responses"] == 6
    with create(tmp_path / "other.db") as other:
        import_files(other, own_tables(tmp_path / "first"), ABORT)
        second = export(other, tmp_path / "second", what="tables")
        assert [path.name for path in first.files] == [path.name for path in second.files]
        for one, two in zip(first.files, second.files, strict=True):
            assert one.read_bytes() == two.read_bytes(), one.name
        assert analysis_table(other)["odi_12m"].tolist() == pytest.approx(
            analysis_table(filled)["odi_12m"].tolist(), nan_ok=True
        )


def test_a_simulated_registry_comes_out_as_the_bytes_that_went_in(registry, tmp_path):
    table, _ = write_simulated(simulate(Settings(patients=300, seed=5)), tmp_path / "simulated")
    assert import_file(registry, table, ABORT).skipped == 0
    export(registry, tmp_path / "out")
    assert (tmp_path / "out" / "analysis.csv").read_bytes() == table.read_bytes()


def test_every_column_is_in_the_dictionary_and_every_file_in_about(filled, tmp_path):
    for what in ("analysis", "tables"):
        found = export(filled, tmp_path / what, what=what)
        about = json.loads((tmp_path / what / "about.json").read_text(encoding="utf-8"))
        assert about["research_use"] == RESEARCH_USE
        assert set(about["files"]) == {path.name for path in found.files} - {"about.json"}
        rows = list(csv.DictReader((tmp_path / what / "dictionary.csv").read_text(encoding="utf-8").splitlines()))
        told = {(row["file"], row["name"]) for row in rows if row["type"] and row["meaning"] and row["source"]}
        for name in found.rows:
            header = (tmp_path / what / f"{name}.csv").read_text(encoding="utf-8").split("\n", 1)[0].split(",")
            assert {(name, column) for column in header} <= told


@pytest.mark.slow  # pyarrow loads for seconds
def test_parquet_holds_the_same_as_csv(filled, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for form in ("csv", "parquet"):
        export(filled, tmp_path / form, form=form)
        export(filled, tmp_path / f"{form}-tables", what="tables", form=form)
    one, two = (read_table(tmp_path / form / f"analysis.{form}") for form in ("csv", "parquet"))
    for name in one.columns:
        assert texts(one, name).tolist() == texts(two, name).tolist(), name
    answers = parquet.read_table(tmp_path / "parquet-tables" / "responses.parquet")
    assert answers.schema.metadata[b"research_use"].decode() == RESEARCH_USE
    assert sorted(answers.column("value").to_pylist()) == [20, 24, 30, 44, 50, 70]
    assert str(answers.schema.field("date").type) == "date32[day]"


def test_an_empty_registry_gives_empty_tables(registry, tmp_path):
    assert len(analysis_table(registry)) == 0
    assert export(registry, tmp_path / "out", what="tables").rows["patients"] == 0


def test_an_export_as_what_is_not_known_is_refused(registry, tmp_path):
    with pytest.raises(InvalidInput, match="analysis or tables as csv or parquet, got all as csv"):
        export(registry, tmp_path, what="all")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidInput, match="is a file; expected a folder"):
        export(registry, tmp_path / "file")


def test_every_field_says_what_a_cell_may_be():
    for full, field in fields().items():
        assert field.expected, full
        assert field.meaning, full
