"""An independent recount of simulated decompressions from labels.nii.gz and plan.json alone.

numpy and scipy only, nothing of Keyhole. plan.json names the voxels that go and the planes on which the canal is
measured; everything else is counted: mL by structure, share of the facets, what lies in the tube, whether the
approach may cut it and could reach it, the canal's area before and after on every plane, and whether the goal is met.
"""

from __future__ import annotations

import numpy as np
from recount import Scene
from scipy import ndimage
from scipy.spatial import ConvexHull, Delaunay

CANAL = ("canal/dural_sac", "canal/epidural")
BONE = ("vertebra", "sacrum", "pelvis", "rib", "femur", "tissue/bone")
HALF, PIXEL = 20.0, 0.4
BITE = 2.0
"""What is taken is taken in bites of this size, mm: a voxel may lie a bite's diagonal outside the reach."""


def taken(where: Scene, told: dict) -> np.ndarray:
    """(n, 3) indices of the voxels that go."""
    pairs = [run.split(":") for run in told["voxels"].split()]
    flat = np.concatenate([np.arange(int(a), int(a) + int(n)) for a, n in pairs] or [np.zeros(0, int)])
    return np.stack(np.unravel_index(flat, where.array.shape), axis=1)


class Near:
    """The labels within 45 mm of the canal's plane: indicator of the free canal, of roots, and what goes."""

    def __init__(self, where: Scene, told: dict) -> None:
        planes = told["planes"]
        self.point, self.normal = np.array(planes["point"]), np.array(planes["normal"])
        self.ways, self.apart = np.array([planes["left"], planes["back"]]), planes["apart"]
        self.inverse = np.linalg.inv(where.affine)
        spacing = np.linalg.norm(where.affine[:3, :3], axis=0)
        middle = self.inverse[:3, :3] @ self.point + self.inverse[:3, 3]
        index = taken(where, told)
        ends = np.concatenate([index, [middle - 45 / spacing, middle + 45 / spacing]])
        self.first = np.maximum(np.floor(ends.min(0)).astype(int) - 1, 0)
        last = np.minimum(np.ceil(ends.max(0)).astype(int) + 2, where.array.shape)
        part = where.array[tuple(slice(a, b) for a, b in zip(self.first, last, strict=True))]
        self.free = np.isin(part, where.labels(*CANAL))
        self.roots = np.isin(part, where.labels("root"))
        gone = np.zeros(part.shape, bool)
        gone[tuple((index - self.first).T)] = True
        drawn = np.isin(part, [n for n, k in where.keys.items() if k.startswith("disc") and k.endswith("herniation")])
        base = self.free | drawn if (drawn & gone).any() else self.free
        apart = ndimage.distance_transform_edt(~base, sampling=spacing)
        whole, _ = ndimage.label(self.free | (gone & (apart <= told["fill"])), structure=np.ones((3, 3, 3)))
        held = np.setdiff1d(np.unique(whole[self.free]), [0])
        self.widened = self.free | (gone & np.isin(whole, held) & (apart <= told["fill"]))

    def area(self, mask: np.ndarray, shift: float) -> tuple[float, float]:
        """mm² of `mask` in the plane `shift` mm up the canal, shares of voxels; and of roots within its outline."""
        ticks = np.arange(-HALF, HALF + PIXEL / 2, PIXEL)
        points = self.point + shift * self.normal
        points = points + ticks[:, None, None] * self.ways[0] + ticks[None, :, None] * self.ways[1]
        index = np.moveaxis(points @ self.inverse[:3, :3].T + self.inverse[:3, 3] - self.first, -1, 0)
        free, roots = (ndimage.map_coordinates(m.astype(np.float32), index, order=1) for m in (mask, self.roots))
        inside = np.argwhere(free >= 0.5)
        held = 0.0
        if len(inside) > 3 and roots.any():
            hull = Delaunay(inside[ConvexHull(inside).vertices]).find_simplex(np.argwhere(roots > 0)) >= 0
            held = float(roots[roots > 0][hull].sum()) * PIXEL**2
        return float(free.sum()) * PIXEL**2, held

    def areas(self, mask: np.ndarray, length: float) -> tuple[float, float, float]:
        """On the plane of the disc; the least over the planes within `length` mm; and what roots could add at most."""
        n = int(length / self.apart + 1e-9)
        found = np.array([self.area(mask, s) for s in self.apart * np.arange(-n, n + 1)])
        return float(found[n, 0]), float(found[:, 0].min()), float(found[:, 1].max())


