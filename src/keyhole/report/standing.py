"""What the report says of the levels' names and of the images: evidence, confirmation, quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyhole.casefile import CaseRecord, EvidenceEntry, FindingsRecord, LabelsRecord, PlanRecord, QualityItem
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import Text

SAYS = {True: "for", False: "against", None: "neither"}
AGAINST = "Something speaks against the names of the levels: {what}. Look at the numbered spine before reading on."

_KINDS = {"file": "the file", "pelvis": "iliac crests", "shape": "shapes", "user": "a person"}
_UNITS = {"[hnsf'U]": "HU", "1": ""}


def evidence_table(evidence: Sequence[EvidenceEntry]) -> Table | None:
    """What speaks for and against the names of the levels; None where nothing is known."""
    if not evidence:
        return None
    rows = tuple(Row((Text(_KINDS.get(e.kind, e.kind)), Text(SAYS[e.supports]), Text(_sentence(e)))) for e in evidence)
    heads = (Column("Evidence"), Column("Speaks"), Column("Finding, and what it would mean"))
    return Table("evidence", "What speaks for and against the names of the levels", heads, rows)


def _sentence(entry: EvidenceEntry) -> str:
    return f"{entry.finding}{f': {entry.means}' if entry.means else ''}"


def quality_table(found: Mapping[str, Sequence[QualityItem]]) -> Table | None:
    """How good each image is; None where nothing was judged."""
    rows: list[Row] = []
    for name, items in found.items():
        if items:
            rows.append(Row((Text(name),), "group"))
            rows += [
                Row((Text(i.name), Text(_value(i), known=i.value is not None), Text(i.verdict), Text(i.consequence)))
                for i in items
            ]
    heads = (Column("Property"), Column("Value"), Column("Verdict"), Column("What follows"))
    foot = (
        "Verdicts rest on thresholds of Keyhole's own choice, seen on a sample of each image; they say what to mind, "
        "not whether an image is worth looking at."
    )
    return Table("quality", "How good the images are", heads, tuple(rows), foot) if rows else None


def _value(item: QualityItem) -> str:
    if item.value is None:
        return "not known"
    value = item.value if isinstance(item.value, str) else f"{item.value:.3g}"
    return f"{value} {_UNITS.get(item.unit, item.unit)}".rstrip()


def warnings(labels: LabelsRecord, quality: Mapping[str, Sequence[QualityItem]]) -> list[str]:
    """What has to stand above everything else: evidence against the names, and images that are not usable."""
    said = [AGAINST.format(what=_sentence(e)) for e in labels.evidence if e.supports is False]
    for name, items in quality.items():
        said += [
            f"{name}: {item.name} is unusable. {item.consequence[:1].upper()}{item.consequence[1:]}."
            for item in items
            if item.verdict == "unusable"
        ]
    return said


def confirmed(case: CaseRecord) -> Text:
    """Who confirmed the levels, when, and why."""
    said = case.confirmation
    if said is None:
        return Text("no", known=False)
    when = f" on {said.at}" if said.at else ""
    why = f"; {said.note}" if said.note else ""
    return Text(f"by {said.by}{when}; lowest lumbar vertebra {said.lowest_lumbar}{why}")


def made_before(findings: FindingsRecord | None, plan: PlanRecord | None) -> str:
    """Which results were made before the levels were confirmed, on the same labels; empty where none."""
    made = [
        name
        for name, record in (("findings", findings), ("plan", plan))
        if record is not None and record.levels is not None and record.levels.confirmation is None
    ]
    was = "was" if made == ["plan"] else "were"
    return f"the {' and the '.join(made)} {was} made before the confirmation, on the same labels" if made else ""
