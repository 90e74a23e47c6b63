"""Screws for several vertebrae: each placed, graded and looked at from all sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy
from keyhole.errors import InvalidInput, NotInScan
from keyhole.plan.doubt import Budget, ExecutionError, default_budget
from keyhole.plan.screws.alar import plan_alar
from keyhole.plan.screws.along import density, facet, skin
from keyhole.plan.screws.bone import Bone, bone
from keyhole.plan.screws.grades import grades
from keyhole.plan.screws.model import Screw, ScrewPlan
from keyhole.plan.screws.pelvis import S2AI
from keyhole.plan.screws.place import MARGIN, Placed, against, place
from keyhole.plan.screws.sizes import PELVIC, System, Trajectory, system, trajectory
from keyhole.terms import SIDES

Progress = Callable[[str, float], None]

PLANNED = ("L1", "L2", "L3", "L4", "L5", "S1", S2AI)
"""Vertebrae that screws are planned in, and the S2-alar-iliac screw below them."""

DIRECTIONS = ("medial", "lateral", "cranial", "caudal", "ahead")


def plan_screws(
    anatomy: Anatomy,
    vertebrae: Sequence[str],
    *,
    trajectory: str = "pedicle",
    error: ExecutionError | Budget | None = None,
    sides: Sequence[str] = SIDES,
    sizes: str = "generic",
    margin: float = MARGIN,
) -> list[ScrewPlan]:
    """A screw in each of `vertebrae` on each of `sides`, or why there is none; cranial to caudal, left before right.

    "S2AI" among `vertebrae` is the S2-alar-iliac screw, of sizes of its own; it keeps clear of the others' heads.

    Parameters
    ----------
    trajectory : "pedicle" or "cortical".
    error : of execution, or a budget of it; None takes the budget that ships.
    sizes : a system of screws.toml.
    margin : gap to the wall that a size should keep, mm.
    """
    wanted = system(sizes)
    if sizes == PELVIC:
        raise InvalidInput(f"the sizes {PELVIC} are of screws into the ilium, which take them on their own")
    if not (0 <= margin <= 5):
        raise InvalidInput(f"the margin to the wall is between 0 and 5 mm, got {margin}")
    for name in vertebrae:
        if name not in PLANNED:
            raise InvalidInput(f"screws are planned in {', '.join(PLANNED)}, got {name!r}")
    boxes = label_boxes(anatomy.labels)
    found: list[ScrewPlan] = []
    for name in sorted(dict.fromkeys(vertebrae), key=PLANNED.index):
        if name == S2AI:
            made = [p.screw for p in found if p.screw is not None]
            alar = partial(plan_alar, error=error or default_budget(), margin=margin, beside=made, boxes=boxes)
            found += [alar(anatomy, side) for side in sides]
            continue
        path = _path(trajectory, name)
        seen: Bone | str
        try:
            seen = bone(anatomy, name, boxes)
            _ = seen.wall
        except NotInScan as why:
            seen = str(why)
        for side in sides:
            found.append(_planned(anatomy, (name, side), seen, path, wanted, (error or default_budget(), margin)))
    return found


def _path(name: str, vertebra: str) -> Trajectory | str:
    """The trajectory, or why it is not planned in this vertebra."""
    found = trajectory(name, vertebra)
    if name == "cortical" and vertebra == "S1":
        return "the cortical trajectory is described for L1 to L5 [matsukawa2013]"
    return found


def _planned(
    anatomy: Anatomy,
    at: tuple[str, str],
    seen: Bone | str,
    path: Trajectory | str,
    sizes: System,
    wanted: tuple[ExecutionError | Budget, float],
) -> ScrewPlan:
    """One screw with all that is known of it."""
    name, side = at
    if isinstance(seen, str) or isinstance(path, str):
        kind = path if isinstance(path, str) else path.name
        return none(name, side, "cortical" if isinstance(path, str) else kind, seen if isinstance(seen, str) else kind)
    placed = place(seen, side, path, sizes, wanted[1])
    if placed.screw is None:
        return none(name, side, path.name, _refused(placed, path, sizes))
    return look(anatomy, seen, placed.screw, error=wanted[0], margin=wanted[1])


def none(name: str, side: str, kind: str, why: str) -> ScrewPlan:
    """No screw, and why."""
    nan = float("nan")
    return ScrewPlan(name, side, kind, None, why, nan, {}, {}, {}, nan, nan, None, None, nan, None, ())


def _refused(placed: Placed, path: Trajectory, sizes: System) -> str:
    smallest = sizes.diameters[0]
    if not np.isfinite(placed.gap):
        return f"no straight axis within the bounds of the trajectory stays in bone for {path.shortest:g} mm"
    if placed.gap >= 0:
        return f"no screw of {smallest:g} by {path.shortest:g} mm leaves {path.ahead:g} mm of bone before its tip"
    return (
        f"the smallest screw, {smallest:g} mm, breaches by {-placed.gap:.1f} mm at its best: the bone admits "
        f"{max(0.0, 2 * placed.free):.1f} mm along a straight axis"
    )


def look(
    anatomy: Anatomy, bone: Bone, screw: Screw, *, error: ExecutionError | Budget, margin: float = MARGIN
) -> ScrewPlan:
    """All that is known of `screw` in `bone`, wherever it came from: a plan, or a person's hand."""
    walls = by_direction(bone, screw)
    clearance = min(walls.values())
    local = np.clip(screw.way @ bone.axes(screw.side).T, -1.0, 1.0)
    grade, share = facet(bone, anatomy.labels, screw)
    hu = density(anatomy.image, screw) if anatomy.modality == "CT" else None
    behind = skin(anatomy, screw)
    said = [
        *([_close(bone, margin)] if clearance < margin + bone.coarse else []),
        *(["no facet joint is labelled above it: whether it is violated is unknown"] if grade is None else []),
        *(["no Hounsfield units along it: no CT holds all of it"] if hu is None else []),
        *(["no skin is labelled behind it: no incision can be placed"] if behind is None else []),
    ]
    graded = grades(bone, screw, error)
    thinner = {
        d: grades(bone, replace(screw, radius=d / 2), error) for d in screw.system.diameters if d < 2 * screw.radius
    }
    return ScrewPlan(
        bone.name, screw.side, screw.trajectory, screw, "", clearance, walls, graded, thinner,
        float(np.degrees(np.arctan2(-local[0], -local[1]))), float(np.degrees(np.arcsin(local[2]))), hu, grade, share,
        behind, tuple(said),
    )  # fmt: skip


