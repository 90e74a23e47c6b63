"""The patient under measurement: the anatomy, the images, and what has to be said of the labels involved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.casefile import Case, CaseRecord, Patient, read_record
from keyhole.geometry import Volume
from keyhole.imaging import ImageRecord
from keyhole.terms import Origin, belongs, rank, split

UNCONFIRMED = "levels not confirmed: nobody has checked the names of the vertebrae"


@dataclass(frozen=True, eq=False)
class Study:
    """One patient under measurement.

    `images` gives each image of the case when it is asked for, by what it shows: "CT", "T2", "T1",
    or "MR" for whatever weighting. It is read once. `position` is the DICOM patient position, "HFS" for someone on
    the back, None where it is not known or the images disagree.
    """

    anatomy: Anatomy
    images: Mapping[str, Callable[[], Volume]] = field(default_factory=dict)
    patient: Patient = field(default_factory=Patient)
    position: str | None = None

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The lumbar levels with both vertebrae in view, cranial to caudal, "L4/L5"; T12/L1 is the first."""
        return tuple(level for level in self.anatomy.levels if split(level)[1][0] in "LS")

    @cached_property
    def vertebrae(self) -> tuple[Vertebra, ...]:
        """The lumbar vertebrae in view and S1, cranial to caudal."""
        known = self.anatomy.vertebrae
        return tuple(known[name] for name in sorted(known, key=rank) if name[0] in "LS")

    @cached_property
    def general(self) -> tuple[str, ...]:
        """Caveats of every measure."""
        return () if self.anatomy.levels_confirmed else (UNCONFIRMED,)

    def image(self, kind: str) -> Volume | None:
        """The image of this kind ("CT", "T2", "T1", "MR"); None where the case has none."""
        if kind not in self._read and kind in self.images:
            self._read[kind] = self.images[kind]()
        return self._read.get(kind)

    @cached_property
    def _read(self) -> dict[str, Volume]:
        return {}


def position_of(case: Case, record: CaseRecord) -> str | None:
    """The DICOM patient position in which every image of `case` was taken; None where it is not one and the same."""
    files = [case.path / "images" / f"{one.name}.json" for one in record.images]
    told = {
        read_record(file, ImageRecord).identifiers.get("PatientPosition") if file.is_file() else None for file in files
    }
    return told.pop() if len(told) == 1 else None


def plates(upper: Vertebra, lower: Vertebra) -> tuple[Endplate, Endplate, Endplate] | None:
    """Superior and inferior endplate of `upper`, superior of `lower`; None unless both vertebrae are whole."""
    if not (upper.complete and lower.complete):
        return None
    if upper.superior is None or upper.inferior is None or lower.superior is None:
        return None
    return upper.superior, upper.inferior, lower.superior


def cut(*vertebrae: Vertebra) -> str:
    """The reason why incomplete ones among `vertebrae` are not measured."""
    names = " and ".join(vertebra.name for vertebra in vertebrae if not vertebra.complete)
    return f"{names} cut by the field of view or not found whole; not measured"


def body_prefix(anatomy: Anatomy, name: str) -> str:
    """The key of a body where it has one, else of the whole vertebra."""
    body = f"vertebra/{name}/body"
    return body if body in anatomy.structures else f"vertebra/{name}"


def boundary_sd(anatomy: Anatomy, *prefixes: str) -> float:
    """The largest boundary sd, mm, of the structures at or below any of `prefixes`."""
    return max((one.sd for key, one in anatomy.structures.items() if belongs(key, *prefixes)), default=0.0)


def body_notes(anatomy: Anatomy, *vertebrae: Vertebra) -> tuple[str, ...]:
    """Caveats of bodies and of the labels that they come from."""
    prefixes = [body_prefix(anatomy, vertebra.name) for vertebra in vertebrae]
    return (*(note for vertebra in vertebrae for note in vertebra.caveats), *origin_notes(anatomy, *prefixes))


def origin_notes(anatomy: Anatomy, *prefixes: str) -> tuple[str, ...]:
    """One sentence for each structure at or below `prefixes` that was not labelled, and the structures' own caveats."""
    notes: list[str] = []
    for key in sorted(anatomy.structures):
        one = anatomy.structures[key]
        if belongs(key, *prefixes):
            notes += [] if one.origin is Origin.LABELLED else [f"{key} is {one.origin}, not labelled: {one.source}"]
            notes += one.caveats
    return tuple(dict.fromkeys(notes))