def joint(where: Scene, level: str, side: str) -> list[int]:
    upper, lower = level.split("/")
    return where.labels(f"vertebra/{upper}/facet/inferior/{side}", f"vertebra/{lower}/facet/superior/{side}")


def joints(where: Scene, level: str) -> dict[str, int]:
    """Voxels of the whole joint on each side."""
    counts = np.bincount(where.array.ravel(), minlength=max(where.keys) + 1)
    return {side: int(sum(counts[n] for n in joint(where, level, side))) for side in ("left", "right")}


def _volumes(where: Scene, candidate: dict, level: str, index: np.ndarray, whole: dict[str, int]) -> list[str]:
    """What is wrong with the mL and shares; `whole` are the voxels of the joints."""
    told, each = candidate["decompression"], abs(np.linalg.det(where.affine[:3, :3])) / 1000
    labels = where.array[tuple(index.T)]
    wrong = []
    mine = {key: float((labels == n).sum()) * each for n, key in where.keys.items()}
    for key in set(told["removed"]) | {key for key, volume in mine.items() if volume}:
        said = told["removed"].get(key, {"value": 0.0})["value"]
        if not abs(said - mine.get(key, 0.0)) <= 1e-3:
            wrong.append(f"removed {key} {said:.3f} mL, counted {mine.get(key, 0.0):.3f}")
    bone = float(np.isin(labels, where.labels(*BONE)).sum()) * each
    if not abs(bone - told["bone"]["value"]) <= 1e-3:
        wrong.append(f"removed bone {told['bone']['value']:.3f} mL, counted {bone:.3f}")
    for side, voxels in whole.items():
        said = told["facet_removed"].get(f"{level}/{side}")
        if said is not None:
            share = 100 * float(np.isin(labels, joint(where, level, side)).sum()) / voxels
            if not abs(share - said["value"]) <= 0.05:
                wrong.append(f"facet {side} {said['value']:.2f} %, counted {share:.2f}")
    return wrong


def _crumbs(where: Scene, index: np.ndarray, held: np.ndarray) -> int:
    """How many of the voxels beyond reach hang on nothing once the others have gone: they come away by themselves."""
    if held.all():
        return 0
    low, high = np.maximum(index.min(axis=0) - 2, 0), index.max(axis=0) + 3
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    solid = np.isin(where.array[box], where.labels("vertebra", "sacrum", "disc", "canal/flavum"))
    solid[tuple((index[held] - low).T)] = False
    parts, _ = ndimage.label(solid)
    stays = solid.copy()
    stays[tuple((index[~held] - low).T)] = False
    loose = ~np.isin(parts, np.unique(parts[stays]))
    return int(loose[tuple((index[~held] - low).T)].sum())


