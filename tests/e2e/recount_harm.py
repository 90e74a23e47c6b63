"""Openings, the muscle plane, medial branches and capsules counted again from labels and plan.json.

numpy and scipy's tree of points only, nothing of Keyhole. The level's axes are guessed from the centres of bodies and
canal, so places along them may be off by a few degrees; tolerances say by how much.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

SOFT = (
    "muscle",
    "tissue/muscle",
    "tissue/fat",
    "tissue/skin",
    "tissue/gas",
    "foramen",
    "canal/epidural",
    "vessel",
    "organ",
)


class Places:
    """Labels around a level, its axes, and the structures that harm is about, each found once."""

    def __init__(self, array: np.ndarray, affine: np.ndarray, keys: dict[int, str], level: str) -> None:
        self.upper, self.lower = level.split("/")
        self.affine, self.keys, self.array = affine, keys, array
        self.inverse = np.linalg.inv(affine)
        self.edge = float(np.linalg.norm(affine[:3, :3], axis=0).mean())
        self.known: dict[tuple[str, ...], np.ndarray] = {}
        bone = np.argwhere(
            np.isin(array[::3, ::3, ::3], self.labels(f"vertebra/{self.upper}", f"vertebra/{self.lower}"))
        )
        room = np.ceil(75 / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
        low = np.maximum(3 * bone.min(0) - room, 0)
        self.first, self.near = low, array[tuple(slice(a, b) for a, b in zip(low, 3 * bone.max(0) + room, strict=True))]
        bodies = [self.points(f"vertebra/{v}/body").mean(0) for v in (self.upper, self.lower)]
        self.up = (bodies[0] - bodies[1]) / np.linalg.norm(bodies[0] - bodies[1])
        self.middle = (bodies[0] + bodies[1]) / 2
        canal = self.points("canal")
        canal = canal[np.abs((canal - self.middle) @ self.up) < 15].mean(0) - self.middle
        back = canal - (canal @ self.up) * self.up
        self.back = back / np.linalg.norm(back)
        left = self.points(*(k for k in keys.values() if k.startswith("vertebra") and k.endswith("left"))).mean(0)
        self.left = np.cross(self.back, self.up)
        self.left *= np.sign((left - self.middle) @ self.left)
        self.capsules = {side: self._capsule(side) for side in ("left", "right")}

    def labels(self, *prefixes: str) -> list[int]:
        return [n for n, key in self.keys.items() if any(key == p or key.startswith(p + "/") for p in prefixes)]

    def points(self, *prefixes: str) -> np.ndarray:
        """Voxel centres of the structures within 75 mm of the level's bones."""
        if prefixes not in self.known:
            index = np.argwhere(np.isin(self.near, self.labels(*prefixes))) + self.first
            self.known[prefixes] = index @ self.affine[:3, :3].T + self.affine[:3, 3]
        return self.known[prefixes]

    def at(self, points: np.ndarray) -> np.ndarray:
        """Label at each of `points`; 0 outside the grid."""
        index = np.rint(points @ self.inverse[:3, :3].T + self.inverse[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < self.array.shape)).all(-1)
        return np.where(inside, self.array[tuple(np.where(inside[..., None], index, 0).T)].T, 0)

    def _capsule(self, side: str) -> np.ndarray | None:
        parts = (f"vertebra/{self.upper}/facet/inferior/{side}", f"vertebra/{self.lower}/facet/superior/{side}")
        bones = [self.points(part) for part in parts]
        if not all(len(b) for b in bones):
            return None
        every = np.concatenate(bones)
        soft = self.points(*SOFT)
        soft = soft[((soft > every.min(0) - 6) & (soft < every.max(0) + 6)).all(1)]
        for bone in bones:
            soft = soft[cKDTree(bone).query(soft)[0] <= 2.5 + self.edge / 2 + 1e-6]
        steps = np.array([[a, b, c] for a in (-0.25, 0.25) for b in (-0.25, 0.25) for c in (-0.25, 0.25)])
        return (soft[:, None] + steps @ self.affine[:3, :3].T).reshape(-1, 3)

    def branch(self, vertebra: str, side: str) -> np.ndarray | None:
        """The course from the upper end of the groove between the two processes to the notch, on the bone's surface."""
        process = self.points(f"vertebra/{vertebra}/facet/superior/{side}")
        other = self.points(f"vertebra/{vertebra}/transverse/{side}")
        if vertebra == "S1" or not len(process) or not len(other):
            return None
        here, there = cKDTree(other).query(process)[0], cKDTree(process).query(other)[0]
        if not here.min() <= 8:
            return None
        groove = np.concatenate([process[here <= here.min() + 3.001], other[there <= here.min() + 3.001]]) - self.middle
        out = self.left if side == "left" else -self.left
        axes = np.stack([out, self.back, self.up])
        own = groove @ axes.T
        upper = [np.median(own[:, 0]), np.median(own[:, 1]), np.percentile(own[:, 2], 90)]
        notch = [np.median(own[:, 0]), np.percentile(own[:, 1], 90), np.percentile(own[:, 2], 10)]
        bone = cKDTree(self.points(f"vertebra/{vertebra}"))
        ends = []
        for end in np.array([upper, notch]) @ axes + self.middle:
            way = end + np.arange(0, 8.2, 0.25)[:, None] * (out + self.back) / np.sqrt(2)
            solid = np.flatnonzero(bone.query(way)[0] <= 0.866 * self.edge)
            ends.append(way[min(solid[-1] + 1, len(way) - 1)] if len(solid) else end)
        return ends[0] + np.linspace(0, 1, 20)[:, None] * (ends[1] - ends[0])


