"""The registry on one page: every number counted by hand, the missing never left out."""

import json
import re
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest
from click.testing import CliRunner
from dashboard_registry import LONG_AGO, TODAY, answer, drawn, episode, fill, told

from keyhole.cli.main import main
from keyhole.comparison.table import Table
from keyhole.errors import InvalidInput
from keyhole.recovery.instruments import change
from keyhole.registry.database import open_registry
from keyhole.registry.due import due
from keyhole.report.dashboard import dashboard_page, from_registry, from_table, summary, to_json
from keyhole.report.dashboard.counts import share


def _read(url, today=TODAY):
    with open_registry(url) as registry:
        return from_registry(registry, today)


@pytest.fixture
def page(registry_url):
    told(registry_url)
    return summary(_read(registry_url), TODAY)


def _visit(found, key):
    return next(v for v in found.visits if v.visit == key)


def test_answers_are_counted_of_those_whose_window_has_closed_and_the_missing_are_shown(page):
    year = _visit(page, "12m")
    assert (year.asked, year.answered, year.missing, year.whole) == (4, 3, 1, 0)
    assert (year.early, year.waiting, year.died) == (1, 0, 1)
    assert year.share == 0.75
    assert dict(year.groups)["odi"] == 3
    assert dict(year.groups)["nrs-leg"] == 1
    first = _visit(page, "baseline")
    assert (first.asked, first.answered, first.missing, first.waiting) == (6, 4, 2, 1)
    soon = _visit(page, "6w")
    assert (soon.asked, soon.missing, soon.waiting) == (5, 5, 1)
    for visit in page.visits:
        together = visit.asked + visit.open_answered + visit.waiting + visit.early + visit.died
        assert together == (7 if visit.visit == "baseline" else 6)


def test_low_follow_up_is_warned_of_with_the_number_missing(page):
    assert page.warnings
    assert "12 months: 3 of 4 answered (75.0%), 1 missing" in page.warnings[0]
    assert "may not hold for the others" in page.warnings[0]


def test_scores_are_those_of_the_latest_answer_that_still_stands(page):
    odi = page.outcomes[0]
    assert odi.key == "odi"
    (_, small), (_, opened) = odi.arms
    year = next(p for p in small if p.visit == "12m")
    assert (year.operated, year.n, year.mean, year.median) == (3, 2, 22.0, 22.0)
    assert year.quartiles == (21.0, 23.0)
    assert year.interval == pytest.approx((22 - 12.7062047 * 2, 22 + 12.7062047 * 2), abs=1e-4)
    assert next(p for p in opened if p.visit == "12m").n == 0
    assert next(p for p in opened if p.visit == "baseline").mean == 52.0
    assert (odi.absent.missing, odi.absent.missing_mean) == (2, 52.0)
    assert (odi.absent.answered, odi.absent.answered_mean) == (2, 45.0)


def test_an_episode_counts_once_however_much_went_wrong(page):
    lines = {line.key: line for line in page.complications}
    assert (lines["any"].all.count, lines["any"].all.of) == (2, 6)
    assert (lines["any"].miss.count, lines["any"].open.count) == (0, 2)
    assert lines["dvt"].all.count == 1
    assert lines["dural-tear"].title == "tear of the dura"
    back = {line.key: line.all.count for line in page.readmissions}
    assert back == {"any": 2, "early": 1, "pain": 2}
    assert page.reoperations[0].miss.count == 1


def test_what_was_done_is_counted_by_year_and_what_is_planned_apart(page):
    assert (page.episodes, page.operated) == (7, 6)
    assert page.years == ("2022", "2023", "2024", "2025", "2026")
    done = {a.key: (a.total, a.years) for a in page.approaches}
    assert done["tubular-paramedian"] == (3, (2, 0, 0, 0, 1))
    assert done["open-microdiscectomy"] == (3, (3, 0, 0, 0, 0))
    assert (page.small.count, page.small.of) == (3, 6)


def test_centres_are_listed_and_one_can_be_taken_alone(registry_url):
    told(registry_url)
    data = _read(registry_url)
    listed = {unit.name: unit for unit in summary(data, TODAY).centres}
    assert list(listed) == ["North", "South", "not recorded"]
    assert (listed["North"].operations, listed["North"].complete.count, listed["North"].complete.of) == (4, 2, 3)
    assert summary(data, TODAY).surgeons == ()
    south = summary(data, TODAY, centre="South", by_surgeon=True)
    assert (south.episodes, south.operated, south.readmissions[0].all.count) == (1, 1, 1)
    assert [unit.name for unit in south.surgeons] == ["S2"]
    assert south.complications[0].all.count == 0
    with pytest.raises(InvalidInput, match="no centre is called 'West'; there are North, South"):
        summary(data, TODAY, centre="West")


