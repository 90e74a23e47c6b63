"""The report of a comparison: one offline page, plan before result, nothing claimed beyond an association."""

import json
import re

import pytest

from keyhole.comparison.compare import estimate
from keyhole.comparison.model import Settings
from keyhole.comparison.simulate import Settings as Registry
from keyhole.comparison.simulate import simulate
from keyhole.comparison.table import Table
from keyhole.report.comparison import write_comparison
from keyhole.report.comparison.page import strobe
from keyhole.report.comparison.words import named, plainly


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    table = simulate(Registry(400, 2, missing="none", surgeons=8)).table
    found = estimate(table, "odi_12m", "miss", settings=Settings(imputations=1))
    page = write_comparison(table, found, out)
    return page.read_text(), json.loads((out / "further.json").read_text()), found


@pytest.mark.slow
def test_the_plan_comes_before_the_result_and_every_part_is_there(written):
    page, _, _ = written
    places = [page.index(f'<section id="{name}"') for name in ("plan", "result", "patients", "overlap", "missing")]
    places += [page.index(f'<section id="{name}"') for name in ("subgroups", "centres", "reoperation", "recovery")]
    places += [page.index(f'<section id="{name}"') for name in ("surgeons", "funnels", "limits", "strobe")]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_page_is_offline_says_research_use_and_that_it_is_synthetic(written):
    page, further, _ = written
    assert "Research use only" in page
    assert "Research use only" in further["notice"]
    assert "Synthetic: no patient, surgeon or centre of this table exists." in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert "<script" not in page
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).lower().replace("finan", "")


@pytest.mark.slow
def test_no_word_claims_more_than_an_association(written):
    page, _, _ = written
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S).lower()
    for word in ("proves", "proven", "superior", "significant", "caused by", "effective than", "safer"):
        assert word not in text, word
    assert "this is an association" in text or "no clear difference" in text
    assert "not drawn by lot" in text


@pytest.mark.slow
def test_surgeons_are_numbered_not_named(written):
    page, further, _ = written
    assert "SIM-S" not in page
    assert "SIM-S" not in json.dumps(further)
    assert "Surgeon 1" in page


@pytest.mark.slow
def test_the_checklist_has_all_items_and_each_is_answered_or_asked_of_the_clinic(written):
    page, _, _ = written
    items = strobe()
    assert [item["number"] for item in items] == [str(n) for n in range(1, 23)]
    for item in items:
        assert item["where"] or item["clinic"]
        for place in item["where"]:
            assert f'id="{place}"' in page, place


def test_what_the_table_cannot_give_is_named_with_its_reason(tmp_path):
    whole = simulate(Registry(300, 2, missing="none")).table
    lean = Table({name: whole[name] for name in ("miss", "age", "asa", "odi_0", "odi_12m")}, "lean.csv")
    found = estimate(lean, "odi_12m", "miss", settings=Settings(imputations=1))
    page = write_comparison(lean, found, tmp_path).read_text()
    assert "Parts that this table could not give" in page
    assert "there is no column &#39;reoperated&#39;" in page
    assert '<section id="reoperation"' not in page
    assert "Synthetic" not in page
    assert page.index('id="plan"') < page.index('id="result"')
    assert "Research use only" in page


def test_columns_have_names_for_readers():
    assert named("odi_12m") == "ODI at 12 months"
    assert named("odi_0") == "ODI before the operation"
    assert named("sex=M") == "sex: M"
    assert plainly("odi_12m was -5 lower, my_odi_12m not", "odi_12m") == "ODI at 12 months was −5 lower, my_odi_12m not"


@pytest.mark.slow
def test_the_same_table_gives_the_same_page(tmp_path, written):
    _, _, found = written
    table = simulate(Registry(400, 2, missing="none", surgeons=8)).table
    again = write_comparison(table, found, tmp_path)
    assert again.read_text() == written[0]


@pytest.mark.slow
def test_a_text_in_the_table_cannot_become_markup(tmp_path):
    whole = simulate(Registry(200, 2, missing="none", surgeons=8)).table
    columns = dict(whole.columns)
    columns["centre"] = columns["centre"].copy()
    columns["centre"][columns["centre"] == columns["centre"][0]] = "<script>alert(1)</script>"
    hostile = Table(columns, "<b>x</b>.csv")
    found = estimate(hostile, "odi_12m", "miss", settings=Settings(imputations=1))
    page = write_comparison(hostile, found, tmp_path).read_text()
    assert "<script>" not in page
    assert "<b>x</b>" not in page
