"""What the page's 3D view shows, as one JSON object.

Axes are those of the .glb files (x left, y up, z anterior), mm from the middle of the asked level. Positions are 16-bit
integers in the surface's own box: a step of box / 65535, under 0.01 mm for all but the skin.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry, PlanRecord
from keyhole.geometry import Points
from keyhole.report.compare import best, title
from keyhole.report.glb import GLTF_FROM_LPS
from keyhole.report.meshes import Part
from keyhole.report.palette import GROUPS, OPEN_COLOUR, approach_colours
from keyhole.report.views import axes_of, shaft
from keyhole.report.wording import structure

STEPS = 65535


def _b64(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def middle(anatomy: Anatomy, level: str | None) -> Points:
    """The point (3,) LPS mm that the view turns about: the middle of the level, or of the vertebrae in view."""
    if level is not None:
        upper, lower = anatomy.pair(level)
        return np.asarray((upper.centre + lower.centre) / 2)
    centres = [vertebra.centre for vertebra in anatomy.vertebrae.values()]
    return (
        np.mean(centres, axis=0) if centres else anatomy.labels.grid.centres(np.array(anatomy.labels.array.shape) / 2)
    )


def mesh(part: Part, centre: Points) -> dict[str, object]:
    """One surface, its positions as 16-bit steps from `origin`, `step` mm each."""
    points = (part.surface.points.astype(np.float64) - centre) @ GLTF_FROM_LPS.T
    low, high = points.min(axis=0), points.max(axis=0)
    step = np.maximum((high - low) / STEPS, 1e-9)
    quantised = np.rint((points - low) / step).astype("<u2")
    wide = len(points) > STEPS
    return {
        "key": part.surface.key,
        "name": "skin" if part.group.name == "skin" else structure(part.surface.key),
        "group": part.group.name,
        "origin": [round(float(x), 4) for x in low],
        "step": [float(f"{x:.9g}") for x in step],
        "positions": _b64(quantised),
        "wide": wide,
        "faces": _b64(part.surface.faces.astype("<u4" if wide else "<u2")),
    }


def scene(parts: Iterable[Part], anatomy: Anatomy, plan: PlanRecord | None) -> dict[str, object]:
    """The whole view: groups in legend order, surfaces, corridors, the level's directions."""
    level = plan.level if plan is not None else None
    centre = middle(anatomy, level)
    meshes = [mesh(part, centre) for part in parts]
    present = {str(entry["group"]) for entry in meshes}
    groups = [
        {"name": g.name, "title": g.title, "colour": g.colour, "opacity": g.opacity, "shown": g.shown}
        for g in GROUPS
        if g.name in present
    ]
    return {
        "groups": groups,
        "meshes": meshes,
        "corridors": _corridors(plan, centre) if plan is not None else [],
        "directions": _directions(anatomy, level),
    }


def _directions(anatomy: Anatomy, level: str | None) -> dict[str, list[float]]:
    """Left, posterior and up of the level in the view's axes."""
    shown = level or next(iter(anatomy.levels), None)
    if shown is None:
        return {"left": [1, 0, 0], "posterior": [0, 0, -1], "up": [0, 1, 0]}
    axes = axes_of(anatomy, shown)
    named = {"left": axes.left, "posterior": axes.posterior, "up": axes.up}
    return {name: [round(float(x), 5) for x in GLTF_FROM_LPS @ axis] for name, axis in named.items()}


def _corridors(plan: PlanRecord, centre: Points) -> list[dict[str, object]]:
    shown = best(plan)
    colours = approach_colours(tuple(candidate.approach for candidate in shown))
    made = [_tube(candidate, centre, colours[candidate.approach], True) for candidate in shown]
    if plan.open is not None:
        made.append(_tube(plan.open, centre, OPEN_COLOUR, False))
    return made


def _tube(candidate: CandidateEntry, centre: Points, colour: str, is_shown: bool) -> dict[str, object]:
    tube = shaft(candidate)

    def seen(point: object) -> list[float]:
        return [round(float(x), 3) for x in GLTF_FROM_LPS @ (np.asarray(point) - centre)]

    return {
        "name": candidate.approach,
        "title": title(candidate.approach) + (", extent" if candidate.approach.startswith("open") else ""),
        "colour": colour,
        "shown": is_shown,
        "entry": seen(tube.start),
        "stop": seen(tube.stop),
        "dock": seen(candidate.dock),
        "target": seen(candidate.target),
        "radius": candidate.radius,
        "instrument_radius": candidate.instrument_radius,
    }