def _close(bone: Bone, margin: float) -> str:
    """What is said of a screw that keeps less than it should."""
    said = f"it keeps less than {margin:g} mm to the wall"
    drawn = f"{said} beyond the {bone.coarse:g} mm that labels drawn on coarse voxels may hold too much"
    return drawn if bone.coarse else said


def by_direction(bone: Bone, screw: Screw) -> dict[str, float]:
    """Least gap to the wall in each direction, mm, lower bounds: medial, lateral, cranial, caudal and ahead."""
    points, gaps = against(bone, screw)
    offset = points - screw.entry
    past = offset @ screw.way
    across = offset @ bone.axes(screw.side).T
    tall = np.abs(across[:, 2] - past * (screw.way @ bone.vertebra.up))
    wide = across[:, 0] - past * (screw.way @ bone.vertebra.toward(screw.side))
    high = across[:, 2] - past * (screw.way @ bone.vertebra.up)
    ahead = past > screw.length - screw.radius
    flat = np.abs(wide) >= tall
    chosen = {
        "medial": ~ahead & flat & (wide < 0), "lateral": ~ahead & flat & (wide >= 0),
        "cranial": ~ahead & ~flat & (high > 0), "caudal": ~ahead & ~flat & (high <= 0), "ahead": ahead,
    }  # fmt: skip
    return {name: float(gaps[mask].min()) for name, mask in chosen.items() if mask.any()}
