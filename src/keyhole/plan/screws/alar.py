"""S2-alar-iliac screws: from the sacrum across the sacroiliac joint into the ilium, above the sciatic notch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.errors import NotInScan
from keyhole.geometry import Box, Points, unit
from keyhole.plan.doubt import Budget, ExecutionError
from keyhole.plan.screws import _axes
from keyhole.plan.screws.along import density, skin
from keyhole.plan.screws.grades import grades
from keyhole.plan.screws.model import Screw, ScrewPlan
from keyhole.plan.screws.pelvis import S2AI, Pelvis, crossed, pelvis
from keyhole.plan.screws.place import MARGIN, NEAR, Placed, against, place
from keyhole.plan.screws.sizes import PELVIC, System, Trajectory, system, trajectories
from keyhole.terms import SIDES, Tissue, tissue

WALLS = ("pelvic", "gluteal", "crest", "notch", "ahead")
"""Toward the pelvis' inside, the buttock, the iliac crest, the sciatic notch, and beyond the tip."""

BEYOND = 20.0
"""What is labelled this near to the shaft is named with its distance, mm [keyhole-choice]."""

CUT = 30.0
"""Where the scan ends in its bones this near to the screw, it is said, mm [keyhole-choice]."""

UNSEEN = (
    "sacral plexus and gluteal vessels at the ilium's cortex are not labelled: no distance to them is known",
    "its grades are of the breach in mm through either bone; the published grades are of pedicles",
)


def plan_alar(
    anatomy: Anatomy,
    side: str,
    *,
    error: ExecutionError | Budget,
    margin: float = MARGIN,
    beside: Sequence[Screw] = (),
    boxes: Mapping[str, Box] | None = None,
) -> ScrewPlan:
    """The S2-alar-iliac screw of `side`, or why there is none.

    Parameters
    ----------
    beside : screws whose heads it should keep clear of.
    boxes : of every key (`label_boxes`), where several screws are planned.

    References
    ----------
    Entry and size: [chang2009, zhu2013, s2ai-technique]. Joint: [demir2007]. docs/decisions/0028-screws.md.
    """
    path, sizes = trajectories()[PELVIC], system(PELVIC)
    try:
        seen = pelvis(anatomy, side, path, boxes)
    except NotInScan as why:
        return _none(side, str(why))
    around = np.concatenate([seen.bone.others, *(_ball(s, seen.bone.axes(side)) for s in beside if s.side == side)])
    placed = place(replace(seen.bone, others=np.ascontiguousarray(around)), side, path, sizes, margin)
    if placed.screw is None:
        return _none(side, _refused(seen, placed, path, sizes))
    end = float(placed.screw.shaft.gap(seen.end).min(initial=np.inf))
    if end < NEAR:
        return _none(
            side, f"the scan ends {max(0.0, end):.0f} mm from where it would run, so the bone there is unknown"
        )
    return look_alar(anatomy, seen, placed.screw, error=error, margin=margin)


def _none(side: str, why: str) -> ScrewPlan:
    nan = float("nan")
    return ScrewPlan(S2AI, side, PELVIC, None, why, nan, {}, {}, {}, nan, nan, None, None, nan, None, ())


def _ball(screw: Screw, axes: Points) -> Points:
    """Points of the housing of a screw's head, (343, 3) LPS mm, less than 20 degrees apart."""
    ways = np.array(list(itertools.product(np.linspace(-1.0, 1.0, 7), repeat=3))) @ axes
    size = np.linalg.norm(ways, axis=1, keepdims=True)
    return np.asarray(screw.head + screw.system.head_radius * ways / np.where(size > 0, size, 1.0))


def _refused(seen: Pelvis, placed: Placed, path: Trajectory, sizes: System) -> str:
    """Why there is no screw, with the millimetres and whether the scan ends in the ilium."""
    smallest = sizes.diameters[0]
    if not np.isfinite(placed.gap):
        said = f"no straight axis from between the S1 and S2 foramina stays in bone for {path.shortest:g} mm"
    elif placed.gap >= 0:
        said = f"no screw of {smallest:g} by {path.shortest:g} mm leaves {path.ahead:g} mm of bone before its tip"
    else:
        said = (
            f"the smallest screw, {smallest:g} mm, breaches by {-placed.gap:.1f} mm at its best: sacrum and ilium "
            f"admit {max(0.0, 2 * placed.free):.1f} mm along a straight axis of {path.shortest:g} mm"
        )
    return f"{said}; the scan ends in these bones, so there may be more of them" if len(seen.end) else said


