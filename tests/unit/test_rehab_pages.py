"""The programme on pages, in drawings and in a calendar."""

import datetime
import itertools
import math
import re
from functools import cache

import pytest
import rehab_case as made

from keyhole.casefile import RESEARCH_USE, RehabRecord, SignOff
from keyhole.errors import WrongCase
from keyhole.recovery.rehab import Overrides, build, exercises
from keyhole.report.rehab import FIGURES, calendar, figure_svg, rehab_files
from keyhole.report.rehab.figures import FLOOR, FORE, HEAD, SHANK, THIGH, TRUNK, UPPER, WIDTH, figure_size, joints
from keyhole.report.rehab.pages import patient_content, patient_page, patient_paper, therapist_page

NAME = "Doe-Jane-1971"


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> RehabRecord:
    return build(made.case(tmp_path_factory.mktemp("case"), name=NAME), date="2026-12-01")


@cache
def unfolded(content: bytes) -> tuple[str, ...]:
    """The content lines of an iCalendar file by RFC 5545, 3.1, read without Keyhole's writer."""
    text = content.decode("utf-8")
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    return tuple(text.replace("\r\n ", "").split("\r\n")[:-1])


def events(content: bytes) -> list[dict[str, str]]:
    """Each VEVENT as its properties (parameters left on the name); the nesting is checked on the way."""
    found, stack = [], []
    for line in unfolded(content):
        name, _, value = line.partition(":")
        if name == "BEGIN":
            stack.append(value)
            if value == "VEVENT":
                found.append({})
        elif name == "END":
            assert stack.pop() == value
        elif stack[-1] == "VEVENT":
            assert name not in found[-1]
            found[-1][name] = re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value)
    assert stack == []
    return found


def test_the_calendar_says_when_each_part_begins_and_ends(record):
    by_uid = {one["UID"].partition("-")[2].partition("@")[0]: one for one in events(calendar(record))}
    assert len(by_uid) == 3 * len(record.phases)
    for n, phase in enumerate(record.phases, start=1):
        first, last = (datetime.date(2026, 12, 1) + datetime.timedelta(d) for d in (phase.from_day, phase.to_day))
        assert by_uid[f"part{n}-start"]["DTSTART;VALUE=DATE"] == first.strftime("%Y%m%d")
        assert by_uid[f"part{n}-daily"]["RRULE"] == f"FREQ=DAILY;UNTIL={last:%Y%m%d}"
        assert by_uid[f"part{n}-check"]["DTSTART;VALUE=DATE"] == last.strftime("%Y%m%d")
    for one in by_uid.values():
        start, stop = (datetime.datetime.strptime(one[f"DT{w};VALUE=DATE"], "%Y%m%d") for w in ("START", "END"))
        assert stop - start == datetime.timedelta(days=1)
        assert re.fullmatch(r"\d{8}T\d{6}Z", one["DTSTAMP"])
        assert RESEARCH_USE in one["DESCRIPTION"]


def test_lines_of_the_calendar_are_folded_at_75_octets(record):
    lines = calendar(record).split(b"\r\n")
    assert max(len(line) for line in lines) == 75
    assert any(line.startswith(b" ") for line in lines)
    heads = unfolded(calendar(record))
    assert heads[:3] == ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Keyhole//Recovery programme//EN")


def test_a_line_is_never_folded_within_a_character():
    from keyhole.report.rehab.calendar import _folded

    written = _folded("SUMMARY:" + "é" * 100)
    assert all(len(line) <= 75 and line.decode() is not None for line in written.split(b"\r\n"))
    assert written.decode().replace("\r\n ", "") == "SUMMARY:" + "é" * 100 + "\r\n"


def test_the_calendar_holds_no_word_of_the_patient(record):
    text = "\n".join(unfolded(calendar(record))).lower()
    for word in (NAME, "doe", "1971", "made-up", "l4", "l5", "disc", "spin", "back", "surg", "operat", "leg", "pain"):
        assert word.lower() not in text, word


def test_uids_stay_and_the_sequence_grows_when_the_day_changes(tmp_path):
    from keyhole.recovery.rehab import rehab_case

    case = made.case(tmp_path)
    before = events(calendar(rehab_case(case, date="2026-12-01")))
    after = events(calendar(rehab_case(case, date="2027-02-20")))
    assert [one["UID"] for one in before] == [one["UID"] for one in after]
    assert len({one["UID"] for one in before}) == len(before)
    assert {one["SEQUENCE"] for one in before} == {"0"}
    assert {one["SEQUENCE"] for one in after} == {"1"}
    other = events(calendar(build(made.case(tmp_path / "other", name="other"), date="2026-12-01")))
    assert not {one["UID"] for one in other} & {one["UID"] for one in before}


def test_days_are_right_over_a_leap_day(tmp_path):
    record = build(made.case(tmp_path), date="2028-02-20")
    check = next(one for one in events(calendar(record)) if "part1-check" in one["UID"])
    assert check["DTSTART;VALUE=DATE"] == "20280304"