def wall(points: np.ndarray, bodies: list[dict]) -> np.ndarray:
    """Distance of `points` from the nearest wall of `bodies`, mm, negative inside."""
    found = []
    for body in bodies:
        start, along = np.array(body["start"]), np.array(body["stop"]) - body["start"]
        t = np.clip((points - start) @ along / (along @ along), 0, 1)
        found.append(np.linalg.norm(points - start - t[..., None] * along, axis=-1) - body["radius"])
    return np.min(found, axis=0)


def crossed(place: Places, body: dict, wanted: list[int] | None, firm: float) -> float | None:
    """Area, mm², of the opening of `body` in the first layer of `wanted` labels (None: any) `firm` mm thick."""
    start, stop = np.array(body["start"]), np.array(body["stop"])
    out = (start - stop) / np.linalg.norm(start - stop)
    one = np.cross(out, [0.31, 0.52, 0.79])
    one /= np.linalg.norm(one)
    two, r = np.cross(out, one), body["radius"]
    disc = np.array([(u, v) for u in np.arange(-r, r, r / 7) for v in np.arange(-r, r, r / 7) if np.hypot(u, v) <= r])
    steps = np.arange(-15, np.linalg.norm(start - stop), 0.25)
    lines = start + disc[:, :1, None] * one + disc[:, 1:, None] * two - steps[None, :, None] * out
    labels = place.at(lines)
    hit = labels > 0 if wanted is None else np.isin(labels, wanted)
    for _ in range(max(0, round(firm / 0.25) - 1)):
        hit = hit[:, :-1] & hit[:, 1:]
    met = np.array([line[h.argmax()] for line, h in zip(lines, hit, strict=True) if h.any()])
    if len(met) < len(disc) // 4:
        return None
    for _ in range(4):  # the plane of the most
        normal = np.linalg.svd(met - met.mean(0))[2][2]
        off = np.abs((met - met.mean(0)) @ normal)
        keep = off <= max(2.0, 2 * float(np.median(off)))
        if keep.all() or keep.sum() < len(met) / 2:
            break
        met = met[keep]
    return float(np.pi * r**2 / max(abs(normal @ out), 0.5))


def share_in_cleft(place: Places, body: dict, side: str) -> float | None:
    """% of the axis in multifidus and erector spinae that runs between them; None where they are not told apart."""
    muscle = f"muscle/paraspinal/{side}"
    parts = [place.points(f"{muscle}/{name}") for name in ("multifidus", "erector_spinae")]
    if not all(len(p) for p in parts):
        return None
    start, stop = np.array(body["start"]), np.array(body["stop"])
    way = start + np.linspace(0, 1, 400)[:, None] * (stop - start)
    both = np.all([cKDTree(p).query(way)[0] <= 2.5 + place.edge / 2 for p in parts], axis=0)
    inside = np.isin(place.at(way), place.labels(muscle)) | both
    return 100 * float(both.sum() / inside.sum()) if inside.any() else None


def check_candidate(place: Places, candidate: dict) -> list[str]:
    """What the places that one corridor names disagree on, in words."""
    name, said = f"{candidate['approach']} {candidate['rank']}", candidate["harm"]
    bodies = said["bodies"]
    tubes = [b for b in bodies if b["what"] == "tube"]
    wrong = []

    def differ(what: str, value: float | None, mine: float | None, close: float) -> None:
        if value is None or mine is None or not abs(value - mine) <= close:
            wrong.append(f"{name}: {what} {value} in the plan, counted {mine}")

    for entry in said["openings"] if len(tubes) == len([b for b in bodies if b["what"] != "instrument"]) else ():
        skin = entry["layer"] == "skin"
        muscles = place.labels("muscle", "tissue/muscle")
        mine = crossed(place, tubes[0], None if skin else muscles, 0.5 if skin else 2.0)
        value, sd = entry["area"]["value"], entry["area"]["sd"] or 0.0
        if value is not None or mine is not None:
            differ(f"{entry['layer']} opened", value, mine, 0.1 * (mine or 0.0) + 2 * sd)
    for entry in said["crossings"]:
        side, gap = entry["name"].split()[-1], entry["gap"]["value"]
        if entry["kind"] == "facet capsule" and gap is not None:
            points = place.capsules[side]
            differ(entry["name"], gap, None if points is None else float(wall(points, bodies).min()), 0.05)
            inside = None if points is None else 100 * float((wall(points, bodies) <= 0).mean())
            differ(f"share of {entry['name']}", entry["share"]["value"], inside, 1.0)
        elif entry["kind"] == "medial branch" and gap is not None:
            nerve = entry["name"].split()[3]
            groove = place.branch(place.lower if nerve == place.upper else place.upper, side)
            if groove is not None:
                differ(entry["name"], gap, float(wall(groove, bodies).min()), 1.5)
    plane = said["plane"]
    if plane is not None:
        mine = share_in_cleft(place, tubes[0], candidate["side"])
        value = plane["share"]["value"]
        if value is not None or mine is not None:
            differ("share in the muscle plane", value, mine, 6.0)
        entry = np.array(candidate["entry"])
        if not abs(plane["lateral"]["value"]) <= abs((entry - place.middle) @ place.left) + 40:
            wrong.append(f"{name}: enters muscle {plane['lateral']['value']} mm from the midline")
    return wrong


def check_places(array: np.ndarray, affine: np.ndarray, keys: dict[int, str], plan: dict) -> list[str]:
    """Every disagreement about openings, crossings and the muscle plane, in words; empty when they agree."""
    place = Places(np.asarray(array), affine, keys, plan["level"])
    return [line for candidate in plan["candidates"] for line in check_candidate(place, candidate)]
