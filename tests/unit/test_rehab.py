"""The rehabilitation programme: what it is built from, what changes it, and who answers for it."""

import json
import tomllib

import pytest
import rehab_case as made
from click.testing import CliRunner
from report_case import quantity

from keyhole.casefile import RESEARCH_USE, RehabRecord, to_json
from keyhole.cli.main import main
from keyhole.errors import InvalidInput, UnreadableFile, WrongCase
from keyhole.evidence import sources
from keyhole.recovery.rehab import (
    SHIPPED,
    UNSIGNED,
    Overrides,
    build,
    current_rehab,
    exercises,
    read_overrides,
    read_protocol,
    rehab_case,
    shipped,
    shipped_text,
    sign_off,
    staleness,
)

BY = "Dr A. Example"


def setting(*pairs):
    return Overrides(tuple(pairs), BY)


@pytest.mark.parametrize("key", SHIPPED)
def test_every_source_of_a_shipped_protocol_can_be_looked_up(key):
    def cited(table):
        if isinstance(table, dict):
            yield from (one for name, value in table.items() if name == "sources" for one in value)
            yield from (one for name, value in table.items() if name != "sources" for one in cited(value))
        elif isinstance(table, list):
            yield from (one for value in table for one in cited(value))

    found = set(cited(tomllib.loads(shipped_text(key))))
    assert len(found) > 10
    assert found <= sources().keys()


@pytest.mark.parametrize("key", SHIPPED)
def test_a_shipped_protocol_holds_the_conflicts_on_lifting_therapy_and_brace(key):
    protocol = shipped(key).protocol
    by_key = {one.key: one for one in protocol.conflict}
    assert {"lifting", "therapy", "brace", "sitting", "driving"} <= by_key.keys()
    for one in by_key.values():
        assert len({position.says for position in one.position}) >= 2
        assert one.why


@pytest.mark.parametrize("key", SHIPPED)
def test_a_threshold_with_a_published_source_equals_the_instruments_own(key):
    from keyhole.recovery.instruments import instruments

    for phase in shipped(key).protocol.phase:
        for one in phase.criterion:
            if one.test is not None and one.sources != ("keyhole-choice",):
                published = {t.value for t in instruments()[one.test].thresholds}
                assert one.threshold in published, f"{phase.key}.{one.key}"


def test_phases_follow_each_other_without_gap_or_overlap(tmp_path):
    record = build(made.case(tmp_path), date="2026-12-01")
    assert record.phases[0].from_day == 0
    for before, after in zip(record.phases, record.phases[1:], strict=False):
        assert after.from_day == before.to_day + 1
    assert record.phases[-1].to_day == 7 * 26 - 1
    assert all(phase.exercises and phase.criteria and phase.goals for phase in record.phases)


def test_what_is_followed_where_sources_disagree_stands_in_the_phase(tmp_path):
    record = build(made.case(tmp_path))
    lifting = next(one for one in record.conflicts if one.key == "lifting")
    assert lifting.chosen_by == "protocol"
    assert lifting.followed in record.phases[0].precautions
    assert lifting.followed not in record.phases[2].precautions


def test_a_healthy_adult_of_54_is_fitted_to_nothing(tmp_path):
    record = build(made.case(tmp_path, plan=made.decompression(facet_removed=made.facet(12.0))))
    assert [one.key for one in record.fitted] == []


@pytest.mark.parametrize(("age", "is_fitted"), [(69.9, False), (70, True), (None, True)])
def test_someone_of_70_or_of_unknown_age_stands_at_a_rail_and_leaves_out_the_side_plank(tmp_path, age, is_fitted):
    record = build(made.case(tmp_path, age=age))
    keys = [one.key for phase in record.phases for one in phase.exercises]
    assert ("side-plank" not in keys) == is_fitted
    assert ("knee-straighten" in keys) == is_fitted
    fitted = [one for one in record.fitted if one.key == "older"]
    assert bool(fitted) == is_fitted
    if age is None:
        assert fitted[0].assumed
        assert any("age is not known" in one for one in record.caveats)


def test_unknown_asa_counts_as_ill_and_is_said(tmp_path):
    record = build(made.case(tmp_path, asa=None))
    assert [(one.key, one.assumed) for one in record.fitted] == [("illness", True)]
    assert [one.value for one in record.facts if one.key == "asa"] == ["not known"]


