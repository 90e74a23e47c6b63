"""All measures of a patient, gathered, graded and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.reading import images_of, load
from keyhole.assessment.alignment.panel import body_panel
from keyhole.assessment.alignment.pelvis_panel import pelvis_panel
from keyhole.assessment.canal.panel import canal_panel
from keyhole.assessment.canal.recess_panel import recess_panel
from keyhole.assessment.disc.panel import disc_panel
from keyhole.assessment.flank.facet_panel import facet_panel
from keyhole.assessment.flank.foramen_panel import foramen_panel
from keyhole.assessment.flank.kambin_panel import kambin_panel
from keyhole.assessment.model import Finding, drawn, entry
from keyhole.assessment.muscle.panel import muscle_panel
from keyhole.assessment.norms.indicated import indicated
from keyhole.assessment.readers.case import READINGS, levels_of, with_readings
from keyhole.assessment.study import Study, position_of
from keyhole.assessment.vertebra.panel import vertebra_panel
from keyhole.casefile import Case, CaseRecord, DrawingsRecord, FindingEntry, FindingsRecord, provenance
from keyhole.terms import are_neighbours, rank

Progress = Callable[[str, float], None]
Panel = Callable[[Study], Iterable[Finding]]

PANELS: tuple[tuple[str, Panel], ...] = (
    ("bodies and discs", body_panel),
    ("discs", disc_panel),
    ("pelvis", pelvis_panel),
    ("canal", canal_panel),
    ("lateral recesses", recess_panel),
    ("vertebrae", vertebra_panel),
    ("foramina", foramen_panel),
    ("muscles", muscle_panel),
    ("facets", facet_panel),
    ("Kambin's triangles", kambin_panel),
)
"""What is measured, in the order in which it is reported within a level."""


def assess_case(case: Case, progress: Progress | None = None, *, held: Anatomy | None = None) -> FindingsRecord:
    """Measure `case` and put findings.json and drawings.json in it; `held` as in `reading.load`."""
    tell = progress or _silent
    tell("Reading the case", 0.0)
    record = case.read(CaseRecord)
    anatomy = load(case, with_image=False, held=held)
    study = Study(anatomy, images_of(case, record), record.patient, position_of(case, record))
    found = measured(study, tell)
    entries, notes = with_readings(case, tuple(entry(one) for one in found))
    made = provenance({**anatomy.files, **case.digest(READINGS)})
    findings = FindingsRecord(
        schema="keyhole.findings/1",
        findings=entries,
        indicated=indicated(entries, levels_of(entries), record.patient),
        levels=anatomy.level_state,
        caveats=(*anatomy.caveats, *notes),
        provenance=made,
    )
    drawings = tuple(shapes for one in found if (shapes := drawn(one)) is not None)
    case.write(DrawingsRecord(schema="keyhole.drawings/1", drawings=drawings, provenance=made))
    case.write(findings)
    tell("Findings written", 1.0)
    return findings


def _silent(_sentence: str, _share: float) -> None:
    """No one is watching."""


def assess(anatomy: Anatomy) -> tuple[FindingEntry, ...]:
    """Every measure of docs/measures.md that needs no image, at every lumbar level in view, cranial to caudal.

    What cannot be known here has value None and a caveat that says why.
    """
    return tuple(entry(one) for one in measured(Study(anatomy)))


def measured(study: Study, progress: Progress | None = None) -> tuple[Finding, ...]:
    """Every measure of `study`: vertebra by vertebra and level by level from cranial to caudal, spans last."""
    tell = progress or _silent
    found: list[Finding] = []
    for n, (name, panel) in enumerate(PANELS):
        tell(f"Measuring {name}", 0.3 + 0.65 * n / len(PANELS))
        found += panel(study)
    return tuple(sorted(found, key=_place))


def _place(found: Finding) -> tuple[bool, int, bool]:
    """Spans last; a vertebra comes before the level below it."""
    first, _, second = found.measurement.level.partition("/")
    return bool(second) and not are_neighbours(first, second), rank(first), bool(second)