def test_without_a_day_there_is_no_calendar(tmp_path):
    record = build(made.case(tmp_path))
    assert record.start is None
    assert any("day of the operation is not known" in one for one in record.caveats)
    with pytest.raises(WrongCase, match="--date"):
        calendar(record)


def test_every_page_says_what_it_is_and_that_nobody_signed(record):
    for page in (patient_page(NAME, record), therapist_page(NAME, record)):
        text = page.decode()
        assert text.count(RESEARCH_USE) == 2
        assert "signed off" in text
        assert "http://" not in re.sub(r'(<li id="source-.*?</li>|xmlns="http://www.w3.org/2000/svg")', "", text)
        assert "<script" not in text
    assert "No one at the clinic has signed off this list yet" in patient_page(NAME, record).decode()
    assert "not signed off by the clinic" in therapist_page(NAME, record).decode()


def test_the_patient_is_told_where_nobody_checked_the_levels(record):
    assert "levels not confirmed" in record.caveats
    assert '<p class="warning" role="note">' in patient_page(NAME, record).decode()
    checked = record.model_copy(update={"caveats": ()})
    assert '<p class="warning" role="note">' not in patient_page(NAME, checked).decode()


def test_a_signed_list_names_who_answers_and_the_warning_goes(record):
    by = SignOff(by="Dr <b>A</b>", date="2026-11-22", sha256=record.red_flags_sha256)
    signed = record.model_copy(update={"signed_off": by})
    for page in (patient_page(NAME, signed), therapist_page(NAME, signed)):
        text = page.decode()
        assert "Checked for the clinic by Dr &lt;b&gt;A&lt;/b&gt; on 22 November 2026." in text
        assert "No one at the clinic" not in text
        assert "Do not hand out" not in text


def test_the_patient_reads_warning_signs_before_any_exercise(record):
    text = patient_page(NAME, record).decode()
    assert text.index("Go to an emergency department now") < text.index("Part 1: Moving early</h2>")
    for flag in record.red_flags:
        assert flag.text in text
    for phase in record.phases:
        assert all(criterion.text in text for criterion in phase.criteria)


def test_the_therapist_sees_every_position_of_every_conflict_with_its_source(record):
    text = therapist_page(NAME, record).decode()
    for one in record.conflicts:
        assert all(position.says in text for position in one.positions)
        assert one.why in text
    assert all(f'id="source-{n}"' in text for n in range(1, len(record.protocol.sources) + 1))
    used = {int(n) for n in re.findall(r'href="#source-(\d+)"', text)}
    assert used <= set(range(1, len(record.protocol.sources) + 1))
    assert "nrs-leg at most 5 of 10" in text


def test_what_the_surgeon_set_is_named_on_both_pages(tmp_path):
    asked = Overrides((("lifting", "none"), ("brace", "Wear <the> blue one.")), "Dr A. Example")
    record = build(made.case(tmp_path), overrides=asked)
    patient, therapist = (page(NAME, record).decode() for page in (patient_page, therapist_page))
    assert "Changed for you by Dr A. Example." in patient
    assert "Wear &lt;the&gt; blue one." in patient
    assert "(was four-kg), by Dr A. Example" in therapist


def test_dates_of_a_part_are_said_once_where_they_share_month_or_year(record):
    said = [part["dates"] for part in patient_content(NAME, record)["parts"]]
    assert said[0] == "1 to 14 December 2026"
    assert said[1] == "15 December 2026 to 11 January 2027"
    assert said[2] == "12 January to 22 February 2027"


def test_the_paper_is_a_pdf_and_the_same_bytes_twice(record):
    paper = patient_paper(NAME, record)
    assert paper.startswith(b"%PDF-")
    assert patient_paper(NAME, record) == paper


def test_files_of_a_programme_without_a_day_hold_no_calendar(tmp_path):
    from keyhole.casefile import CaseRecord

    case = made.case(tmp_path)
    assert "rehab.ics" not in rehab_files(case.read(CaseRecord), build(case))


def test_every_exercise_has_a_drawing_and_every_drawing_an_exercise():
    assert FIGURES.keys() == exercises().keys()


@pytest.mark.parametrize("key", FIGURES)
def test_a_drawn_person_keeps_their_limbs_and_stays_in_the_picture(key):
    figure = FIGURES[key]
    width, height = figure_size(figure)
    assert width == WIDTH * len(figure.panels)
    assert "http" not in figure_svg(figure).replace("http://www.w3.org/2000/svg", "")
    for panel in figure.panels:
        found = joints(panel.body)
        lengths = {"trunk": (TRUNK,), "arm": (UPPER, FORE), "leg": (THIGH, SHANK)}
        for limb, expected in lengths.items():
            pairs = itertools.pairwise(found[limb][: len(expected) + 1])
            assert [math.dist(a, b) for a, b in pairs] == pytest.approx(list(expected))
        every = [point for limb in found.values() for point in limb]
        assert all(0 <= x <= WIDTH and -6 <= y <= FLOOR for x, y in every), key
        assert found["head"][1][1] + HEAD <= height
        assert figure.alt.endswith(".")