def test_whom_to_ask_is_what_the_registrys_own_list_says(registry_url):
    drawn(registry_url)
    with open_registry(registry_url) as registry:
        data = from_registry(registry, TODAY)
        with registry.reading() as session:
            listed = due(session, TODAY)
    found = summary(data, TODAY)
    wanted = Counter((one.visit, one.status, one.is_open) for one in listed)
    for one in found.ask:
        assert one.due == wanted[(one.visit, "due", True)]
        assert one.overdue == wanted[(one.visit, "overdue", True)]
        assert one.too_late == wanted[(one.visit, "overdue", False)]
    assert sum(wanted.values()) == sum(one.due + one.overdue + one.too_late for one in found.ask)
    first = [(one.episode, one.days, one.missing) for one in listed if one.is_open and one.status == "overdue"]
    assert [(one.episode, one.days, one.missing) for one in found.persons] == first[: len(found.persons)]


def test_after_a_death_nobody_is_asked_and_nobody_called_missing(registry_url):
    fill(
        registry_url,
        [episode(1, LONG_AGO), episode(2, LONG_AGO + timedelta(400), patient=1)],
        complications=[{"episode_id": 2, "code": "death", "date": LONG_AGO + timedelta(450)}],
    )
    found = summary(_read(registry_url), TODAY)
    assert (_visit(found, "12m").asked, _visit(found, "12m").died) == (1, 1)
    assert (_visit(found, "24m").asked, _visit(found, "24m").died) == (0, 2)
    assert sum(one.due + one.overdue + one.too_late for one in found.ask) == 0


def test_both_kinds_of_operation_in_one_episode_are_said_and_in_neither_line(registry_url):
    rows = episode(1, LONG_AGO)
    second = (rows[0] | {"id": 2, "pseudonym": "P2"}, rows[1] | {"id": 2, "code": "E2", "patient_id": 2}, rows[2])
    other = rows[2] | {"approach": "open-microdiscectomy", "is_miss": False}
    fill(registry_url, [rows, (*second[:2], other)])
    found = summary(_read(registry_url), TODAY)
    assert (found.both, found.unknown_arm, found.small.of) == (1, 1, 0)
    assert b"1 had both" in dashboard_page(found)
    assert b"1 do not say" in dashboard_page(found)


def test_an_operation_after_the_day_of_the_page_has_not_been_yet(registry_url):
    told(registry_url)
    found = summary(_read(registry_url, date(2026, 4, 1)), date(2026, 4, 1))
    assert (found.operated, found.episodes) == (5, 7)
    assert any("1 operations lie after" in said for said in found.caveats)


def test_what_is_dated_after_the_day_of_the_page_is_not_counted(registry_url):
    told(registry_url)
    day = LONG_AGO + timedelta(366)
    found = summary(_read(registry_url, day), day)
    assert _visit(found, "12m").open_answered == 3
    assert next(p for p in found.outcomes[0].arms[0][1] if p.visit == "12m").mean == 27.0  # the later answer is not yet
    assert found.reoperations[0].all.count == 1
    early = summary(_read(registry_url, LONG_AGO), LONG_AGO)
    assert (early.reoperations[0].all.count, early.complications[0].all.count) == (0, 1)


def test_an_empty_registry_has_a_page_that_says_so(registry_url):
    found = summary(_read(registry_url), TODAY)
    assert found.warnings == ("No operation is recorded, so there is nothing to show yet.",)
    assert b"No scores are recorded" in dashboard_page(found)
    json.dumps(to_json(found), allow_nan=False)


def test_the_page_needs_nothing_else_and_says_what_it_is_for(page):
    html = dashboard_page(page).decode()
    assert html == dashboard_page(page).decode()
    assert html.count("Research use only. Not a medical device. Not for clinical decisions.") == 2
    assert "<script" not in html
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html
    assert "Not a comparison" in html
    assert not re.search(r">[^<]*\b(nan|NaT|None|inf)\b", html)
    assert "1 missing, 0 still open" in html


def _table(**more):
    columns = {
        "surgery_date": ["2022-03-01", "2022-03-01", "", "2026-04-20"],
        "miss": [1, 0, 1, float("nan")],
        "odi_0": [50, 60, 40, 44],
        "odi_12m": [20, float("nan"), float("nan"), float("nan")],
        "leg_12m": [2, float("nan"), float("nan"), float("nan")],
        "complication": [0, 1, float("nan"), 0],
    }
    return Table({key: np.array(value) for key, value in (columns | more).items()}, "t.csv")