def test_a_child_gets_no_programme(tmp_path):
    with pytest.raises(InvalidInput, match="for adults"):
        build(made.case(tmp_path, age=15))


@pytest.mark.parametrize(("share", "said"), [(32.9, False), (33.0, True), (80.0, True)])
def test_a_third_of_a_facet_joint_adds_a_precaution(tmp_path, share, said):
    record = build(made.case(tmp_path, plan=made.decompression(facet_removed=made.facet(share))))
    assert ("facet" in [one.key for one in record.fitted]) == said


def test_the_joint_that_loses_most_counts_and_a_way_in_counts_with_the_decompression_through_it(tmp_path):
    shares = made.facet(10.0) | {"L4/L5/right": quantity(50.0, "%")}
    record = build(made.case(tmp_path, plan=made.decompression(facet_removed=shares, decompression=None)))
    assert "50 %" in [one.value for one in record.facts]
    first = made.decompression().candidates[0].decompression
    assert first is not None
    simulated = first.model_copy(update={"facet_removed": made.facet(60.0)})
    plan = made.decompression(facet_removed=made.facet(10.0), decompression=simulated)
    assert "60 %" in [one.value for one in build(made.case(tmp_path, plan=plan)).facts]


def test_a_facet_nobody_measured_is_a_caveat_and_no_clean_programme(tmp_path):
    plan = made.decompression(facet_removed=made.facet(None), decompression=None)
    record = build(made.case(tmp_path, plan=plan))
    assert any("facet joint is taken away is not known" in one for one in record.caveats)


def test_a_way_through_the_psoas_adds_what_was_published_and_keeps_the_red_flag(tmp_path):
    record = build(made.case(tmp_path, plan=made.lateral(quantity(3.5, "mL"))))
    assert record.procedure == "lateral-fusion"
    assert record.protocol.key == "fusion"
    psoas = next(one for one in record.fitted if one.key == "psoas")
    assert "3.5 mL" in psoas.because
    assert "nogueira2019" in psoas.sources
    assert "heel-slide" in [one.key for one in record.phases[0].exercises]
    assert "weakness" in [one.key for one in record.red_flags]


def test_without_a_plan_there_is_no_programme_unless_the_operation_is_said(tmp_path):
    case = made.case(tmp_path, with_plan=False)
    with pytest.raises(WrongCase, match="no plan.json"):
        build(case)
    record = build(case, overrides=setting(("procedure", "fusion"), ("levels", "L4/L5, L5/S1")))
    assert record.levels == ("L4/L5", "L5/S1")
    assert "one level" not in record.procedure_title
    assert any("there is no plan" in one for one in record.caveats)
    assert "several-levels" in [one.key for one in record.fitted]


def test_screws_alone_have_no_protocol_and_the_message_says_what_to_do(tmp_path):
    with pytest.raises(InvalidInput, match="--protocol FILE"):
        build(made.case(tmp_path), overrides=setting(("procedure", "screws")))


def test_an_override_without_a_name_is_refused():
    with pytest.raises(InvalidInput, match="--by NAME"):
        Overrides((("lifting", "none"),), " ")


