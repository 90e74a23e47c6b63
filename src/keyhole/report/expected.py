"""The pages of what to expect: the decision aid for the patient, and its evidence for the surgeon."""

from __future__ import annotations

from collections.abc import Sequence

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import ForecastRecord
from keyhole.errors import NotInScan
from keyhole.report.content import Records
from keyhole.report.decision import aid_page, aid_paper, outlook_page, outlook_paper
from keyhole.report.meshes import Part
from keyhole.report.opening import Opening, openings
from keyhole.report.outlook import outlook
from keyhole.report.patient import aid, candidate_of, described
from keyhole.report.sentences import sentences

EXPECTED = (("forecast.html", "What to expect"), ("patient.html", "For the patient"))
"""The pages beside the report, and how it calls them."""


def expected_files(
    records: Records, record: ForecastRecord, anatomy: Anatomy, surfaces: Sequence[Part], lang: str = "en"
) -> dict[str, bytes]:
    """Every file of what to expect, by name; `records` hold the plan that the forecast was made from."""
    words = sentences(lang)
    is_confirmed = records.case.confirmation is not None and anatomy.levels_confirmed
    drawn, alts = _drawn(records, record, anatomy, surfaces, words_lang=lang)
    made = aid(records.case, record, drawn, words, is_confirmed=is_confirmed, alts=alts)
    said = outlook(records.case, record, is_confirmed=is_confirmed)
    return {
        "patient.html": aid_page(made, words),
        "patient.pdf": aid_paper(made, words),
        "forecast.html": outlook_page(said),
        "forecast.pdf": outlook_paper(said),
    }


def _drawn(
    records: Records, record: ForecastRecord, anatomy: Anatomy, surfaces: Sequence[Part], *, words_lang: str
) -> tuple[tuple[Opening, ...], list[tuple[str, str]]]:
    """Both openings and what they show; none without an open operation in the plan, or outside the labels."""
    plan = records.plan
    if plan is None or plan.open is None:
        return (), []
    shown = [candidate_of(record, plan.candidates), plan.open]
    alts = described(record, shown, sentences(words_lang))
    try:
        return openings(anatomy, surfaces, record.level, shown, alts), alts
    except NotInScan:
        return (), []
