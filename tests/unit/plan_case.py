"""The painted back as a case folder, to plan from files."""

from pathlib import Path

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import Case, CaseRecord, LabelsRecord, StructureEntry, provenance, to_json
from keyhole.casefile.store import write_bytes
from keyhole.imaging import write_nifti


def stored(anatomy: Anatomy, folder: Path) -> Case:
    """The labels of `anatomy` in a new case `folder`, without an image."""
    folder.mkdir()
    write_nifti(anatomy.labels, folder / "labels.nii.gz")
    known = anatomy.structures
    entries = {
        n: StructureEntry(key=key, origin=known[key].origin.value, source="test", sd=known[key].sd)
        for n, key in anatomy.labels.structures.items()
    }
    made_by = provenance({})
    write_bytes(folder / "case.json", to_json(CaseRecord(id="painted", numbering="the test", provenance=made_by)))
    write_bytes(folder / "labels.json", to_json(LabelsRecord(structures=entries, provenance=made_by)))
    return Case(folder)