def test_a_table_is_shown_as_far_as_it_goes(tmp_path):
    found = summary(from_table(_table()), TODAY)
    year = _visit(found, "12m")
    assert (year.asked, year.answered, year.whole, year.missing, year.early) == (2, 1, 1, 1, 1)
    assert _visit(found, "baseline").groups == (("odi", 3), ("leg", None))
    assert found.complications[0].all.count == 1
    assert not found.has_approaches
    assert any("empty in 1 rows: whether it happened there is not known" in said for said in found.caveats)
    assert any("no column reoperated" in said for said in found.caveats)
    assert (found.unknown_arm, found.episodes, found.operated) == (1, 4, 3)
    assert sum(one.too_late for one in found.ask if one.visit == "6w") == 0


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("surgery_date", ["2022-03-01", "1 March", "", ""], "row 2: surgery_date is a day YYYY-MM-DD, got '1 March'"),
        ("surgery_date", ["2022-03-01", "2022-13-01", "", ""], "surgery_date"),
    ],
)
def test_a_table_whose_days_cannot_be_read_is_refused(column, values, said):
    with pytest.raises(InvalidInput, match=said):
        from_table(_table(**{column: values}))


def test_a_table_without_days_or_scores_is_refused():
    table = _table()
    for left in ("surgery_date", "odi"):
        kept = {k: v for k, v in table.columns.items() if not k.startswith((left, "leg"))}
        with pytest.raises(InvalidInput, match="needs the column surgery_date and scores"):
            from_table(Table(kept, "t.csv"))


def test_an_interval_of_a_share_is_wilsons():
    assert share(10, 100).interval == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert share(0, 0).interval is None
    assert share(0, 0).value is None


def test_the_command_writes_page_and_json_alike_every_time(registry_url, tmp_path):
    told(registry_url)
    runs = []
    for name in ("a", "b"):
        done = CliRunner().invoke(
            main,
            ["registry", "dashboard", registry_url, "--out", str(tmp_path / name), "--today", "2026-06-01"],
        )
        assert done.exit_code == 0, done.output
        assert "75.0%" in done.output
        runs.append([(tmp_path / name / f).read_bytes() for f in ("index.html", "dashboard.json")])
    assert runs[0] == runs[1]
    plain = json.loads(runs[0][1])
    assert plain["small"] == {"count": 3, "of": 6, "interval": plain["small"]["interval"], "value": 0.5}
    assert plain["visits"][4]["share"] == 0.75


@pytest.mark.parametrize(
    ("words", "said"), [(["none.db", "--out", "x"], "is not a registry"), (["none.db"], "name a folder for the page")]
)
def test_the_command_refuses_in_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["registry", "dashboard", *words])
    assert done.exit_code == 1
    assert said in done.output
    assert not list(tmp_path.iterdir())


def test_a_score_that_is_no_quantity_is_not_averaged(registry_url):
    fill(registry_url, [episode(1, LONG_AGO)], [answer(1, "baseline", 11213, LONG_AGO, key="eq5d-5l")])
    assert summary(_read(registry_url), TODAY).outcomes == ()


@pytest.mark.parametrize(("key", "low", "high"), [("odi", 0, 100), ("nrs-leg", 0, 10), ("eq5d-index", -0.5, 1)])
def test_thresholds_are_reached_by_those_whose_single_change_reaches_them(key, low, high):
    lot = np.random.default_rng(3)
    first, last = (np.round(lot.uniform(low, high, 60), 1) for _ in range(2))
    last[:10] = np.nan
    table = Table(
        {"surgery_date": ["2022-03-01"] * 60, "miss": np.arange(60) % 2, f"{key}_0": first, f"{key}_12m": last}
    )
    found = summary(from_table(table), TODAY).outcomes[0]
    assert found.reached
    pairs = [n for n in range(60) if np.isfinite(last[n])]
    single = {n: dict(change(key, first[n], last[n]).reached) for n in pairs}
    for line in found.reached:
        for arm, counted in ((1, line.small), (0, line.open)):
            said = [
                yes
                for n in pairs
                if n % 2 == arm
                for t, yes in single[n].items()
                if (t.at, t.per) == (line.at, line.per) and t.kind == line.kind and t.value == line.value
            ]
            assert (counted.count, counted.of) == (sum(said), len(said))


def test_a_column_with_words_among_its_numbers_is_left_out_and_said():
    found = summary(from_table(_table(odi_12m=["20", "soon", "", ""])), TODAY)
    assert "odi_12m holds words among its numbers and was left out" in found.caveats
    assert ("odi", None) in _visit(found, "12m").groups


def test_the_mean_of_a_centre_is_of_the_outcome_named_above_it():
    columns = {"surgery_date": ["2022-03-01"], "centre": ["A"], "back_12m": [7.0], "leg_12m": [2.0]}
    found = summary(from_table(Table({key: np.array(value) for key, value in columns.items()})), TODAY)
    assert (found.outcomes[0].key, found.centres[0].score) == ("leg", 2.0)
