"""An independent recount of screws, rods and what runs into what from labels.nii.gz, plan.json and the CT alone.

numpy and scipy only, nothing of Keyhole. Walls are voxels as boxes, looked at in 27 points each; expected grades are
simulated executions under the budget of plan.json (a bare RMS registration), density is sampled in the CT.
"""

from __future__ import annotations

import itertools

import numpy as np
from recount import Scene
from recount_doubt import executions
from scipy import ndimage
from scipy.spatial import cKDTree

LIMITS = (0.0, 2.0, 4.0, 6.0)
BOX = np.array(list(itertools.product((-0.5, 0.0, 0.5), repeat=3)))


def apart(points: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance of `points` from the segment(s) `start` to `stop`."""
    way = stop - start
    square = (way * way).sum(-1)
    share = np.clip(((points - start) * way).sum(-1) / np.where(square > 0, square, 1), 0, 1)
    return np.linalg.norm(points - start - share[..., None] * way, axis=-1)


class Vertebra:
    """The bone that a screw may lie in, and what is outside it near by."""

    def __init__(self, where: Scene, name: str) -> None:
        self.where, self.name = where, name
        keys = ("vertebra/S1", "sacrum") if name == "S1" else (f"vertebra/{name}",)
        index = np.argwhere(np.isin(where.array, where.labels(*keys)))
        self.first = np.maximum(index.min(0) - 3, 0)
        box = tuple(slice(a, b + 4) for a, b in zip(self.first, index.max(0), strict=True))
        mask = np.isin(where.array[box], where.labels(*keys))
        parts, n = ndimage.label(mask)
        if n > 1:
            mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
        self.mask = np.pad(ndimage.binary_fill_holes(mask), 3)
        self.first = self.first - 3
        self.wall = self.rim()
        self.inverse = np.linalg.inv(where.affine)

    def points(self, index: np.ndarray) -> np.ndarray:
        return (index + self.first) @ self.where.affine[:3, :3].T + self.where.affine[:3, 3]

    def rim(self) -> np.ndarray:
        """Centres of the voxels outside the bone that touch it: nothing outside is nearer to what lies inside."""
        return self.points(np.argwhere(ndimage.binary_dilation(self.mask, np.ones((3, 3, 3))) & ~self.mask))

    def entered(self, points: np.ndarray) -> np.ndarray:
        """Whether `points` lie in the bone that a screw enters."""
        return self.holds(points)

    def holds(self, points: np.ndarray) -> np.ndarray:
        index = np.rint(points @ self.inverse[:3, :3].T + self.inverse[:3, 3] - self.first).astype(int)
        inside = ((index >= 0) & (index < self.mask.shape)).all(-1)
        return inside & self.mask[tuple(np.moveaxis(np.where(inside[..., None], index, 0), -1, 0))]


class Pelvis(Vertebra):
    """Sacrum and ilium of one side as one bone, with the cleft between them; entered through the sacrum."""

    def __init__(self, where: Scene, side: str) -> None:
        self.where, self.name = where, "S2AI"
        codes = [where.labels("vertebra/S1", "sacrum"), where.labels(f"pelvis/{side}")]
        index = np.argwhere(np.isin(where.array, [*codes[0], *codes[1]]))
        self.first = np.maximum(index.min(0) - 3, 0)
        box = tuple(slice(a, b + 4) for a, b in zip(self.first, index.max(0), strict=True))
        held = where.array[box]
        sacrum, ilium = (self.solid(np.isin(held, one)) for one in codes)
        frail = np.isin(held, where.labels("root", "canal/dural_sac", "vessel"))
        self.joint = self.cleft(sacrum, ilium) & ~frail & ~sacrum & ~ilium
        self.sacrum, self.joint = (np.pad(m, 3) for m in (sacrum, self.joint))
        self.mask = np.pad(sacrum | ilium, 3) | self.joint
        self.first = self.first - 3
        self.wall, self.inverse = self.rim(), np.linalg.inv(where.affine)

    @staticmethod
    def solid(mask: np.ndarray) -> np.ndarray:
        parts, n = ndimage.label(mask)
        if n > 1:
            mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
        return ndimage.binary_fill_holes(mask)

    def cleft(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Where both are within 6 mm together, in directions 120 degrees apart or more."""
        size = np.linalg.norm(self.where.affine[:3, :3], axis=0)
        near = [ndimage.binary_dilation(m, iterations=int(np.ceil(6 / size.min())) + 1) for m in (one, other)]
        index = np.argwhere(near[0] & near[1])
        found = np.zeros(one.shape, bool)
        if not len(index):
            return found
        box = tuple(slice(max(a - 8, 0), b + 9) for a, b in zip(index.min(0), index.max(0), strict=True))
        far = [ndimage.distance_transform_edt(~m[box], sampling=size) for m in (one, other)]
        slopes = [np.gradient(f, *size) for f in far]
        dot = sum(a * b for a, b in zip(*slopes, strict=True))
        length = np.sqrt(sum(a * a for a in slopes[0]) * sum(b * b for b in slopes[1]))
        found[box] = (far[0] + far[1] <= 6.0 + 1e-4) & (dot < -0.5 * length)
        return found

    def entered(self, points: np.ndarray) -> np.ndarray:
        whole, self.mask = self.mask, self.sacrum
        inside = self.holds(points)
        self.mask = whole
        return inside


def _ends(screw: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    entry, tip = np.array(screw["entry"]), np.array(screw["tip"])
    way = (tip - entry) / np.linalg.norm(tip - entry)
    return entry, tip - screw["radius"] * way, way


def check_clearance(bone: Vertebra, screw: dict) -> list[str]:
    """The gap to the voxels outside the bone, but those of the entry; lengths."""
    entry, stop, _ = _ends(screw)
    wall = bone.wall[np.linalg.norm(bone.wall - entry, axis=1) > screw["radius"] + screw["entry_allowance"]]
    wall = wall[np.argsort(apart(wall, entry, stop))[:400]]
    boxes = wall[:, None] + BOX @ bone.where.affine[:3, :3].T
    mine = float(apart(boxes, entry, stop).min()) - screw["radius"]
    said, edge = screw["clearance"]["value"], float(np.linalg.norm(bone.where.affine[:3, :3], axis=0).max())
    wrong = []
    if not -0.5 * edge <= said - mine <= 0.01:
        wrong.append(f"clearance {said:.2f} mm, counted {mine:.2f}")
    if not abs(min(w["value"] for w in screw["walls"].values()) - said) <= 2e-3:
        wrong.append("the nearest of the walls is not the clearance")
    length = float(np.linalg.norm(np.subtract(screw["tip"], screw["entry"])))
    if not (abs(length - screw["length"]["value"]) < 2e-3 and screw["diameter"]["value"] == 2 * screw["radius"]):
        wrong.append(f"length {screw['length']['value']:.2f} mm, counted {length:.2f}")
    return wrong


def check_crossed(where: Scene, bone: Pelvis, screw: dict) -> list[str]:
    """What a screw runs through, sacrum, joint and ilium, and how near it comes to what is labelled beyond."""
    entry, stop, way = _ends(screw)
    length, said, wrong = screw["length"]["value"], screw["crossed"], []
    points = entry + np.arange(0.05, length, 0.1)[:, None] * way
    parts = {}
    for name, mask in (("sacrum", bone.sacrum), ("joint", bone.joint)):
        whole, bone.mask = bone.mask, mask
        parts[name] = 0.1 * float(bone.holds(points).sum())
        bone.mask = whole
    parts["ilium"] = 0.1 * float(bone.holds(points).sum()) - parts["sacrum"] - parts["joint"]
    for name, mine in parts.items():
        if not abs(said[name]["value"] - mine) <= 0.5:
            wrong.append(f"{said[name]['value']:.1f} mm in {name}, counted {mine:.1f}")
    edge = float(np.linalg.norm(where.affine[:3, :3], axis=0).max())
    for key, gap in screw["near"].items():
        index = np.argwhere(np.isin(where.array, where.labels(key)))
        centres = index @ where.affine[:3, :3].T + where.affine[:3, 3]
        near = centres[np.argsort(apart(centres, entry, stop))[:200]]
        boxes = near[:, None] + BOX @ where.affine[:3, :3].T
        mine = float(apart(boxes, entry, stop).min()) - screw["radius"]
        if not -0.5 * edge <= gap["value"] - mine <= 0.01:
            wrong.append(f"{gap['value']:.2f} mm from {key}, counted {mine:.2f}")
    return wrong


def check_facet(where: Scene, screw: dict, above: str) -> list[str]:
    """What the shaft takes of the joint above, and Seo's grade where it is not a matter of a voxel."""
    entry, stop, _ = _ends(screw)
    name, side = screw["vertebra"], screw["side"]
    parts = []
    for key in (f"vertebra/{above}/facet/inferior/{side}", f"vertebra/{name}/facet/superior/{side}"):
        index = np.argwhere(np.isin(where.array, where.labels(key)))
        parts.append(index @ where.affine[:3, :3].T + where.affine[:3, 3])
    if screw["facet_grade"] is None or not all(len(p) for p in parts):
        return []
    near = [p[cKDTree(q).query(p)[0] <= 2.5] for p, q in (parts, parts[::-1])]
    joint, every = np.concatenate(near), np.concatenate(parts)
    share = 100 * float((apart(every, entry, stop) < screw["radius"]).mean())
    boxes = joint[:, None] + BOX @ where.affine[:3, :3].T
    inside = screw["radius"] - float(apart(boxes, entry, stop).min())
    beside = screw["head_radius"] - float(np.linalg.norm(joint - np.array(screw["head"]), axis=1).min())
    said, wrong = screw["facet_grade"], []
    if not abs(share - screw["facet_share"]["value"]) <= 0.5 + 0.05 * share:
        wrong.append(f"takes {screw['facet_share']['value']:.2f} % of the joint, counted {share:.2f}")
    mine = 2 if inside > 0 else 1 if beside > 0 else 0
    if said != mine and min(abs(inside), abs(beside)) > 0.5:
        wrong.append(f"facet grade {said}, counted {mine}")
    return wrong


def simulated(bone: Vertebra, screw: dict, budget: dict, sd: float, n: int) -> np.ndarray:
    """Breach of `n` executions, mm: the shaft turned and shifted about its middle, its entry found anew."""
    entry, _, way = _ends(screw)
    tip, radius = np.array(screw["tip"]), screw["radius"]
    middle, length = (entry + tip) / 2, float(np.linalg.norm(tip - entry))
    turn, shift = executions(budget, budget["registration"]["rms"], n)
    starts, ways = turn.apply(entry - middle) + middle + shift, turn.apply(way)
    back = np.arange(0, 40, 0.25)
    depth = 0.35 * length if bone.name != "S2AI" else min(12.0, 0.35 * length)
    inside = bone.entered((starts + depth * ways)[:, None] - back[:, None] * ways[:, None])
    first = np.where(inside.all(1), len(back) - 1, (~inside).argmax(1))
    doors = starts + (depth - back[first])[:, None] * ways
    near = bone.wall[apart(bone.wall, entry, tip) < radius + 9]
    gaps = np.empty(n)
    for m in range(n):
        wall = near[np.linalg.norm(near - doors[m], axis=1) > radius + screw["entry_allowance"]]
        along = np.clip(((wall - starts[m]) @ ways[m]), 0, length - radius)
        off = wall - starts[m] - along[:, None] * ways[m]
        far = np.linalg.norm(off, axis=1)
        support = 0.5 * np.abs((off / np.maximum(far, 1e-9)[:, None]) @ bone.where.affine[:3, :3]).sum(1)
        gaps[m] = float((far - support).min(initial=99.0)) - radius
    return -(gaps + np.random.default_rng(13).normal(0, sd, n))


def check_grades(bone: Vertebra, screw: dict, plan: dict, sds: dict[str, float], n: int = 1500) -> list[str]:
    """Shares of grades by simulation. The entry of an executed screw is found by voxels here: half of one decides."""
    budget = plan["budget"]
    heads = {"S1": ("vertebra/S1", "sacrum"), "S2AI": ("vertebra/S1", "sacrum", f"pelvis/{screw['side']}")}
    keys = [k for k in sds if k.startswith(heads.get(bone.name, (f"vertebra/{screw['vertebra']}",)))]
    voxel = abs(np.linalg.det(bone.where.affine[:3, :3])) ** (1 / 3)
    sd = max(budget["label_scale"] * max(sds[k] for k in keys), budget["label_least"] * voxel)
    breach = simulated(bone, screw, budget, sd, n)
    mine = np.bincount(np.where(breach <= 0, 0, np.searchsorted(LIMITS[1:], breach, side="right") + 1), minlength=5)
    wrong = []
    for grade, share in zip("ABCDE", mine / len(breach), strict=True):
        if not abs(share - screw["grades"][grade]) <= 0.03 + 0.05 * voxel + 3 * np.sqrt(share * (1 - share) / n):
            wrong.append(f"grade {grade} expected in {screw['grades'][grade]:.3f}, simulated {share:.3f}")
    return wrong


def check_density(screw: dict, image: tuple[np.ndarray, np.ndarray] | None) -> list[str]:
    """Mean and sd of the CT inside the shaft."""
    said = screw["density"]
    if image is None or said["value"] is None:
        return []
    array, affine = image
    entry, tip = np.array(screw["entry"]), np.array(screw["tip"])
    _, _, way = _ends(screw)
    one = np.cross(way, np.eye(3)[np.argmin(np.abs(way))])
    one /= np.linalg.norm(one)
    rng = np.random.default_rng(14)
    n = 20_000
    r, a = screw["radius"] * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    along = rng.random(n) * float(np.linalg.norm(tip - entry))
    across = np.cos(a)[:, None] * one + np.sin(a)[:, None] * np.cross(way, one)
    points = entry + along[:, None] * way + r[:, None] * across
    inverse = np.linalg.inv(affine)
    index = (points @ inverse[:3, :3].T + inverse[:3, 3]).T
    values = ndimage.map_coordinates(array.astype(float), index, order=1)
    close = 0.15 * float(values.std()) + 3.0
    if not abs(values.mean() - said["value"]) <= close or not abs(values.std() - said["sd"]) <= close:
        return [f"density {said['value']:.0f}, sd {said['sd']:.0f}, counted {values.mean():.0f}, {values.std():.0f}"]
    return []


def check_skin(where: Scene, screw: dict) -> list[str]:
    """The place on the skin lies behind the entry on the axis, in the skin, where the body ends."""
    if screw["skin"] is None:
        return []
    entry, _, way = _ends(screw)
    skin = np.array(screw["skin"])
    inverse = np.linalg.inv(where.affine)
    beyond = skin - np.arange(0.0, 4.0, 0.5)[:, None] * way
    index = np.rint(beyond @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < where.array.shape)).all(1)
    found = np.where(inside, where.array[tuple(np.where(inside[:, None], index, 0).T)], 0)
    skins = where.labels("tissue/skin")
    wrong = []
    if not (np.linalg.norm(np.cross(skin - entry, way)) < 2e-3 and (skin - entry) @ way <= 0):
        wrong.append("its place on the skin does not lie on its axis")
    if found[0] not in skins or np.isin(found[1:], skins).any():
        wrong.append("its place on the skin is not where the skin ends")
    return wrong


def between(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Distance of two segments, sampled and refined."""
    low, high = 0.0, 1.0
    for _ in range(4):
        ticks = np.linspace(low, high, 101)
        points = a[0] + ticks[:, None] * (a[1] - a[0])
        gaps = apart(points, b[0], b[1])
        best = ticks[int(gaps.argmin())]
        low, high = max(0.0, best - (high - low) / 50), min(1.0, best + (high - low) / 50)
    return float(gaps.min())


def check_together(record: dict) -> list[str]:
    """Screws and heads that come near each other, the rods, and the cuts of the skin."""
    wrong, screws = [], record["screws"]
    told = {frozenset((c["first"], c["second"])): c["gap"]["value"] for c in record["contacts"]}
    for one, two in itertools.combinations(screws, 2):
        solids = []
        for s in (one, two):
            entry, stop, _ = _ends(s)
            head = np.array(s["head"])
            solids.append([((entry, stop), s["radius"]), ((head, head), s["head_radius"])])
        mine = min(between(a, b) - ra - rb for (a, ra), (b, rb) in itertools.product(*solids))
        said = told.get(frozenset(f"screw {s['vertebra']} {s['side']}" for s in (one, two)))
        if (said is None) != (mine >= 3.0) and abs(mine - 3.0) > 0.02:
            wrong.append(f"{one['vertebra']} and {two['vertebra']}: {mine:.2f} mm apart, the plan says {said}")
        elif said is not None and not abs(said - mine) <= 0.02:
            wrong.append(f"{one['vertebra']} and {two['vertebra']} are {said:.2f} mm apart, counted {mine:.2f}")
    for rod in record["rods"]:
        points = np.array(rod["points"])
        for s in (s for s in screws if s["side"] == rod["side"]):
            mine = float(apart(np.array(s["head"]), points[:-1], points[1:]).min())
            if not abs(mine - rod["residual"][s["vertebra"]]["value"]) <= 0.1:
                wrong.append(f"rod {rod['side']}: {mine:.2f} mm from the head of {s['vertebra']}")
        length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        if not abs(length - rod["length"]["value"]) <= 0.2:
            wrong.append(f"rod {rod['side']}: {rod['length']['value']:.1f} mm long, counted {length:.1f}")
    for cut in record["incisions"]:
        length = float(np.linalg.norm(np.subtract(*cut["ends"])))
        if len(cut["through"]) > 1 and not abs(length - cut["length"]["value"]) <= 0.1:
            wrong.append(f"the cut through {cut['through']} is {cut['length']['value']:.1f} mm, counted {length:.1f}")
    return wrong


def check_screws(
    where: Scene, plan: dict, sds: dict[str, float], image: tuple[np.ndarray, np.ndarray] | None = None, n: int = 1500
) -> list[str]:
    """Every disagreement about the screws of a plan, in words; `n` executions are simulated for each, 0: none."""
    record, wrong = plan["screws"], []
    if record is None:
        return wrong
    upper = plan["level"].split("/")[0]
    names = [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 6)] + ["S1"]
    bones = {name: Vertebra(where, name) for name in {s["vertebra"] for s in record["screws"]} - {"S2AI"}}
    for screw in record["screws"]:
        if screw["vertebra"] == "S2AI":
            bone = Pelvis(where, screw["side"])
            said = check_clearance(bone, screw) + check_crossed(where, bone, screw) + check_skin(where, screw)
            said += check_density(screw, image) + (check_grades(bone, screw, plan, sds, n) if n else [])
            wrong += [f"screw S2AI {screw['side']}: {line}" for line in said]
            continue
        bone = bones[screw["vertebra"]]
        above = upper if screw["vertebra"] != upper else names[names.index(upper) - 1]
        said = check_clearance(bone, screw) + check_facet(where, screw, above) + check_skin(where, screw)
        said += check_density(screw, image) + (check_grades(bone, screw, plan, sds, n) if n else [])
        wrong += [f"screw {screw['vertebra']} {screw['side']}: {line}" for line in said]
    return wrong + check_together(record)
