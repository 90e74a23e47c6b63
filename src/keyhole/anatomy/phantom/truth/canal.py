"""The exact size of a phantom's canal and sac on planes across the canal's line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.anatomy.phantom.truth.places import centroid
from keyhole.anatomy.phantom.truth.sections import (
    CHORD,
    DEEP,
    ROUGH,
    WIDE,
    across,
    cut_at,
    diameter,
    shape,
    width,
)
from keyhole.casefile import FindingEntry
from keyhole.geometry import Grid, Plane, Points, affine
from keyhole.terms import SIDES

__all__ = ["CHORD", "canal_truth", "mid_disc", "up_of"]

STEP = 2.0  # mm between the sections among which the least is looked for
THICK = 1.5  # mm, sd of the average along the canal
BELOW_S1 = 8.0  # mm below its endplate: S1 has no pedicles
SIGNAL_PIXEL = 0.5  # mm, of the T2 signal's section
BRIGHT = 90.0  # percentile of the signal that stands for the fluid

FREE = ("canal/dural_sac", "canal/epidural")
SAC = ("canal/dural_sac",)


def canal_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Sizes of canal and sac at discs, facets and pedicles, the least of them, and the fluid's signal."""
    pedicles = {name: _pedicle_arc(body, plates, name) for name in plates.names}
    fluid = {name: _fluid(body, s) for name, s in pedicles.items()}
    for name in (one for one in plates.names if one[0] in "LS"):
        yield from _sizes(body, pedicles[name], (name, " at the pedicles"), _bony(body))
    for level in plates.levels:
        above, below = level.split("/")
        yield from _sizes(body, _arc(body, mid_disc(plates, level)), (level, ""), FREE)
        yield from _sizes(body, _facet_arc(body, plates, level), (level, " at the facets"), FREE)
        yield from _least(body, (pedicles[above], pedicles[below]), level, (fluid[above] + fluid[below]) / 2)


def mid_disc(plates: Plates, level: str) -> Plane:
    """The disc's mid-plane."""
    roof, floor = plates.facing(level)
    return Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)


def up_of(plates: Plates, name: str) -> Points:
    """The vertebra's own `up`: mean of its endplates' normals, S1: of the upper one."""
    normals = [plates.of(name, sense).plane.normal for sense in ((1,) if name == "S1" else (1, -1))]
    mean = np.mean(normals, axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _bony(body: Phantom) -> tuple[str, ...]:
    """Everything in the bony canal."""
    return tuple(key for key in body.structures.values() if key.startswith("canal/") or key.endswith("/herniation"))


def _pedicle_arc(body: Phantom, plates: Plates, name: str) -> float:
    """Arc length on the canal's line at the middle of the pedicles."""
    if name == "S1":
        top = plates.of(name, +1)
        return _arc(body, Plane(top.centre - BELOW_S1 * top.plane.normal, top.plane.normal))
    middle = np.mean([centroid(body, f"vertebra/{name}/pedicle/{side}") for side in SIDES], axis=0)
    return _arc(body, Plane(middle, up_of(plates, name)))


def _facet_arc(body: Phantom, plates: Plates, level: str) -> float:
    """Arc length on the canal's line at the middle of the facet joints."""
    above, below = level.split("/")
    keys = [f"vertebra/{name}/facet/{kind}" for name, kind in ((above, "inferior"), (below, "superior"))]
    middle = np.mean([centroid(body, f"{key}/{side}") for key in keys for side in SIDES], axis=0)
    return _arc(body, Plane(middle, up_of(plates, above) + up_of(plates, below)))


def _arc(body: Phantom, plane: Plane) -> float:
    """Arc length where the canal's line goes through a plane."""
    line = np.column_stack([np.zeros(len(body.spine.line)), body.spine.line])
    near = np.linalg.norm(line - plane.point, axis=1) < 45.0
    return float(np.interp(0.0, -plane.height(line[near]), body.spine.arc[near]))


def _sizes(body: Phantom, s: float, what: tuple[str, str], keys: Sequence[str]) -> Iterator[FindingEntry]:
    """Area and diameters of canal and sac on one plane; `what` is the level and what the names end with."""
    cut = cut_at(body, s)
    level, suffix = what
    for structure, of in (("canal", keys), ("dural sac", SAC)):
        one = shape(cut, of)
        yield true(f"{structure} area{suffix}", level, one.area, "mm2")
        yield true(f"{structure} AP diameter{suffix}", level, diameter(one), "mm")
        yield true(f"{structure} transverse diameter{suffix}", level, width(one), "mm")


def _least(body: Phantom, span: tuple[float, float], level: str, fluid: float) -> Iterator[FindingEntry]:
    """The least area and diameter between the pedicles, the compression, and the fluid's signal over `fluid`."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415  (heavy import)

    where = np.linspace(*span, max(2, round((span[1] - span[0]) / STEP) + 1))
    cuts = [cut_at(body, float(s), ROUGH) for s in where]
    smooth = THICK / (where[1] - where[0])
    worst = 0.0
    for structure, keys in (("canal", FREE), ("dural sac", SAC)):
        shapes = [shape(cut, keys) for cut in cuts]
        area = gaussian_filter1d([one.area for one in shapes], smooth, mode="nearest")
        worst = float(where[area.argmin()])
        yield true(f"least {structure} area", level, area.min(), "mm2")
        yield true(f"{structure} compression ratio", level, 100 * (1 - 2 * area.min() / (area[0] + area[-1])), "%")
        if structure == "canal":
            least = gaussian_filter1d([diameter(one) for one in shapes], smooth, mode="nearest").min()
            yield true("least canal AP diameter", level, least, "mm")
    yield true("CSF signal ratio", level, _fluid(body, worst) / fluid, "1")


def _fluid(body: Phantom, s: float) -> float:
    """90th percentile of the T2 signal inside the sac's section."""
    plane = across(body, s)
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([[1.0, 0.0, 0.0], plane.back, plane.up]) * SIGNAL_PIXEL
    matrix[:3, 3] = plane.at(np.array([[-WIDE, -DEEP]]))[0]
    shape_of = (round(2 * WIDE / SIGNAL_PIXEL), round(2 * DEEP / SIGNAL_PIXEL), 1)
    labels, _, t2 = body.render(Grid(shape_of, affine(body.patient_from_phantom.matrix @ matrix)))
    sac = labels.mask(*SAC)
    return float(np.percentile(t2.array[sac], BRIGHT)) if sac.any() else 0.0