def look_alar(
    anatomy: Anatomy, seen: Pelvis, screw: Screw, *, error: ExecutionError | Budget, margin: float = MARGIN
) -> ScrewPlan:
    """All that is known of the S2-alar-iliac `screw`, wherever it came from."""
    bone = seen.bone
    walls, corridor = _walls(seen, screw)
    clearance = min(walls.values())
    local = np.clip(screw.way @ bone.axes(screw.side).T, -1.0, 1.0)
    hu = density(anatomy.image, screw) if anatomy.modality == "CT" else None
    behind = skin(anatomy, screw)
    part = crossed(seen, screw.entry, screw.tip)
    near = _near(anatomy, screw)
    said = [
        *([_close(bone.coarse, margin)] if clearance < margin + bone.coarse else []),
        *_met(anatomy, seen, screw), *UNSEEN,
        *(["no Hounsfield units along it: no CT holds all of it"] if hu is None else []),
        *(["no skin is labelled behind it: no incision can be placed"] if behind is None else []),
    ]  # fmt: skip
    thinner = {
        d: grades(bone, replace(screw, radius=d / 2), error) for d in screw.system.diameters if d < 2 * screw.radius
    }
    return ScrewPlan(
        bone.name, screw.side, screw.trajectory, screw, "", clearance, walls, grades(bone, screw, error), thinner,
        float(np.degrees(np.arctan2(-local[0], -local[1]))), float(np.degrees(np.arcsin(local[2]))), hu, None,
        float("nan"), behind, tuple(said), part, corridor, near,
    )  # fmt: skip


def _close(coarse: float, margin: float) -> str:
    """What is said of a screw that keeps less than it should."""
    beyond = f" beyond the {coarse:g} mm that labels drawn on coarse voxels may hold too much" if coarse else ""
    return f"it keeps less than {margin:g} mm to the wall{beyond}"


def _met(anatomy: Anatomy, seen: Pelvis, screw: Screw) -> list[str]:
    """What is said of joint, hip, the scan's end and bone behind the entry."""
    part = crossed(seen, screw.entry, screw.tip)
    said = [f"it crosses the sacroiliac joint: {part['joint']:.1f} mm of its axis lie between the labels of both bones"]
    if f"femur/{screw.side}" not in anatomy.labels.keys:
        said.append("no femur is labelled: the hip joint is known as the end of the ilium's bone alone")
    end = float(screw.shaft.gap(seen.end).min(initial=np.inf))
    if end < CUT:
        said.append(f"the scan ends in its bones {max(0.0, end):.0f} mm from it: what lies beyond counts as wall")
    reach = screw.body.gap(seen.bone.others).min(initial=np.inf)
    if reach < 0:
        said.append(f"bone stands {-reach:.1f} mm into the room of its head and has to be taken there")
    return said


def _walls(seen: Pelvis, screw: Screw) -> tuple[dict[str, float], float]:
    """Least gap to the wall in each of `WALLS`, mm, lower bounds; and the widest cylinder about the axis in the ilium.

    The directions are across the axis: notch and crest along what S1 calls down and up, pelvic and gluteal beside.
    """
    points, gaps = against(seen.bone, screw)
    frame, way = seen.bone.vertebra, screw.way
    up = unit(frame.up - (frame.up @ way) * way)
    out = np.cross(up, way)
    out *= np.sign(out @ frame.toward(screw.side))
    offset = points - screw.entry
    past, high, wide = offset @ way, offset @ up, offset @ out
    ahead = past > screw.length - screw.radius
    flat = np.abs(wide) >= np.abs(high)
    chosen = {
        "pelvic": ~ahead & flat & (wide < 0), "gluteal": ~ahead & flat & (wide >= 0),
        "crest": ~ahead & ~flat & (high > 0), "notch": ~ahead & ~flat & (high <= 0), "ahead": ahead,
    }  # fmt: skip
    part = crossed(seen, screw.entry, screw.tip)
    iliac = ~ahead & (past > screw.length - part["ilium"])
    widest = 2.0 * (screw.radius + float(gaps[iliac].min(initial=NEAR)))
    corridor = widest if part["ilium"] > 0 else float("nan")
    return {name: float(gaps[mask].min()) for name, mask in chosen.items() if mask.any()}, corridor


def _near(anatomy: Anatomy, screw: Screw) -> dict[str, float]:
    """Gap of the shaft to femur, nerves, vessels and organs within `BEYOND` mm, a lower bound, nearest first."""
    labels = anatomy.labels
    index, room = labels.grid.index(np.stack([screw.entry, screw.tip])), (screw.radius + BEYOND) / labels.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room), 0, np.array(labels.array.shape) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room) + 1, low + 1, labels.array.shape).astype(int)
    part = labels.crop((slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])))
    frail = (Tissue.NERVE, Tissue.VESSEL, Tissue.ORGAN)
    wanted = {k for k in part.keys if k in {f"femur/{s}" for s in SIDES} or tissue(k) in frail}
    codes = [n for n, key in part.structures.items() if key in wanted]
    where = np.argwhere(np.isin(part.array, codes))
    held = part.array[tuple(where.T)]
    axes = np.ascontiguousarray(part.patient_from_index.matrix[:3, :3])
    shaft = screw.shaft
    gaps = _axes.gaps(np.ascontiguousarray(part.grid.centres(where)), shaft.start, shaft.stop, axes) - screw.radius
    least = {part.structures[int(n)]: float(gaps[held == n].min()) for n in np.unique(held)}
    return dict(sorted(((k, v) for k, v in least.items() if v < BEYOND), key=lambda one: (one[1], one[0])))
