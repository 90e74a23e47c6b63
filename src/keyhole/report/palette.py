"""One colour per kind of structure and per approach, the same on slices, in 3D and in charts.

Structures take the Okabe-Ito set and neutral sand for bone; approaches take dark colours that differ in lightness
too, so that both stay apart for colour-blind readers and in grey print.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from keyhole.plan.approaches import catalogue
from keyhole.terms import belongs


@dataclass(frozen=True, slots=True)
class Group:
    """Structures that are drawn alike: a legend entry, a switch in the viewer, a contour colour."""

    name: str
    title: str
    prefixes: tuple[str, ...]
    colour: str  # surfaces, legends
    line: str  # contours on a dark image
    opacity: float
    shown: bool  # in the viewer when the page opens
    outlined: bool = True  # on slices


GROUPS = (
    Group("herniation", "Herniation", (), "#cc79a7", "#e594c2", 1.0, True),
    Group("disc", "Discs", ("disc",), "#56b4e9", "#6cc1f0", 1.0, True),
    Group("facet", "Facet joints", (), "#a8905c", "#c2a868", 1.0, True),
    Group("vertebra", "Vertebrae, sacrum", ("vertebra", "sacrum"), "#e3d9c2", "#efe6d0", 1.0, True),
    Group("pelvis", "Pelvis", ("pelvis",), "#cfc6b2", "#c9bfa8", 0.35, True),
    Group("rib", "Ribs, femurs", ("rib", "femur"), "#cfc6b2", "#c9bfa8", 1.0, False),
    Group("root", "Nerve roots", ("root",), "#e69f00", "#ffb31a", 1.0, True),
    Group("sac", "Dural sac", ("canal/dural_sac",), "#f0e442", "#f0e442", 1.0, True),
    Group("canal", "Epidural space", ("canal/epidural",), "#efe9a0", "#b5ae55", 0.35, False),
    Group("flavum", "Ligamentum flavum", ("canal/flavum",), "#009e73", "#2fc79c", 1.0, True),
    Group(
        "artery",
        "Arteries",
        ("vessel/aorta", "vessel/iliac_artery", "vessel/artery"),
        "#d55e00",
        "#ff7a1a",
        1.0,
        True,
    ),
    Group("vein", "Veins", ("vessel",), "#0072b2", "#3f9bdd", 1.0, True),
    Group("organ", "Organs", ("organ",), "#8a8f98", "#a7adb8", 0.6, False),
    Group("muscle", "Muscles", ("muscle",), "#b06a5e", "#c98478", 0.35, False),
    Group("skin", "Skin", ("tissue/skin",), "#d9b8a4", "#d9b8a4", 0.15, False, outlined=False),
)
"""In legend order. Facets and herniation are parts of a vertebra and of a disc: `group_of` looks at them first."""

_BY_NAME = {group.name: group for group in GROUPS}
_APPROACH_COLOURS = (
    "#004488", "#994455", "#997700", "#117733", "#332288", "#882255", "#aa4499", "#661100", "#225555", "#666633",
)  # fmt: skip
OPEN_COLOUR = "#777777"


def group(name: str) -> Group:
    """The group called `name`."""
    return _BY_NAME[name]


@cache
def group_of(key: str) -> Group | None:
    """The group that draws the structure `key`; None for what is not drawn (unlabelled fat, foramen)."""
    parts = key.split("/")
    if parts[0] == "disc" and parts[-1] == "herniation":
        return group("herniation")
    if parts[0] == "vertebra" and "facet" in parts:
        return group("facet")
    return next((found for found in GROUPS if found.prefixes and belongs(key, *found.prefixes)), None)


def approach_colours(names: tuple[str, ...]) -> dict[str, str]:
    """A colour for each approach: the catalogue's order decides, so that it is the same in every report."""
    known = [name for name in catalogue() if not name.startswith("open")]
    others = sorted(name for name in names if name not in known and not name.startswith("open"))
    order = {name: n for n, name in enumerate([*known, *others])}
    return {
        name: OPEN_COLOUR if name.startswith("open") else _APPROACH_COLOURS[order[name] % len(_APPROACH_COLOURS)]
        for name in names
    }