def _reached(where: Scene, candidate: dict, approach: dict, index: np.ndarray, swap: bool) -> list[str]:
    """What is taken although the approach may not cut it or cannot reach it; and what lies in the tube."""
    entry, dock = np.array(candidate["entry"]), np.array(candidate["dock"])
    out, radius = (entry - dock) / np.linalg.norm(entry - dock), candidate["radius"]
    points = index @ where.affine[:3, :3].T + where.affine[:3, 3] - dock
    labels = where.array[tuple(index.T)]
    deep = -(points @ out)
    aside = np.linalg.norm(points + deep[:, None] * out, axis=1)
    tube = np.where(deep > -radius, np.hypot(aside, deep + radius), aside) <= radius
    room = np.sqrt(3) * BITE + 1.5 + np.linalg.norm(where.affine[:3, :3], axis=0).max() / 2
    slack = max(radius - candidate["instrument_radius"], 0.0)
    # A way begins inside the tube, a radius behind its tip, and may end at the edge of the cone: between it is wider.
    last = max(float(deep.max(initial=0.0)), 0.0)
    along = last * np.maximum(deep + radius, 0.0) / (last + radius)
    cone = aside <= slack + along * np.tan(np.radians(approach["angulation"])) + room
    held = tube | (cone & (deep >= -radius - room) & (np.linalg.norm(points, axis=1) <= approach["reach"][1] + room))
    stray = int((~held).sum()) - _crumbs(where, index, held)
    wrong = [f"{stray} voxels are taken that no tool reaches"] if stray else []
    turned = {"left": "right", "right": "left"} if swap else {}
    soft = ["/".join(turned.get(word, word) for word in key.split("/")) for key in approach["may_cut"]]
    allowed = where.labels("canal/flavum", *soft)
    allowed += [n for n, k in where.keys.items() if k.endswith("/herniation")]
    if not np.isin(labels, allowed).all():
        named = {where.keys[int(n)] for n in np.setdiff1d(labels, allowed)}
        wrong.append(f"takes what it may not cut: {', '.join(sorted(named))}")
    hard = np.isin(labels, where.labels("canal/flavum", *soft))
    volume = float((tube & hard).sum()) * abs(np.linalg.det(where.affine[:3, :3])) / 1000
    said = candidate["decompression"]["in_tube"]["value"]
    if not abs(volume - said) <= max(0.02 * volume, 0.01):
        wrong.append(f"{said:.3f} mL of it lie in the tube, counted {volume:.3f}")
    return wrong


def _areas(where: Scene, candidate: dict) -> list[str]:
    """What is wrong with the canal's areas."""
    told = candidate["decompression"]
    place, goal, wrong = Near(where, told), told["goal"], []
    least = next(m for m in told["measures"] if m["name"] == "least canal area")
    pairs = {"before": (place.free, told["canal_area_before"]), "after": (place.widened, told["canal_area_after"])}
    for name, (mask, said) in pairs.items():
        area, lowest, roots = place.areas(mask, goal["length"])
        for what, mine, value in (("", area, said["value"]), ("least ", lowest, least[name]["value"])):
            close = 0.02 * mine + 1.5
            if not mine - close <= value <= mine + roots + close:
                wrong.append(f"{what}canal area {name} {value:.1f} mm2, counted {mine:.1f} (roots {roots:.1f})")
    if goal["kind"] != "root":
        wanted = goal["amount"]
        if goal["kind"] == "share":
            wanted = told["canal_area_before"]["value"] * (1 + goal["amount"] / 100)
        if goal["reached"] != (least["after"]["value"] >= 0.9899 * wanted):
            wrong.append(f"goal of {wanted:.1f} mm2 {goal['reached']}, least area {least['after']['value']:.1f}")
    return wrong


def check_decompression(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about the decompression of each corridor and open comparator, in words."""
    approaches = {entry["name"]: entry for entry in plan["approaches"]}
    wrong, whole = [], joints(where, plan["level"])
    opened = [one for one in (plan["open"], *plan["comparators"]) if one is not None]
    for candidate in (*plan["candidates"], *opened):
        told = candidate["decompression"]
        if told is None or told["voxels"] is None:
            continue
        index = taken(where, told)
        said = _volumes(where, candidate, plan["level"], index, whole) + _areas(where, candidate)
        approach = approaches.get(candidate["approach"])
        if approach is not None:
            said += _reached(where, candidate, approach, index, candidate["side"] != plan["side"])
        wrong += [f"{candidate['approach']} {candidate['rank']}: {line}" for line in said]
    return wrong
