"""The sheet for the patient, as a page and on paper, and the summary for the therapist."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from keyhole import __version__
from keyhole.anatomy.gate import NOT_CONFIRMED
from keyhole.casefile import RESEARCH_USE, ExerciseEntry, RehabRecord
from keyhole.recovery.rehab import UNSIGNED
from keyhole.report.decision import set_paper
from keyhole.report.page import environment
from keyhole.report.rehab import said
from keyhole.report.rehab.figures import figure_size, figure_svg
from keyhole.report.rehab.poses import FIGURES


def patient_page(case: str, record: RehabRecord) -> bytes:
    """The patient's sheet as one HTML file that needs nothing else."""
    style = _template("patient.css") + _template("rehab_patient.css")
    return _render("rehab_patient.html", p=patient_content(case, record), style=style, drawings=_drawings(record))


def patient_paper(case: str, record: RehabRecord) -> bytes:
    """The patient's sheet as an A4 PDF; the same bytes for the same programme."""
    return set_paper("rehab_patient.typ", patient_content(case, record), _drawings(record))


def therapist_page(case: str, record: RehabRecord) -> bytes:
    """The therapist's summary as one HTML file that needs nothing else."""
    cited = {one.key: n for n, one in enumerate(record.protocol.sources, start=1)}
    return _render(
        "rehab_therapist.html",
        r=record,
        case=case,
        style=_template("style.css"),
        version=__version__,
        research=RESEARCH_USE,
        said=said,
        acts=said.ACTS,
        cited=cited,
        caveats=[one for one in record.caveats if one != UNSIGNED],
    )


def patient_content(case: str, record: RehabRecord) -> dict[str, Any]:
    """What the patient's sheet says, without drawings."""
    return {
        "case": case,
        "version": __version__,
        "research": RESEARCH_USE,
        "operation": record.procedure_title,
        "levels": ", ".join(record.levels),
        "date": "" if record.start is None else said.day(record.start, 0),
        "signed": said.signed(record),
        "warning": said.UNCHECKED if _is_unconfirmed(record) else "",
        "flags": [
            {"title": title, "kind": act, "texts": [one.text for one in record.red_flags if one.act == act]}
            for act, title in said.ACTS
        ],
        "own": [one.patient for one in record.fitted if one.patient],
        "set_by": _names(record),
        "parts": [_part(record, n) for n in range(len(record.phases))],
        "questions": [{"question": one.question, "followed": one.followed, "by": one.by} for one in record.conflicts],
        "protocol": f"{record.protocol.name}, version {record.protocol.version}",
    }


def _is_unconfirmed(record: RehabRecord) -> bool:
    return any(one.startswith(NOT_CONFIRMED) for one in record.caveats)


def _part(record: RehabRecord, n: int) -> dict[str, Any]:
    phase = record.phases[n]
    weeks = said.weeks(phase)
    return {
        "n": n + 1,
        "name": phase.name,
        "weeks": weeks[:1].upper() + weeks[1:],
        "dates": said.dates(record, phase),
        "about": phase.about,
        "goals": list(phase.goals),
        "precautions": list(phase.precautions),
        "exercises": [
            {
                "key": one.key if one.drawn else "",
                **_drawn(one),
                "title": one.title,
                "dose": one.dose[:1].upper() + one.dose[1:],
                "how": list(one.how),
                "stop": one.stop,
            }
            for one in phase.exercises
        ],
        "criteria": [one.text for one in phase.criteria],
        "is_last": n == len(record.phases) - 1,
    }


def _drawn(one: ExerciseEntry) -> dict[str, Any]:
    """How the drawing of an exercise is placed: its words, whether it takes two columns, its width on paper."""
    if not one.drawn:
        return {"wide": False, "alt": "", "mm": 0}
    figure = FIGURES[one.key]
    width, height = figure_size(figure)
    most = 40.0 * len(figure.panels) ** 0.75
    return {"wide": len(figure.panels) > 1, "alt": figure.alt, "mm": round(min(most, 27.0 * width / height))}


def _names(record: RehabRecord) -> str:
    """Who changed something for this patient."""
    return " and ".join(dict.fromkeys(one.by for one in record.overrides))


def _drawings(record: RehabRecord) -> dict[str, str]:
    used = dict.fromkeys(one.key for phase in record.phases for one in phase.exercises if one.drawn)
    return {key: figure_svg(FIGURES[key]) for key in used}


def _template(name: str) -> str:
    return files("keyhole.report").joinpath("templates", name).read_text(encoding="utf-8")


def _render(name: str, **values: Any) -> bytes:
    return environment().get_template(name).render(**values).lstrip().encode()