def test_overrides_are_followed_and_recorded_with_what_was(tmp_path):
    asked = setting(
        ("lifting", "none"),
        ("brace", "Wear the blue one."),
        ("healing.to-week", "3"),
        ("age", "71"),
        ("control.add", "calf-stretch: twice a day"),
        ("healing.without", "brace"),
        ("strength.precaution", "No skiing."),
    )
    record = build(made.case(tmp_path), overrides=asked)
    by_key = {one.key: one for one in record.conflicts}
    assert (by_key["lifting"].chosen, by_key["lifting"].by) == ("none", BY)
    assert (by_key["brace"].chosen, by_key["brace"].followed) == ("", "Wear the blue one.")
    healing, control, strength, _ = record.phases
    assert (healing.to_day, control.from_day) == (20, 21)
    assert "Wear the blue one." in healing.precautions
    assert "brace" not in [one.key for one in healing.exercises]
    assert ("calf-stretch", "twice a day") in [(one.key, one.dose) for one in control.exercises]
    assert "No skiing." in strength.precautions
    assert "older" in [one.key for one in record.fitted]
    was = {one.key: (one.was, one.by) for one in record.overrides}
    assert was["healing.to-week"] == ("2", BY)
    assert was["age"] == ("54", BY)
    assert was["lifting"] == ("four-kg", BY)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("swimming", "yes", "nothing of this programme is called 'swimming'"),
        ("healing.to-week", "6", "phase 'control' ends with week 6, no later than 'healing' before it"),
        ("healing.to-week", "two", "must be a week"),
        ("healing.add", "handstand: daily", "no exercise is called 'handstand'"),
        ("healing.without", "bike", "has no exercise 'bike'"),
        ("age", "old", "age must be a number"),
        ("age", "nan", "age must be a number"),
        ("levels", "L3/L5", "a level is two neighbouring vertebrae"),
        ("procedure", "magic", "no operation is called 'magic'"),
        ("approach", "magic", "holds no approach 'magic'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_a_sentence(tmp_path, key, value, sentence):
    with pytest.raises(InvalidInput, match="(?s)" + sentence):
        build(made.case(tmp_path), overrides=setting((key, value)))


def test_overrides_come_from_a_file_too(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('by = "Dr B"\n[set]\nlifting = "none"\n"healing.add" = ["clam: 5 times", "bridge"]\n')
    held = read_overrides(file)
    assert held.by == "Dr B"
    assert held.settings == (("lifting", "none"), ("healing.add", "clam: 5 times"), ("healing.add", "bridge"))
    file.write_text('[set]\nlifting = "none"\n')
    assert read_overrides(file, "Dr C").by == "Dr C"
    file.write_text("[sets]\nlifting = 3\n")
    with pytest.raises(InvalidInput, match="found sets"):
        read_overrides(file, "Dr C")


def test_an_open_operation_of_the_plan_can_be_what_the_programme_is_for(tmp_path):
    record = build(made.case(tmp_path), overrides=setting(("approach", "open-midline")))
    assert record.approach == "open-midline"
    plan = made.lateral(quantity(3.5, "mL"))
    opened = plan.candidates[0].model_copy(update={"approach": "open-tlif", "rank": None, "burden": {}})
    case = made.case(tmp_path, plan=plan.model_copy(update={"open": opened}))
    assert build(case).procedure == "lateral-fusion"
    assert build(case, overrides=setting(("approach", "open-tlif"))).procedure == "fusion"


def test_a_plan_without_a_small_opening_gives_the_programme_of_its_open_operation(tmp_path):
    plan = made.decompression()
    opened = plan.candidates[0].model_copy(update={"approach": "open-laminectomy", "rank": None})
    case = made.case(tmp_path, plan=plan.model_copy(update={"candidates": (), "pareto": (), "open": opened}))
    record = build(case)
    assert (record.procedure, record.approach) == ("decompression", "open-laminectomy")
    assert any("no small opening is feasible" in one for one in record.caveats)
    nothing = made.case(tmp_path, plan=plan.model_copy(update={"candidates": (), "pareto": (), "open": None}))
    with pytest.raises(WrongCase, match="the plan holds no operation"):
        build(nothing)


def test_the_sign_off_outlives_a_new_programme_and_a_changed_list_voids_it(tmp_path):
    case = made.case(tmp_path / "case")
    assert UNSIGNED in rehab_case(case).caveats
    signed = sign_off(case, by=BY, today="2026-11-22")
    assert signed.signed_off is not None
    assert UNSIGNED not in signed.caveats
    again = rehab_case(case, date="2026-12-01")
    assert again.signed_off == signed.signed_off
    own = tmp_path / "own.toml"
    flags = (
        '\n[red_flags]\nversion = "2"\n[[red_flags.flag]]\nkey = "fever"\nact = "today"\ntext = "You have a fever."\n'
    )
    own.write_text(shipped_text("decompression") + flags)
    void = rehab_case(case, protocol=read_protocol(own))
    assert void.signed_off is None
    assert any(f"changed since {BY} signed it off on 2026-11-22" in one for one in void.caveats)
    assert UNSIGNED in void.caveats


def test_a_list_edited_in_the_file_is_signed_by_nobody(tmp_path):
    case = made.case(tmp_path)
    rehab_case(case)
    signed = sign_off(case, by=BY, today="2026-11-22")
    assert signed.signature == signed.signed_off
    softer = signed.red_flags[0].model_copy(update={"text": "All is well."})
    edited = signed.model_copy(update={"red_flags": (softer, *signed.red_flags[1:])})
    assert edited.signature is None


def test_a_sign_off_needs_a_name_a_day_and_a_programme_of_this_plan(tmp_path):
    case = made.case(tmp_path)
    with pytest.raises(WrongCase, match="run `keyhole rehab` first"):
        sign_off(case, by=BY, today="2026-11-22")
    rehab_case(case)
    with pytest.raises(InvalidInput, match="name of a person"):
        sign_off(case, by="  ", today="2026-11-22")
    with pytest.raises(InvalidInput, match="YYYY-MM-DD"):
        sign_off(case, by=BY, today="22.11.2026")
    case.write(made.decompression(facet_removed=made.facet(50.0)))
    with pytest.raises(WrongCase, match="earlier plan"):
        sign_off(case, by=BY, today="2026-11-22")


def test_a_new_plan_makes_the_programme_stale(tmp_path):
    case = made.case(tmp_path)
    record = rehab_case(case)
    assert staleness(case, record) == ""
    assert current_rehab(case) == record
    case.write(made.decompression(facet_removed=made.facet(50.0)))
    assert staleness(case, record) == "is of an earlier plan"
    assert current_rehab(case) is None


def test_the_same_inputs_give_the_same_bytes_and_a_change_raises_the_revision(tmp_path):
    case = made.case(tmp_path)
    first = to_json(rehab_case(case, date="2026-12-01"))
    assert to_json(rehab_case(case, date="2026-12-01")) == first
    later = rehab_case(case, date="2026-12-08")
    assert later.revision == 1
    assert later.calendar == json.loads(first)["calendar"]


def test_what_an_earlier_programme_had_is_never_dropped_silently(tmp_path):
    case = made.case(tmp_path)
    rehab_case(case, date="2026-12-01", overrides=setting(("lifting", "none")))
    record = rehab_case(case)
    assert any("set before and not now: lifting = none, by Dr A. Example" in one for one in record.caveats)
    assert any("began on 2026-12-01" in one for one in record.caveats)


def test_a_position_on_the_length_of_a_phase_moves_the_phases(tmp_path):
    case = made.case(tmp_path, plan=made.lateral(quantity(0.0, "mL")))
    record = build(case, overrides=setting(("first-phase", "eight")))
    assert (record.phases[0].to_day, record.phases[1].from_day) == (55, 56)
    assert "psoas" not in [one.key for one in record.fitted]


def test_rehab_json_says_that_it_is_for_research(tmp_path):
    assert build(made.case(tmp_path)).research_use == RESEARCH_USE


def test_a_broken_earlier_file_is_replaced_and_said(tmp_path):
    case = made.case(tmp_path)
    (tmp_path / "rehab.json").write_text("{")
    assert any("could not be read" in one for one in rehab_case(case).caveats)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('schema = "keyhole.protocol/1"', 'schema = "keyhole.protocol/9"', "schema: "),
        ('version = "1.0"\n', "", "version: Field required"),
        ('version = "1.0"', 'version = "1.0"\ncolour = "red"', "colour: Extra inputs are not permitted"),
        ("to_week = 6\n", "to_week = 2\n", "phase 'control' ends with week 2, no later than 'healing' before it"),
        ('key = "walk"', 'key = "wlak"', "uses the exercise 'wlak'"),
        ('test = "nrs-leg"', 'test = "nrs-arm"', "names the test 'nrs-arm'"),
        ("threshold = 5\n", "threshold = 50\n", "but nrs-leg runs from 0 to 10"),
        ('rule = "at most"', 'rule = "at least"', "of nrs-leg lower is better"),
        ("threshold = 5\n", "", "needs rule"),
        ('chosen = "six-weeks"', 'chosen = "nine-weeks"', "which is none of its positions"),
        ('phases = ["healing", "control"]', 'phases = ["heeling"]', "names the phase 'heeling'"),
        ("at_least = 70", "at_least = 70\nbelow = 9", "a fit needs one of"),
        ('field = "age"', 'field = "shoe size"', "field: "),
        ('key = "control"\nname', 'key = "healing"\nname', "the phase 'healing' is there twice"),
        ("threshold = 5\n", "threshold = nan\n", "finite number"),
    ],
)
def test_a_wrong_protocol_is_refused_in_one_sentence(tmp_path, old, new, sentence):
    text = shipped_text("decompression")
    assert old in text
    file = tmp_path / "own.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidInput) as caught:
        read_protocol(file)
    assert "own.toml is no valid protocol" in str(caught.value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml_is_said_to_be_none(tmp_path):
    file = tmp_path / "own.toml"
    file.write_bytes(b"\xff\xfe[[")
    with pytest.raises(UnreadableFile, match="must be TOML in UTF-8"):
        read_protocol(file)


def test_a_protocol_of_the_clinic_brings_its_exercises_and_citations(tmp_path):
    text = shipped_text("decompression").replace('sources = ["oosterhuis2014"', 'sources = ["Our ward, 2026"', 1)
    own = '\n[exercise.swim]\ntitle = "Swimming"\nhow = ["Swim."]\n'
    file = tmp_path / "own.toml"
    file.write_text(text.replace('key = "bike"', 'key = "swim"') + own)
    record = build(made.case(tmp_path / "case"), protocol=read_protocol(file))
    assert record.protocol.origin == "clinic"
    assert ("Our ward, 2026", "") in [(one.text, one.address) for one in record.protocol.sources]
    swim = next(one for one in record.phases[2].exercises if one.key == "swim")
    assert not swim.drawn
    with pytest.raises(InvalidInput, match=r"own.toml is for discectomy, decompression, but the operation is fusion"):
        build(made.case(tmp_path / "case"), protocol=read_protocol(file), overrides=setting(("procedure", "fusion")))


def test_a_shipped_protocol_can_be_printed_changed_and_given_back_for_screws(tmp_path):
    text = command("--template", "fusion")
    assert text == shipped_text("fusion")
    file = tmp_path / "screws.toml"
    file.write_text(text.replace('procedures = ["fusion", "lateral-fusion"]', 'procedures = ["screws"]'))
    record = build(
        made.case(tmp_path / "case"), protocol=read_protocol(file), overrides=setting(("procedure", "screws"))
    )
    assert (record.procedure, record.protocol.file) == ("screws", "screws.toml")
    assert "no protocol of Keyhole's is called 'yoga'" in command("--template", "yoga", code=1)


def test_no_exercise_is_defined_that_no_protocol_prescribes():
    used = {one.key for key in SHIPPED for phase in shipped(key).protocol.phase for one in phase.exercise}
    used |= {one.key for key in SHIPPED for fit in shipped(key).protocol.fit for one in fit.add}
    assert exercises().keys() - used == set()


def command(*words, code=0):
    done = CliRunner().invoke(main, ["rehab", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_writes_every_file_and_prints_the_json_of_the_record(tmp_path):
    case = made.case(tmp_path)
    out = command(tmp_path, "--date", "2026-12-01")
    for name in ("rehab-patient.html", "rehab-patient.pdf", "rehab-therapist.html", "rehab.ics"):
        assert (tmp_path / "report" / name).is_file()
        assert name in out
    assert "red flags: NOT signed off" in out
    assert "sources disagree: How much may you lift" in out
    assert json.loads(command(tmp_path, "--json")) == json.loads((tmp_path / "rehab.json").read_text())
    assert not (tmp_path / "report" / "rehab.ics").exists()  # no day any more, so no calendar of an old one
    signed = command(tmp_path, "--sign-off-red-flags", "--by", BY, "--today", "2026-11-22")
    assert f"red flags: signed off by {BY} on 2026-11-22" in signed
    assert case.read(RehabRecord).signed_off is not None


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--date", "01.12.2026"), 1, "a day is written YYYY-MM-DD"),
        (("--date", "2026-13-01"), 1, "a day is written YYYY-MM-DD"),
        (("--set", "lifting"), 1, "--set takes KEY=VALUE"),
        (("--set", "lifting=none"), 1, "give --by NAME"),
        (("--sign-off-red-flags",), 1, "give --by NAME"),
        (("--sign-off-red-flags", "--by", "X"), 1, "run `keyhole rehab` first"),
        (("--sign-off-red-flags", "--by", "X", "--date", "2026-12-01"), 2, "build it first, then sign"),
    ],
)
def test_a_bad_request_is_one_sentence_and_writes_nothing(tmp_path, words, code, sentence):
    made.case(tmp_path)
    assert sentence in command(tmp_path, *words, code=code)
    assert not (tmp_path / "rehab.json").exists()


def test_a_stage_of_many_leaves_a_programme_that_a_person_made(tmp_path):
    from keyhole.cli.rehab import programme

    case = made.case(tmp_path)
    assert programme(case) == ""
    before = rehab_case(case, date="2026-12-01", overrides=setting(("lifting", "none")))
    case.write(made.decompression(facet_removed=made.facet(50.0)))
    assert "is of an earlier plan and was left" in programme(case)
    assert case.read(RehabRecord) == before
