"""The measures in the order and under the short names in which the report shows them."""

from __future__ import annotations

from typing import NamedTuple

from keyhole.errors import InvalidInput
from keyhole.terms import split


class Place(NamedTuple):
    """Where a measure stands: the number and title of its group, its place in it, its short name for pictures."""

    group: int
    title: str
    rank: int
    short: str


WHERE = (" at the facets", " at the pedicles")
"""Endings of a name that say at which height of the canal it was taken."""

SHOWN_SLIP = 3.0
"""Slip, mm either way, from which the overview marks it [keyhole-choice]."""

_CANAL = (
    ("canal area", "canal"),
    ("canal AP diameter", "canal AP"),
    ("canal transverse diameter", "canal width"),
    ("least canal area", "least canal"),
    ("least canal AP diameter", "least canal AP"),
    ("canal compression ratio", "canal ratio"),
    ("dural sac area", "sac"),
    ("dural sac AP diameter", "sac AP"),
    ("dural sac transverse diameter", "sac width"),
    ("least dural sac area", "least sac"),
    ("dural sac compression ratio", "sac ratio"),
    ("CSF signal ratio", "CSF"),
)
_SIDES = (
    ("lateral recess depth", "recess"),
    ("lateral recess angle", "recess angle"),
    ("foramen height", "height"),
    ("foramen width", "width"),
    ("foramen area", "foramen"),
    ("Kambin base", "Kambin base"),
    ("Kambin height", "Kambin height"),
    ("Kambin hypotenuse", "Kambin hyp."),
    ("Kambin cannula with root", "cannula, root"),
    ("Kambin cannula with bone", "cannula, bone"),
)
_DISC = (
    ("disc height", "disc"),
    ("anterior disc height", "anterior"),
    ("posterior disc height", "posterior"),
    ("disc height index", "index"),
    ("disc wedge angle", "wedge"),
    ("coronal disc wedge", "wedge"),
    ("disc volume", "disc"),
    ("disc signal ratio", "disc signal"),
    ("herniation depth", "herniation"),
    ("herniation volume", "herniation"),
    ("herniation offset", "offset"),
    ("herniation migration", "migration"),
    ("herniation circumference", "beyond the rim"),
)
_VERTEBRA = (
    ("anterior vertebral height", "anterior"),
    ("middle vertebral height", "middle"),
    ("posterior vertebral height", "posterior"),
    ("vertebral height loss", "loss"),
    ("vertebral density", "density"),
    ("vertebral density for fusion", "density for fusion"),
    ("pedicle width", "width"),
    ("pedicle height", "height"),
    ("pedicle transverse angle", "transverse"),
    ("pedicle sagittal angle", "sagittal"),
)
_FACETS = (("facet angle", "facet"), ("facet tropism", "tropism"), ("facet joint area", "joint"))
_ALIGNMENT = (
    ("slip", "slip"),
    ("slip ratio", "slip"),
    ("lateral slip", "lateral slip"),
    ("segmental lordosis", "lordosis"),
    ("lumbar lordosis", "lordosis"),
    ("ideal lumbar lordosis", "ideal"),
    ("coronal Cobb angle", "Cobb"),
    ("pelvic incidence", "incidence"),
    ("sacral slope, supine", "sacral slope"),
    ("pelvic tilt, supine", "pelvic tilt"),
)
_MUSCLES = tuple(
    (f"{muscle} {what}", f"{muscle}{'' if what == 'area' else ' ' + what}")
    for muscle in ("psoas", "paraspinal", "multifidus")
    for what in ("area", "volume", "fat share")
)
_READERS = tuple(
    (name, "")
    for name in (
        "spinal canal stenosis", "subarticular stenosis", "neural foraminal narrowing",
        "Schizas grade", "Lee foraminal grade", "Pfirrmann grade", "Modic type",
    )
)  # fmt: skip
GROUPS = (
    ("Canal and dural sac", _CANAL),
    ("Lateral recess and foramen", _SIDES),
    ("Disc", _DISC),
    ("Vertebra", _VERTEBRA),
    ("Facets", _FACETS),
    ("Alignment", _ALIGNMENT),
    ("Muscle", _MUSCLES),
    ("Readers' grades", _READERS),
)
"""Title of each group with its measures' names and short names; a name that stands in none comes last, as "Other"."""

WHOLE = frozenset(
    ("lumbar lordosis", "ideal lumbar lordosis", "coronal Cobb angle", "pelvic incidence", "sacral slope, supine")
) | {"pelvic tilt, supine"}
"""Measures of the whole lumbar spine and the pelvis, whatever level they name."""

_PLACES = {
    name: Place(n, title, 3 * rank, short)
    for n, (title, members) in enumerate(GROUPS)
    for rank, (name, short) in enumerate(members)
}
_LAST = Place(len(GROUPS), "Other", 0, "")


def place(name: str) -> Place:
    """Where the measure `name` stands in the report."""
    base = name
    for n, ending in enumerate(WHERE, start=1):
        base = name.removesuffix(ending)
        if base != name and base in _PLACES:
            return _PLACES[base]._replace(rank=3 * len(_PLACES) * n + _PLACES[base].rank)
    return _PLACES.get(name, _LAST._replace(short=name))


def kind(name: str, level: str | None) -> str:
    """What a measure belongs to: "level" for what lies between two vertebrae, "vertebra", or "whole"."""
    if level is None or name in WHOLE:
        return "whole"
    if "/" not in level:
        return "vertebra"
    try:
        split(level)
    except InvalidInput:
        return "whole"
    return "level"
