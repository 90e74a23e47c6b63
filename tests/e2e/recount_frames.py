"""An independent recount of the vertebrae's frames in plan.json, and of the angles that are said in them.

numpy and scipy only, nothing of Keyhole. A frame is looked at coarsely from the labels: square, right-handed, at the
body's middle, `up` across the endplates, back towards the canal, its endplates' planes where the bone ends. Angles and
walls of screws are then counted from it exactly.
"""

from __future__ import annotations

import numpy as np
from recount import Scene
from recount_fusion import Body
from recount_screws import BOX, Vertebra, _ends, apart

TILT, OFF = 4.0, 1.0
"""How far a plane through the columns over an endplate may lean from plan.json's (deg) or lie off it (mm): columns of
1 mm on labels of 1 to 1.5 mm, without the definition's footprint."""


class Frame:
    """One vertebra's axes and endplates as plan.json gives them; `motion` (4, 4) carries them."""

    def __init__(self, told: dict, motion: np.ndarray | None = None) -> None:
        by = np.eye(4) if motion is None else motion
        self.name = told["vertebra"]
        self.centre = by[:3, :3] @ told["centre"] + by[:3, 3]
        self.left, self.posterior, self.up = (by[:3, :3] @ told[k] for k in ("left", "posterior", "up"))
        self.plates = {}
        for which in ("superior", "inferior"):
            if told[which] is not None:
                plate = {k: by[:3, :3] @ v + by[:3, 3] for k, v in told[which].items() if k != "normal"}
                self.plates[which] = plate | {"normal": by[:3, :3] @ told[which]["normal"]}

    def out(self, side: str) -> np.ndarray:
        """Unit, away from the midline."""
        return self.left if side == "left" else -self.left

    def centre_of(self, which: str) -> np.ndarray:
        """The middle of an endplate's four corners."""
        return np.mean([self.plates[which][k] for k in ("anterior", "posterior", "left", "right")], axis=0)


def frames(plan: dict) -> dict[str, Frame]:
    return {one["vertebra"]: Frame(one) for one in plan["frames"]}


def _fitted(body: Body, frame: Frame, which: str) -> tuple[float, float] | None:
    """How far the plane of the bone over an endplate leans from the one told, deg, and lies off it, mm."""
    plate, sense = frame.plates[which], 1 if which == "superior" else -1
    back = plate["posterior"] - plate["anterior"]
    aside = plate["left"] - plate["right"]
    middle = frame.centre_of(which)
    u, v = np.meshgrid(np.linspace(-0.4, 0.4, 25), np.linspace(-0.4, 0.4, 25))
    round_ = np.hypot(u, v) <= 0.4
    feet = middle + u[round_][:, None] * aside + v[round_][:, None] * back
    high = body.surface(feet, -sense * plate["normal"], -5.0, 5.0)
    known = np.isfinite(high)
    if known.sum() < 100:
        return None
    points = feet[known] - sense * high[known, None] * plate["normal"]
    for _ in range(3):
        centre = points.mean(0)
        normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
        off = np.abs((points - centre) @ normal)
        points = points[off <= max(1.5, 2.5 * float(np.median(off)))]
    lean = float(np.degrees(np.arccos(min(1.0, abs(float(normal @ plate["normal"]))))))
    return lean, float((centre - middle) @ plate["normal"])


def check_frame(where: Scene, told: dict) -> list[str]:
    """Whether the frame of one vertebra is one, and lies where its labels are."""
    frame, wrong = Frame(told), []
    axes = np.stack([frame.left, frame.posterior, frame.up])
    if not (np.abs(axes @ axes.T - np.eye(3)).max() < 1e-5 and np.linalg.det(axes) > 0):
        wrong.append("its axes are not square and right-handed")
    if not where.labels(f"vertebra/{frame.name}/body"):
        return wrong
    body = Body(where, frame.name, np.eye(4))
    apart_ = float(np.linalg.norm(body.centre - frame.centre))
    if not apart_ <= 2.0:
        wrong.append(f"its centre lies {apart_:.1f} mm from the middle of its body")
    normal = np.sum([plate["normal"] for plate in frame.plates.values()], axis=0)
    if len(frame.plates) == 2 and not normal @ frame.up >= np.cos(np.radians(0.5)) * np.linalg.norm(normal):
        wrong.append("its up is not the mean of its endplates' normals")
    arch = np.argwhere(np.isin(where.array, [n for n in where.labels(f"vertebra/{frame.name}")
                                             if not where.keys[n].endswith("/body")]))  # fmt: skip
    if len(arch):
        behind = where.affine[:3, :3] @ arch.mean(0) + where.affine[:3, 3] - frame.centre
        if not behind @ frame.posterior > 5.0:
            wrong.append("its arch does not lie behind it")
    for which in frame.plates:
        found = _fitted(body, frame, which)
        if found is not None and not (found[0] <= TILT and abs(found[1]) <= OFF):
            wrong.append(f"its {which} endplate leans {found[0]:.1f} deg from the bone, {found[1]:.1f} mm off it")
    return wrong


