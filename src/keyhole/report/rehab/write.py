"""The files of a programme, and putting them into the report's folder."""

from __future__ import annotations

from pathlib import Path

from keyhole.casefile import Case, CaseRecord, RehabRecord, write_bytes
from keyhole.report.rehab.calendar import calendar
from keyhole.report.rehab.pages import patient_page, patient_paper, therapist_page

PAGES = (("rehab-patient.html", "Recovery programme"), ("rehab-therapist.html", "For the therapist"))
"""The pages beside the report, and how it calls them."""

_NAMES = {
    "patient": "rehab-patient.html",
    "patient, on paper": "rehab-patient.pdf",
    "therapist": "rehab-therapist.html",
    "calendar": "rehab.ics",
}


def rehab_files(case: CaseRecord, record: RehabRecord) -> dict[str, bytes]:
    """Every file of the programme by name; no calendar where there is no day of the operation."""
    made = {
        "rehab-patient.html": patient_page(case.id, record),
        "rehab-patient.pdf": patient_paper(case.id, record),
        "rehab-therapist.html": therapist_page(case.id, record),
    }
    return made | ({"rehab.ics": calendar(record)} if record.start is not None else {})


def write_rehab(case: Case, record: RehabRecord) -> dict[str, Path]:
    """Write the files of `record` into the report's folder of `case`, each whole or not at all; paths by what they are.

    A calendar of an earlier programme goes where this one has no day to count from.
    """
    folder = case.path / "report"
    made = rehab_files(case.read(CaseRecord), record)
    for name, content in made.items():
        write_bytes(folder / name, content)
    if "rehab.ics" not in made:
        (folder / "rehab.ics").unlink(missing_ok=True)
    return {what: folder / name for what, name in _NAMES.items() if name in made} | {"data": case.path / "rehab.json"}
