"""Recording, correcting and taking back, on SQLite and on PostgreSQL."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import func, select

from keyhole.errors import InvalidInput, Refused
from keyhole.registry.audit import history, working
from keyhole.registry.codes import approaches, codes, operations
from keyhole.registry.database import open_registry
from keyhole.registry.models import Audit, Complication, Episode, Patient, Procedure, Response
from keyhole.registry.record import correct, find, record, void

TODAY = date(2026, 6, 1)
AT = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
PATIENT = {"pseudonym": "P1", "sex": "F", "birth_year": 1970}
EPISODE = {"code": "E1", "patient": "P1", "surgery_date": "2026-01-10", "age": 55, "asa": 2, "smoker": True}


@pytest.fixture
def registry(registry_url):
    with open_registry(registry_url) as opened:
        with working(opened, "ann", AT) as work:
            record(work, "patient", PATIENT, today=TODAY)
            record(work, "episode", EPISODE, today=TODAY)
        yield opened


def made(registry, entity, **given):
    with working(registry, "ann", AT) as work:
        return record(work, entity, given, today=TODAY)


def put_right(registry, entity, key, **changes):
    with working(registry, "bob", AT) as work:
        return correct(work, entity, key, changes, reason="misread", today=TODAY)


def counted(registry, model, *where):
    with registry.reading() as session:
        return session.scalar(select(func.count()).select_from(model).where(*where))


REFUSED = [
    ("patient", {"pseudonym": "P1"}, "pseudonym: a patient of this pseudonym is recorded already, as number 1"),
    ("patient", {"pseudonym": ""}, "pseudonym: expected a code without blanks, got nothing"),
    ("patient", {"pseudonym": "Ann B"}, "pseudonym: expected a code without blanks, got 'Ann B'"),
    ("patient", {"pseudonym": "P2", "sex": "W"}, "sex: expected one of F, M, X, got 'W'"),
    ("patient", {"pseudonym": "P2", "birth_year": 1500}, "birth_year: expected a whole number from 1880 to 2200"),
    ("patient", {"pseudonym": "P2", "name": "Ann"}, "name: is no field of a patient; the fields are pseudonym, sex,"),
    ("episode", {"code": "E1", "patient": "P1"}, "code: an episode of this code is recorded already, as number 1"),
    ("episode", {"code": "E2", "patient": "P9"}, "patient: there is no patient 'P9' in the registry"),
    (
        "episode",
        EPISODE | {"code": "E2", "surgery_date": "2026-06-02"},
        "surgery_date: expected a day up to 2026-06",
    ),
    ("episode", EPISODE | {"code": "E2", "surgery_date": "10.1.2026"}, "surgery_date: expected a day, YYYY-MM-DD"),
    ("episode", EPISODE | {"code": "E2", "surgery_date": "1969-01-10"}, "surgery_date: 1969-01-10 lies before the pa"),
    ("episode", EPISODE | {"code": "E2", "age": 70}, "age: 70 years on 2026-01-10 contradict the year of birth 1970"),
    ("episode", EPISODE | {"code": "E2", "asa": 6}, "asa: expected a whole number from 1 to 5, got 6"),
    ("episode", EPISODE | {"code": "E2", "asa": "nan?"}, "asa: expected a whole number from 1 to 5, got 'nan.'"),
    ("episode", EPISODE | {"code": "E2", "indication": "ache"}, "indication: expected one of herniation"),
    ("procedure", {"approach": "open-tlif"}, "operation: expected one of discectomy"),
    ("procedure", {"operation": "magic"}, "operation: expected one of discectomy, .*got 'magic'"),
    ("procedure", {"operation": "fusion", "approach": "laser"}, "approach: expected one of .*got 'laser'"),
    ("procedure", {"operation": "fusion", "approach": "open-tlif", "is_miss": 1}, "is_miss: open-tlif is an open one"),
    ("procedure", {"operation": "fusion"}, "is_miss: expected 1 .small opening. or 0 .open., or an approach"),
    ("procedure", {"operation": "fusion", "is_miss": 1, "levels": "L3/L5"}, "levels: expected levels such as L4/L5"),
    (
        "procedure",
        {"operation": "fusion", "is_miss": 1, "blood_loss_ml": -1},
        "blood_loss_ml: expected a number",
    ),
    ("response", {"instrument": "odi", "value": 30}, "date: expected the day of the answers"),
    ("response", {"instrument": "odi", "date": "2026-02-20"}, "value: expected a score, or the answers to the items"),
    ("response", {"instrument": "odi", "date": "2026-02-20", "value": 101}, "value: ODI lies between 0 and 100"),
    ("response", {"instrument": "odi", "date": "2026-02-20", "value": "inf"}, "value: expected a number"),
    ("response", {"instrument": "odi", "date": "2026-02-20", "items": [9] * 10}, "items: ODI"),
    (
        "response",
        {"instrument": "odi", "date": "2026-02-20", "items": [1] * 10, "value": 90},
        "value: the items come to",
    ),
    ("response", {"instrument": "ody", "date": "2026-02-20", "value": 30}, "instrument: expected one of odi"),
    ("response", {"instrument": "odi", "date": "2026-07-20", "value": 30}, "date: expected a day up to 2026-06-01"),
    ("response", {"instrument": "odi", "date": "2026-01-15", "value": 30}, "day 5 after the operation, lies in no"),
    (
        "response",
        {"instrument": "odi", "date": "2026-01-15", "visit": "baseline", "value": 30},
        "lies after the",
    ),
    ("response", {"instrument": "odi", "date": "2026-01-05", "visit": "6w", "value": 30}, "lies before the operation"),
    (
        "response",
        {"instrument": "odi", "date": "2026-02-20", "visit": "9w", "value": 30},
        "visit: expected one of",
    ),
    (
        "complication",
        {"code": "dural-tear", "date": "2026-01-09"},
        "date: 2026-01-09 lies before the operation",
    ),
    ("complication", {"code": "bad-luck", "date": "2026-01-10"}, "code: expected one of death"),
    ("complication", {"code": "other", "date": "2026-01-10"}, "note: expected what it was"),
    ("complication", {"code": "pe", "date": "2026-01-10", "grade": "VI"}, "grade: expected one of I, II, IIIa"),
    ("readmission", {"reason": "pain", "date": "2025-12-31"}, "date: 2025-12-31 lies before the operation"),
    ("readmission", {"reason": "pain", "date": "2026-02-31"}, "date: expected a day, YYYY-MM-DD"),
    ("reoperation", {"reason": "recurrence", "date": "2026-03-01", "level": "L4/L7"}, "level: expected levels such as"),
    ("measure", {"name": "canal area", "value": "x", "unit": "mm2", "date": "2026-03-01"}, "value: expected a number"),
]


def test_what_cannot_be_is_refused_in_one_sentence_that_begins_with_the_field(registry):
    for entity, given, sentence in REFUSED:
        episode = {} if entity in ("patient", "episode") else {"episode": "E1"}
        with pytest.raises(Refused, match=sentence) as told:
            made(registry, entity, **episode, **given)
        assert told.value.field in str(told.value).split(":")[0]
        assert "\n" not in str(told.value)
    assert counted(registry, Audit) == 2


def test_every_record_leaves_who_made_it_and_what_it_says(registry):
    one = made(registry, "response", episode="E1", instrument="odi", date="2026-01-05", value=52)
    assert one.values["visit"] == "baseline"
    with registry.reading() as session:
        (entry,) = history(session, find(session, "response", str(one.id)))
    assert (entry.actor, entry.action, entry.at, entry.before) == ("ann", "insert", AT, None)
    assert entry.after is not None
    assert (entry.after["value"], entry.after["date"]) == (52.0, "2026-01-05")


def test_answers_are_scored_with_what_was_left_out_said(registry):
    given = {"episode": "E1", "instrument": "odi", "date": "2026-02-20", "items": [2, 2, 2, 2, 2, 2, 2, None, 2, 0]}
    one = made(registry, "response", **given)
    assert one.values["value"] == pytest.approx(100 * 16 / 45)
    assert one.values["visit"] == "6w"
    assert any("1 of 10 items left out" in caveat for caveat in one.caveats)


def test_a_form_with_no_answer_at_all_is_kept_without_a_number(registry):
    one = made(registry, "response", episode="E1", instrument="odi", date="2026-02-20", items=[None] * 10)
    assert one.values["value"] is None
    assert "no score" in one.caveats[0]


def test_a_late_answer_is_kept_and_said_to_be_late(registry):
    one = made(registry, "response", episode="E1", instrument="odi", date="2026-04-20", visit="6w", value=30)
    assert one.caveats == ("day 100 lies outside the window of 6w, days 28 to 70",)


def test_a_correction_replaces_and_the_trail_keeps_both(registry):
    old = made(registry, "response", episode="E1", instrument="odi", date="2026-02-20", value=30)
    new = put_right(registry, "response", str(old.id), value=34)
    assert new.values["replaces_id"] == old.id
    assert counted(registry, Response, Response.voided_at.is_(None)) == 1
    with registry.reading() as session:
        entries = history(session, find(session, "response", str(new.id)))
    assert [(one.action, one.entity_id, one.actor) for one in entries] == [
        ("insert", old.id, "ann"),
        ("void", old.id, "bob"),
        ("update", new.id, "bob"),
    ]
    assert [(one.before or {}).get("value") for one in entries] == [None, 30.0, 30.0]
    assert entries[-1].after is not None
    assert entries[-1].after["value"] == 34.0
    assert entries[-1].reason == "misread"
    with pytest.raises(Refused, match="there is no response"):
        put_right(registry, "response", str(old.id), value=35)


def test_an_episode_is_corrected_under_the_next_version_with_only_the_change_in_the_trail(registry):
    put_right(registry, "episode", "E1", bmi="27.5", smoker="0")
    with registry.reading() as session:
        row = find(session, "episode", "E1")
        assert (row.version, row.bmi, row.smoker, row.asa) == (2, 27.5, False, 2)
        entry = history(session, row)[-1]
    assert entry.before == {"bmi": None, "smoker": True, "version": 1}
    assert entry.after == {"bmi": 27.5, "smoker": False, "version": 2}


def test_a_correction_is_checked_like_a_new_record_with_all_that_hangs_on_it(registry):
    made(registry, "complication", episode="E1", code="dural-tear", date="2026-01-10")
    made(registry, "response", episode="E1", instrument="odi", date="2026-01-05", value=52)
    for entity, key, changes, sentence in [
        ("episode", "E1", {"surgery_date": "2026-01-12"}, "complication 1 on 2026-01-10 lies before the operation on"),
        ("episode", "E1", {"surgery_date": ""}, "lies before the operation on no day"),
        ("episode", "E1", {"surgery_date": "2026-01-02"}, "the baseline 1 of 2026-01-05 lies after 2026-01-02"),
        ("patient", "P1", {"birth_year": "1990"}, "age: 55 years on 2026-01-10 contradict the year of birth 1990"),
        ("response", "1", {"value": "200"}, "value: ODI lies between"),
        ("response", "1", {"colour": "red"}, "colour: is no field of a response"),
        ("response", "one", {"value": "20"}, "expected the number of the record"),
    ]:
        with pytest.raises(Refused, match=sentence):
            put_right(registry, entity, key, **changes)
    with working(registry, "bob", AT) as work, pytest.raises(Refused, match="reason: expected why"):
        correct(work, "response", "1", {"value": "20"}, reason=" ", today=TODAY)
    assert counted(registry, Response, Response.voided_at.is_(None)) == 1


def test_taking_back_a_patient_takes_all_that_hangs_on_it_and_frees_the_pseudonym(registry):
    made(registry, "procedure", episode="E1", operation="discectomy", approach="tubular-paramedian", levels="L4/L5")
    made(registry, "complication", episode="E1", code="dural-tear", date="2026-01-10")
    with working(registry, "bob", AT) as work:
        gone = void(work, "patient", "P1", reason="withdrew")
    assert gone == (("procedures", 1), ("complications", 1), ("episodes", 1), ("patients", 1))
    for model in (Patient, Episode, Procedure, Complication):
        assert counted(registry, model, model.voided_at.is_(None)) == 0
        assert counted(registry, model) == 1
    assert made(registry, "patient", pseudonym="P1").id == 2


def test_nothing_happens_after_death(registry):
    made(registry, "complication", episode="E1", code="death", date="2026-02-01", grade="V")
    with pytest.raises(Refused, match="2026-02-20 lies after the patient's death on 2026-02-01"):
        made(registry, "response", episode="E1", instrument="odi", date="2026-02-20", value=30)


def test_before_the_operation_there_is_only_the_baseline(registry):
    made(registry, "episode", code="E2", patient="P1")
    assert made(registry, "response", episode="E2", instrument="odi", date="2026-05-20", value=40).values["visit"] == (
        "baseline"
    )
    for entity, given, sentence in [
        (
            "response",
            {"instrument": "odi", "visit": "6w", "date": "2026-05-20", "value": 40},
            "no date of operation yet",
        ),
        ("complication", {"code": "pe", "date": "2026-05-20"}, "no date of operation yet, so no complication"),
    ]:
        with pytest.raises(Refused, match=sentence):
            made(registry, entity, episode="E2", **given)


def test_one_refused_record_takes_the_whole_transaction_back(registry):
    def both():
        with working(registry, "ann", AT) as work:
            record(work, "patient", {"pseudonym": "P2"}, today=TODAY)
            record(work, "patient", {"pseudonym": "P1"}, today=TODAY)

    with pytest.raises(Refused):
        both()
    assert counted(registry, Patient) == 1
    assert counted(registry, Audit) == 2


def test_two_who_record_the_same_at_once_are_told_and_one_is_kept(registry):
    if registry.is_file:  # one writer at a time: the second looks after the first has finished
        pytest.skip("SQLite lets no second writer in")
    given = {"episode": "E1", "instrument": "odi", "date": "2026-02-20", "value": 30}

    def second():
        with registry.writing() as session:
            session.add(Response(episode_id=1, instrument="odi", visit="6w", date=date(2026, 2, 20), value=31.0))
            made(registry, "response", **given)  # between the other's look and its writing

    with pytest.raises(Refused, match="recorded already"):
        second()
    assert counted(registry, Response) == 1


def test_who_records_must_have_a_name(registry):
    for name in ("", "  ", "a\nb", "x" * 200):
        with pytest.raises(InvalidInput, match="by: who records must be named"), working(registry, name, AT):
            pass


@pytest.mark.slow  # loads what planning loads
def test_the_lists_of_words_are_those_of_the_catalogues():
    from keyhole.evidence import procedures
    from keyhole.plan import catalogue

    own = approaches()
    assert {name: one.kind != "open" for name, one in catalogue().items()}.items() <= own.items()
    assert set(own) - set(catalogue()) == {"other-small", "other-open"}
    assert set(operations()) == {*procedures(), "other"}
    wanted = {"dural-tear", "surgical-site-infection", "nerve-injury", "haematoma", "wrong-level", "dvt", "pe", "death"}
    assert wanted <= set(codes("complications"))
    assert all("other" in codes(kind) for kind in ("indications", "complications", "readmissions", "reoperations"))
    with pytest.raises(InvalidInput, match="no list of codes"):
        codes("colours")