def check_frames(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about the frames of the level and of the vertebrae that screws stand in, in words."""
    wanted = set(plan["level"].split("/"))
    if plan["screws"] is not None:
        wanted |= {s["vertebra"] for s in plan["screws"]["screws"]}
    return [
        f"frame of {told['vertebra']}: {line}"
        for told in plan["frames"]
        if told["vertebra"] in wanted
        for line in check_frame(where, told)
    ]


def _standing(screw: dict) -> str:
    """Whose frame a screw's angles are said in."""
    return "S1" if screw["vertebra"].startswith("S2") else screw["vertebra"]


def check_angle(frame: Frame, screw: dict) -> list[str]:
    """Degrees towards the midline and cranially."""
    _, _, way = _ends(screw)
    local = np.array([way @ frame.out(screw["side"]), way @ frame.posterior, way @ frame.up])
    mine = {"medial": np.degrees(np.arctan2(-local[0], -local[1])), "cranial": np.degrees(np.arcsin(local[2]))}
    return [
        f"{name} angle {screw[name]['value']:.2f} deg, counted {value:.2f}"
        for name, value in mine.items()
        if not abs(value - screw[name]["value"]) <= 0.02
    ]


def check_walls(bone: Vertebra, frame: Frame, screw: dict) -> list[str]:
    """The gap to the wall in each direction: as for the clearance, by where the nearest bit of the voxel lies."""
    entry, stop, way = _ends(screw)
    wall = bone.wall[np.linalg.norm(bone.wall - entry, axis=1) > screw["radius"] + screw["entry_allowance"]]
    edge = float(np.linalg.norm(bone.where.affine[:3, :3], axis=0).max())
    nearest = np.min([apart(wall + corner @ bone.where.affine[:3, :3].T, entry, stop) for corner in BOX[::2]], axis=0)
    offset = wall - entry
    past = offset @ way
    across = offset - past[:, None] * way
    wide, high = across @ frame.out(screw["side"]), across @ frame.up
    ahead = past > np.linalg.norm(np.subtract(screw["tip"], screw["entry"])) - screw["radius"]
    doubt = np.abs(np.abs(wide) - np.abs(high)) < edge
    flat = np.abs(wide) >= np.abs(high)
    chosen = {"medial": flat & (wide < 0), "lateral": flat & (wide >= 0),
              "cranial": ~flat & (high > 0), "caudal": ~flat & (high <= 0)}  # fmt: skip
    wrong = []
    for name, mask in chosen.items():
        if name not in screw["walls"]:
            continue
        sure, maybe = (~ahead & mask & ~doubt), (~ahead & (mask | doubt))
        least, most = (float(nearest[m].min(initial=99.0)) - screw["radius"] for m in (maybe, sure))
        said = screw["walls"][name]["value"]
        if not least - edge <= said <= most + 0.02:
            wrong.append(f"{name} wall {said:.2f} mm away, counted {least:.2f} to {most:.2f}")
    return wrong


def check_screw_angles(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about angles and walls of the screws of a plan, in words."""
    record, known, wrong = plan["screws"], frames(plan), []
    bones: dict[str, Vertebra] = {}
    for screw in () if record is None else record["screws"]:
        frame = known.get(_standing(screw))
        if frame is None:
            wrong.append(f"screw {screw['vertebra']}: plan.json has no frame of {_standing(screw)}")
            continue
        said = check_angle(frame, screw)
        if screw["vertebra"] == frame.name:
            bone = bones.setdefault(frame.name, Vertebra(where, frame.name))
            said += check_walls(bone, frame, screw)
        wrong += [f"screw {screw['vertebra']} {screw['side']}: {line}" for line in said]
    return wrong
