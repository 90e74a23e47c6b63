"""The forecast of a plan, from published results and own patients."""

import json

import numpy as np
import pytest
from own_patients import cohort, table
from report_case import Pose, case, plan

from keyhole.casefile import CaseRecord, FindingsRecord, ForecastRecord, IndicatedEntry, LabelsRecord, Patient
from keyhole.errors import InvalidInput, WrongCase
from keyhole.evidence import outcomes, procedures, source
from keyhole.forecast import (
    answers,
    current_forecast,
    forecast,
    forecast_case,
    operation_of,
    parse_cohort,
    read_cohort,
)
from keyhole.forecast.case import _outcomes
from keyhole.forecast.cohort import cohort_columns
from keyhole.forecast.expect import SPECS
from keyhole.forecast.patient import risks
from keyhole.forecast.published import baseline, literature
from keyhole.plan.approaches import catalogue

ORDER = [
    "stay", "blood-loss", "operating-time", "radiation", "infection", "dural-tear", "nerve-injury", "reoperation",
    "recurrence", "leg-pain", "back-pain", "odi", "return-to-work", "return-to-driving",
]  # fmt: skip


def expected(operation="discectomy", approach="transforaminal-endoscopic", own=None):
    return {one.key: one for one in _outcomes(operation, approach, own)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast") / "case"
    return case(folder)[0]


def record_of(made_case):
    return json.loads((made_case.path / "forecast.json").read_text())


# what every forecast holds


@pytest.mark.parametrize("key", list(procedures()))
def test_every_forecast_holds_every_outcome_in_one_order(key):
    for technique in procedures()[key].techniques:
        assert [one.key for one in _outcomes(key, technique.approach, None)] == ORDER
    assert [spec.key for spec in SPECS] == ORDER


@pytest.mark.parametrize("key", list(procedures()))
def test_what_is_not_known_has_a_reason_and_what_is_known_a_source(key):
    for technique in procedures()[key].techniques:
        for one in _outcomes(key, technique.approach, None):
            assert one.why
            for found in (one.planned, one.open, one.difference, *((one.ratio,) if one.ratio else ())):
                assert found.caveats if found.value is None else found.source
                if found.interval is not None:
                    assert found.interval[0] <= found.value <= found.interval[1]


@pytest.mark.parametrize("key", list(procedures()))
def test_no_expected_amount_is_negative_and_no_share_leaves_nought_and_one(key):
    for technique in procedures()[key].techniques:
        for one in _outcomes(key, technique.approach, None):
            for found in (one.planned, one.open):
                ends = () if found.value is None else (found.value, *(found.interval or ()))
                assert all(0 <= end <= (1 if one.kind == "risk" else 1e5) for end in ends)


def test_recurrence_is_worse_and_long_term_disability_no_clear_difference():
    found = expected()
    assert found["recurrence"].word == "worse"
    assert found["recurrence"].ratio.value == pytest.approx(1.95)
    assert found["recurrence"].planned.value == pytest.approx(1.95 * 0.062)
    assert found["odi"].word == "no clear difference"
    assert found["odi"].answers[0].time == "late"
    assert found["stay"].word == "better"
    assert found["operating-time"].word == "worse"
    assert expected("fusion", "mis-tlif")["radiation"].word == "worse"


def test_radiation_is_worse_where_three_studies_say_so_and_else_points_to_worse_never_to_no_difference():
    seen = {
        (key, technique.approach): expected(key, technique.approach)["radiation"]
        for key in ("discectomy", "decompression", "fusion")
        for technique in procedures()[key].techniques
    }
    for (key, _), found in seen.items():
        assert (found.word, found.points_to) == (("worse", None) if key == "fusion" else ("unknown", "worse"))
        told = [s for answer in found.answers for s in answer.syntheses if s.word == "worse"]
        assert found.word == "unknown" or any((s.studies or 0) >= 3 and s.interval for s in told)


def test_harm_to_nerves_by_the_lateral_way_points_to_worse_and_work_after_fusion_to_better():
    nerve = expected("lateral-fusion", "lateral-transpsoas")["nerve-injury"]
    assert (nerve.word, nerve.points_to, nerve.planned.value) == ("unknown", "worse", None)
    work = expected("fusion", "mis-tlif")["return-to-work"]
    assert (work.word, work.points_to) == ("unknown", "better")


def test_a_study_that_says_something_in_words_alone_is_named_with_its_words():
    (answer,) = expected()["return-to-work"].answers
    assert answer.pool is None
    assert "Sharma 2022" in answer.left_out[0]
    assert "returned to work significantly earlier" in answer.left_out[0]


def test_fewer_than_three_studies_never_make_a_difference():
    found = expected()["radiation"]
    assert found.answers[0].pool.k == 1
    assert (found.word, found.points_to) == ("unknown", "worse")
    assert "fewer than three studies" in found.difference.caveats[0]


def test_an_outcome_that_nobody_compared_is_unknown():
    found = expected()["nerve-injury"]
    assert found.word == "unknown"
    assert (found.planned.value, found.open.value, found.difference.value, found.answers) == (None, None, None, ())


def test_the_open_value_is_of_one_named_study_and_the_difference_is_added():
    found = expected()["blood-loss"]
    assert "TED trial" in found.baseline
    assert found.open.value == 170.0
    assert found.planned.value == pytest.approx(170.0 - 13.56)
    assert found.difference.interval == (-22.26, -4.87)
    assert "16 trials" in found.basis


def test_a_difference_larger_than_the_open_stay_becomes_a_ratio_and_says_so():
    found = expected()["stay"]
    assert found.open.value + found.difference.value < 0
    assert 0.3 < found.planned.value / found.open.value < 0.9
    assert any("ratio of means" in note for note in found.caveats)


def test_both_arms_come_from_the_studies_of_the_difference_where_it_is_a_pool():
    found = expected()["reoperation"]
    assert "Gibson 2017" in found.baseline
    assert found.open.value == pytest.approx(2 / 70)
    assert found.planned.value == pytest.approx(5 / 70)


def test_studies_of_operations_together_answer_only_for_operations_they_hold():
    assert "together" in " ".join(expected()["infection"].caveats)
    assert expected("screws", "percutaneous-screws")["infection"].open.value is None


def test_a_study_without_comparison_gives_the_planned_value_alone():
    found = expected("fusion", "mis-tlif")["return-to-work"]
    assert found.planned.value == 20.0
    assert (found.open.value, found.difference.value, found.word) == (None, None, "unknown")
    assert "no comparison" in found.planned.source


def test_unverified_rows_are_never_a_baseline():
    held = literature("decompression", "tubular-paramedian")
    row = next(r for r in held.rows if r.status == "unverified" and r.outcome == "length of stay")
    assert row.open.mean is not None
    assert baseline(held, "stay", is_risk=False).row_name != row.name


def test_curves_ascend_and_the_planned_arm_is_unknown_where_no_study_compares():
    found = expected()["odi"]
    months = [point.months for point in found.curve]
    assert months == sorted(months) == [0.0, 1.0, 3.0, 6.0, 12.0, 24.0]
    first, *_, last = found.curve
    assert first.planned == first.open
    assert found.curve[1].planned.value is None
    assert "no study" in found.curve[1].planned.caveats[0]
    assert last.planned.value == pytest.approx(last.open.value - 1.32)
    assert last.open_range[0] <= last.open.value <= last.open_range[1]
    assert found.planned == last.planned


def test_a_difference_of_the_first_days_is_not_used_months_later():
    found = {point.months: point.planned.value for point in expected()["back-pain"].curve}
    assert found[1.0] is None
    assert found[3.0] is None
    assert found[24.0] is not None


def test_ratios_and_pools_are_written_as_people_read_them():
    pool = expected()["reoperation"].answers[0].pool
    assert pool.measure == "rr"
    assert pool.estimate == pytest.approx(2.5)
    assert pool.studies[0].address
    synthesis = expected()["recurrence"].answers[0].syntheses[0]
    assert synthesis.interval == pytest.approx((1.19, 3.19))


def test_words_are_those_of_the_evidence():
    table_words = {
        (a.question.outcome.key, a.question.horizon): a.verdict.word
        for a in answers(literature("discectomy", "tubular-paramedian").rows)
        if a.question.family == "discectomy"
    }
    for one in expected().values():
        for entry in one.answers:
            if entry.comparison == "discectomy":
                assert entry.word == table_words[one.key, entry.time]


def test_every_technique_and_share_has_a_source_and_every_outcome_a_catalogue_entry():
    for one in procedures().values():
        assert all(source(t.source) for t in one.techniques)
        assert all(source(s.source).address for s in one.shares)
    assert {spec.key for spec in SPECS} <= set(outcomes())


SCREWS_ALONE = {("percutaneous-screws", "fuse")}
"""Screws without a cage are no fusion that studies compare: refused with a sentence."""


@pytest.mark.parametrize("name", [a.name for a in catalogue().values() if a.kind != "open"])
def test_every_approach_of_the_catalogue_has_a_comparison_for_each_goal_or_is_refused(name):
    for goal in catalogue()[name].goals:
        able = [one for one in procedures().values() if one.goal == goal and one.has(name)]
        assert bool(able) != ((name, goal) in SCREWS_ALONE)
        assert not (goal == "decompress" and len(able) != 2)  # with a herniation and without


def test_the_open_approach_of_every_operation_is_in_the_catalogue():
    for one in procedures().values():
        assert catalogue()[one.open].kind == "open"
        assert one.goal in catalogue()[one.open].goals


def planned(goal, *approaches, open_="open-midline"):
    made_up = plan({})
    candidates = tuple(
        made_up.candidates[0].model_copy(update={"approach": name, "rank": n}) for n, name in enumerate(approaches, 1)
    )
    opened = made_up.open.model_copy(update={"approach": open_})
    return made_up.model_copy(update={"goal": goal, "candidates": candidates, "open": opened, "pareto": (0,)})


def test_of_several_fusions_the_one_of_the_best_corridor_is_meant(made):
    both = planned("fuse", "oblique-antepsoas", "mis-tlif")
    assert operation_of(made, both)[0] == "lateral-fusion"
    assert operation_of(made, both, "mis-tlif")[0] == "fusion"
    assert operation_of(made, planned("screws", "percutaneous-screws"))[0] == "screws"


def test_a_technique_that_no_study_used_and_an_operation_for_another_reason_are_said():
    said = forecast(planned("fuse", "oblique-antepsoas"), {}, operation="lateral-fusion").caveats
    assert any(one.startswith("no study in the table used this technique") for one in said)
    said = forecast(planned("screws", "percutaneous-screws"), {}, operation="screws").caveats
    assert any("fractures" in one for one in said)


def test_what_speaks_against_the_pools_for_one_technique_is_said_of_it():
    tube = forecast(planned("decompress", "tubular-paramedian"), {}, operation="discectomy").caveats
    assert any("no difference in recurrence, stay" in one and "doi:" in one for one in tube)
    side = forecast(planned("fuse", "lateral-transpsoas"), {}, operation="lateral-fusion").caveats
    assert any("motor deficit in 9.3 %" in one for one in side)


def test_another_open_operation_than_that_of_the_studies_is_said():
    same, other = (
        forecast(planned("decompress", "biportal-endoscopic", open_=name), {}, operation="discectomy")
        for name in ("open-microdiscectomy", "open-midline")
    )
    assert (
        "the plan's open figures are of its open-midline, those of the studies of open microdiscectomy" in other.caveats
    )
    assert not any("the plan's open figures" in one for one in same.caveats)


# a case


def test_a_case_gets_its_forecast_and_reads_it_back(made):
    record = forecast_case(made)
    assert made.read(ForecastRecord) == record
    assert current_forecast(made) == record
    assert record.procedure.key == "discectomy"
    assert record.level == "L4/L5"
    first = (made.path / "forecast.json").read_bytes()
    forecast_case(made)
    assert (made.path / "forecast.json").read_bytes() == first


def test_the_geometry_of_the_plan_stands_beside_and_changes_nothing(made):
    record = forecast_case(made)
    figures = {one.key: one for one in record.geometry}
    best = next(c for c in plan({}).candidates if c.rank == 1)
    assert figures["incision"].planned == best.incision
    assert all(one.changes == () for one in record.geometry)


def test_a_moved_turned_or_mirrored_patient_has_the_same_forecast():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    asked = {"operation": "discectomy"}
    still = forecast(plan({}), {}, **asked)
    moved = forecast(plan({}, Pose(turn, np.array([30.0, -200.0, 1500.0]), (1.0, 2.0, 3.0))), {}, **asked)
    mirrored = forecast(plan({}).model_copy(update={"side": "right"}), {}, **asked)
    for other in (moved, mirrored):
        assert other.outcomes == still.outcomes
        assert other.geometry == still.geometry


def test_a_labelled_herniation_is_removed_and_else_the_canal_opened(made, tmp_path):
    key, why = operation_of(made, plan({}))
    assert key == "discectomy"
    assert "labelled at L4/L5" in why
    other = case(tmp_path / "case")[0]
    known = other.read(LabelsRecord)
    without = {n: entry for n, entry in known.structures.items() if not entry.key.endswith("herniation")}
    other.write(known.model_copy(update={"structures": without}))
    assert operation_of(other, plan({}))[0] == "decompression"
    found = other.read(FindingsRecord)
    reason = "herniation depth 6.0 ± 0.5 mm: above 3 mm [a]"
    entry = IndicatedEntry(rank=1, level="L4/L5", side="left", goals=("decompress",), score=1.0, reasons=(reason,))
    other.write(found.model_copy(update={"indicated": (entry,)}))
    assert operation_of(other, plan({})) == ("discectomy", f"L4/L5: {reason}")


def test_a_forecast_of_an_earlier_plan_is_not_current(made):
    forecast_case(made)
    kept = (made.path / "plan.json").read_bytes()
    (made.path / "plan.json").write_bytes(kept + b" ")
    try:
        assert current_forecast(made) is None
    finally:
        (made.path / "plan.json").write_bytes(kept)


def test_a_patient_with_missing_fields_leaves_a_range_and_names_what_is_missing(made):
    found = {one.model: one for one in forecast_case(made, patient={"diabetes": True}).risks}
    assert found["mfi-5"].low < found["mfi-5"].high
    assert found["mfi-5"].present
    assert len(found["mfi-5"].unknown) == 4
    assert found["premier-infection"].high is None
    tear = found["dural-tear"]
    assert tear.label == "literature, not calibrated here"
    assert tear.low < tear.high < tear.interval[1]
    full = forecast_case(made, patient={"diabetes": False, "stenosis": False, "revision": False}).risks
    assert next(one for one in full if one.model == "dural-tear").unknown == ()


def test_a_patient_of_whom_nothing_is_known_has_a_forecast_too(made):
    record = made.read(CaseRecord)
    made.write(record.model_copy(update={"patient": Patient()}))
    try:
        assert forecast_case(made).patient == {}
    finally:
        made.write(record)


def test_a_case_without_a_plan_is_one_sentence(tmp_path):
    bare = case(tmp_path / "case", with_plan=False)[0]
    with pytest.raises(WrongCase, match=r"no plan\.json yet; run `keyhole plan` first"):
        forecast_case(bare)


def test_a_plan_without_a_small_opening_has_no_forecast():
    empty = plan({}).model_copy(update={"candidates": (), "pareto": ()})
    with pytest.raises(WrongCase, match="no small opening that is feasible"):
        forecast(empty, {}, operation="discectomy")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"operation": "nose job"}, "no operation is called 'nose job'"),
        ({"operation": "fusion"}, "does not serve the goal decompress"),
    ],
)
def test_an_unknown_operation_is_refused(changes, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        forecast(plan({}), {}, **changes)


def test_an_approach_that_nothing_published_stands_for_is_refused():
    strange = plan({})
    first = strange.candidates[0].model_copy(update={"approach": "transnasal"})
    with pytest.raises(InvalidInput, match="nothing published is known for 'transnasal'"):
        forecast(strange.model_copy(update={"candidates": (first,)}), {}, operation="discectomy")


# own patients


def test_twenty_own_patients_stay_near_the_literature_and_two_thousand_near_the_cohort():
    published = expected()["stay"]
    far = {"stay": (6.0, 9.0)}
    few, many = (expected(own=cohort(n, 1, **far))["stay"] for n in (20, 2000))
    for arm, mean in (("planned", 6.0), ("open", 9.0)):
        before = getattr(published, arm).value
        after = getattr(few, arm).value
        assert abs(after - before) < abs(after - mean)
        assert getattr(many, arm).value == pytest.approx(mean, rel=0.05)
    assert few.weighing.open < 0.5
    assert many.weighing.open > 0.95
    assert many.weighing.conflict
    assert many.difference.value == pytest.approx(-3.0, rel=0.05)


def test_own_shares_of_few_stay_near_and_of_many_take_over():
    few, many = (expected(own=cohort(n, 3, infection=(0.30, 0.40)))["infection"] for n in (20, 2000))
    published = expected()["infection"]
    assert abs(few.open.value - published.open.value) < abs(few.open.value - 0.40)
    assert many.open.value == pytest.approx(0.40, abs=0.04)
    assert many.planned.value == pytest.approx(0.30, abs=0.04)


def test_own_patients_move_numbers_and_never_words():
    before, after = expected(), expected(own=cohort(2000, 4, stay=(5.0, 2.0)))
    assert {key: one.word for key, one in before.items()} == {key: one.word for key, one in after.items()}
    assert after["stay"].planned.value > after["stay"].open.value
    assert any("the word is that of the published evidence" in note for note in after["stay"].caveats)


def test_own_patients_of_another_operation_do_not_count():
    assert expected(own=cohort(500, 5, operation="fusion"))["stay"] == expected()["stay"]


def test_the_range_of_one_patient_comes_from_own_ones_and_holds_them():
    found = expected(own=cohort(4000, 6, stay=(5.0, 7.0)))["stay"]
    low, high = found.next_patient
    own = np.random.default_rng(0).normal(5.0, 0.8, 4000)
    assert 0.88 <= np.mean((own >= low) & (own <= high)) <= 0.92
    assert expected()["stay"].next_patient is None


def test_own_scores_join_the_published_course():
    own = cohort(
        400, 7, odi_0=lambda rng, at: rng.uniform(40, 50), odi_9=lambda rng, at: 20 + 4 * at + rng.uniform(-5, 5)
    )
    found = expected(own=own)["odi"]
    points = {point.months: point for point in found.curve}
    assert sorted(points) == [0.0, 1.0, 3.0, 6.0, 9.0, 12.0, 24.0]
    assert points[9.0].planned.value == pytest.approx(20, abs=1)
    assert points[9.0].open.value == pytest.approx(24, abs=1)
    assert points[0.0].open.value == pytest.approx(45, abs=1)


def test_a_cohort_recalibrates_the_dural_tear_prior_and_says_on_whom(made):
    rng = np.random.default_rng(8)
    rows = ["patient,arm,operated,dural_tear,revision,stenosis,diabetes"]
    for k in range(2000):
        fields = rng.random(3) < 0.4
        logit = -3.6 + 0.5 * fields.sum()
        tear = int(rng.random() < 1 / (1 + np.exp(-logit)))
        day = f"20{20 + k // 500:02d}-{1 + k // 42 % 12:02d}-15"
        rows.append(f"p{k},{'miss' if k % 2 else 'open'},{day},{tear}," + ",".join(str(int(f)) for f in fields))
    own = parse_cohort("\n".join(rows), "own.csv")
    patient = {"revision": False, "stenosis": True, "diabetes": False}
    tear = next(one for one in forecast_case(made, own, patient=patient).risks if one.model == "dural-tear")
    assert tear.label == "recalibrated on 2000 own patients (own.csv)"
    assert tear.calibration.in_the_large.value > 0.02  # the prior overstates
    assert tear.low == pytest.approx(1 / (1 + np.exp(3.1)), abs=0.012)
    assert tear.calibration.drift_p > 0.05
    assert sum(one.patients for one in tear.calibration.bins) == 2000


def test_own_patients_with_a_field_missing_are_left_out_of_recalibration():
    rows = ["patient,arm,dural_tear,revision,stenosis,diabetes"]
    rows += [f"p{k},miss,{int(k % 9 == 0)},{k % 2},1,{'' if k % 4 == 0 else 0}" for k in range(400)]
    own = parse_cohort("\n".join(rows), "own.csv")
    tear = next(one for one in risks({}, own) if one.model == "dural-tear")
    assert tear.calibration.patients == 300


def test_the_cohort_is_named_with_its_digest(made, tmp_path):
    path = tmp_path / "clinic.csv"
    path.write_text(table(60))
    record = forecast_case(made, read_cohort(path), operation="discectomy")
    assert (record.cohort.file, record.cohort.patients, record.cohort.planned) == ("clinic.csv", 60, 30)
    assert record.provenance.inputs["clinic.csv"] == record.cohort.sha256


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no patient"),
        ("patient,arm\n", "holds no patient"),
        ("patient,arm,satay\na,miss,1\n", "no cohort has the column 'satay'"),
        ("patient,stay\na,1\n", "the column 'arm' is missing"),
        ("patient,arm,stay,stay\na,miss,1,2\n", "is there twice"),
        ("patient,arm,stay\na,miss\n", "row 2: expected 3 cells, found 2"),
        ("patient,arm,stay\na,miss,-1\n", "row 2, stay: expected a number from 0 to 400, got '-1'"),
        ("patient,arm,stay\na,miss,inf\n", "row 2, stay"),
        ("patient,arm,odi_12\na,miss,101\n", "row 2, odi_12: expected a number from 0 to 100"),
        ("patient,arm,infection\na,miss,2\n", "row 2, infection: expected 1 or 0, got '2'"),
        ("patient,arm\na,keyhole\n", "row 2, arm: expected miss or open, got 'keyhole'"),
        ("patient,arm\na,miss\na,open\n", "row 3: a patient must have a code of their own"),
        ("patient,arm,procedure\na,miss,nose\n", "row 2, procedure"),
        ("patient,arm,operated\na,miss,31.12.2020\n", "row 2, operated: expected a day"),
        ("patient,arm,sex\na,miss,x\n", "row 2, sex: expected F or M"),
    ],
)
def test_an_impossible_cohort_is_one_sentence_with_row_and_column(text, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        parse_cohort(text, "own.csv")


def test_rows_are_counted_as_an_editor_counts_them():
    with pytest.raises(InvalidInput, match="row 4, stay"):
        parse_cohort("patient,arm,stay\na,miss,1\n\nb,open,x\n", "own.csv")


def test_every_column_that_is_promised_can_be_read():
    columns = [name.replace("MONTHS", "12") for name in cohort_columns()]
    cells = {"patient": "a", "arm": "miss", "procedure": "discectomy", "operated": "2024-02-29", "sex": "F"}
    values = {"age": "60", "bmi": "27", "operating_hours": "2"}
    row = [cells.get(c, values.get(c, "1")) for c in columns]
    assert parse_cohort(",".join(columns) + "\n" + ",".join(row) + "\n").n == 1


def test_empty_cells_are_not_known_and_semicolons_are_read():
    found = parse_cohort("patient;arm;stay;infection\na;miss;;1\nb;open;2.5;\n")
    assert list(found.values("stay", "discectomy", "miss")) == []
    assert list(found.values("stay", "discectomy", "open")) == [2.5]
    assert list(found.values("infection", "discectomy", "miss")) == [1.0]
