"""An independent recount of a plan from labels.nii.gz and plan.json alone (DESIGN.md section 4).

Written against the file contracts, with nibabel and numpy only: nothing of Keyhole is imported here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

KINDS = {
    "muscle": ("muscle", "tissue/muscle"),
    "fat": ("tissue/fat", "canal/epidural", "foramen"),
    "bone": ("vertebra", "sacrum", "pelvis", "rib", "femur", "tissue/bone"),
}


@dataclass(frozen=True)
class Scene:
    """The label array with its affine in LPS mm, and the keys by integer."""

    array: np.ndarray
    affine: np.ndarray
    keys: dict[int, str]

    def labels(self, *prefixes: str) -> list[int]:
        return [n for n, key in self.keys.items() if any(key == p or key.startswith(p + "/") for p in prefixes)]


def scene(case: Path) -> Scene:
    image = nibabel.load(case / "labels.nii.gz")
    entries = json.loads((case / "labels.json").read_text())["structures"]
    return Scene(
        np.asarray(image.dataobj),
        np.diag([-1.0, -1, 1, 1]) @ image.affine,
        {int(n): e["key"] for n, e in entries.items()},
    )


def _near(where: Scene, start: np.ndarray, stop: np.ndarray, reach: float) -> tuple[tuple[slice, ...], np.ndarray]:
    """The part of the grid within `reach` mm of the segment's box, and its voxel centres in LPS mm."""
    inverse = np.linalg.inv(where.affine)
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], float)
    low, high = np.minimum(start, stop) - reach, np.maximum(start, stop) + reach
    index = (low + corners * (high - low)) @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.clip(np.floor(index.min(0)).astype(int), 0, None)
    last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, where.array.shape)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    grid = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), -1)
    return box, grid @ where.affine[:3, :3].T + where.affine[:3, 3]


def _axis_distance(points: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    along = stop - start
    squared = along @ along
    share = np.clip((points - start) @ along / squared, 0, 1) if squared > 0 else np.zeros(points.shape[:-1])
    return np.linalg.norm(points - start - share[..., None] * along, axis=-1)


def axis(candidate: dict) -> tuple[np.ndarray, np.ndarray]:
    """The tube's axis: from the entry to the point `radius` short of the dock."""
    entry, dock = np.array(candidate["entry"]), np.array(candidate["dock"])
    return entry, dock - candidate["radius"] * (dock - entry) / np.linalg.norm(dock - entry)


def burden(where: Scene, candidate: dict, fine: int = 4) -> dict[int, float]:
    """mL of each label inside the tube, counting `fine`³ points per voxel."""
    start, stop = axis(candidate)
    radius = candidate["radius"]
    box, centres = _near(where, start, stop, radius + 2)
    labels = where.array[box]
    steps = (np.arange(fine) + 0.5) / fine - 0.5
    inside = np.zeros(labels.shape)
    close = _axis_distance(centres, start, stop) < radius + 1
    for a in steps:
        for b in steps:
            for c in steps:
                shift = where.affine[:3, :3] @ [a, b, c]
                inside[close] += _axis_distance(centres[close] + shift, start, stop) <= radius
    volume = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    return {int(n): float(inside[labels == n].sum() / fine**3 * volume) for n in np.unique(labels[inside > 0])}


def harm(where: Scene, candidate: dict, fine: int = 4) -> dict[int, float]:
    """mL of each label inside the union of all capsules that the harm of `candidate` was counted on."""
    bodies = [(np.array(b["start"]), np.array(b["stop"]), b["radius"]) for b in candidate["harm"]["bodies"]]
    ends = np.array([point for start, stop, _ in bodies for point in (start, stop)])
    box, centres = _near(where, ends.min(0), ends.max(0), max(radius for *_, radius in bodies) + 2)
    labels = where.array[box]

    def gap(points: np.ndarray) -> np.ndarray:
        return np.min([_axis_distance(points, start, stop) - radius for start, stop, radius in bodies], axis=0)

    steps = (np.arange(fine) + 0.5) / fine - 0.5
    inside = np.zeros(labels.shape)
    close = gap(centres) < 1
    for a in steps:
        for b in steps:
            for c in steps:
                inside[close] += gap(centres[close] + where.affine[:3, :3] @ [a, b, c]) <= 0
    volume = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    return {int(n): float(inside[labels == n].sum() / fine**3 * volume) for n in np.unique(labels[inside > 0])}


def check_harm(where: Scene, candidate: dict) -> list[str]:
    """Disagreements between the harm of a corridor and the recount: each tissue, each deed, each muscle."""
    name, said = f"{candidate['approach']} {candidate['rank']}", candidate["harm"]
    counted = harm(where, candidate)
    close = max(0.02 * sum(counted.values()), 0.05)
    deeds: dict[str, float] = {}
    wrong = []
    for entry in said["tissues"]:
        mine = sum(counted.get(n, 0.0) for n, key in where.keys.items() if key == entry["key"])
        deeds[entry["does"]] = deeds.get(entry["does"], 0.0) + mine
        if not abs(mine - entry["volume"]["value"]) <= close:
            wrong.append(f"{name}: harm, {entry['key']} {entry['volume']['value']:.3f} mL, counted {mine:.3f}")
    for deed, quantity in said["totals"].items():
        if not abs(deeds.get(deed, 0.0) - quantity["value"]) <= 2 * close:
            wrong.append(f"{name}: harm, {deed} {quantity['value']:.3f} mL, counted {deeds.get(deed, 0.0):.3f}")
    muscle = sum(counted.get(n, 0.0) for n in where.labels(*KINDS["muscle"]))
    if not abs(muscle - sum(m["volume"]["value"] for m in said["muscles"])) <= 2 * close:
        wrong.append(f"{name}: harm, muscles do not sum to {muscle:.3f} mL")
    return wrong


def gaps(where: Scene, start: np.ndarray, stop: np.ndarray, radius: float, reach: float = 40) -> dict[int, float]:
    """Distance from the wall of a capsule to the nearest voxel centre of each label within `reach` mm, mm."""
    box, centres = _near(where, start, stop, reach)
    labels = where.array[box].ravel()
    apart = _axis_distance(centres.reshape(-1, 3), start, stop) - radius
    nearest = np.full(int(where.array.max()) + 1, np.inf)
    np.minimum.at(nearest, labels, apart)
    return {int(n): float(nearest[n]) for n in np.flatnonzero(np.isfinite(nearest)) if nearest[n] <= reach - radius}


def segments(candidate: dict) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Start, stop and radius of the tube (`clearance`) and of the instrument (`instrument_clearance`)."""
    dock, target = np.array(candidate["dock"]), np.array(candidate["target"])
    return {
        "clearance": (*axis(candidate), candidate["radius"]),
        "instrument_clearance": (dock, target, candidate["instrument_radius"]),
    }


def touched(candidates: list[dict], where: Scene, forbidden: tuple[str, ...]) -> list[str]:
    """Structures of `where` at or below `forbidden` inside the tube or instrument of any of `candidates`, in words."""
    found = []
    for candidate in candidates:
        for start, stop, radius in segments(candidate).values():
            near = gaps(where, start, stop, radius, reach=radius + 3)
            hit = [n for n in where.labels(*forbidden) if near.get(n, np.inf) < 0]
            found += [f"{candidate['approach']} {candidate['rank']}: {where.keys[n]} {near[n]:.2f} mm" for n in hit]
    return found


def check(case: Path) -> list[str]:
    """Every disagreement between plan.json and the recount, in words; empty when they agree."""
    return check_plan(scene(case), json.loads((case / "plan.json").read_text()))


def check_plan(where: Scene, plan: dict) -> list[str]:
    """Every disagreement between `plan` and the recount on `where`, in words; empty when they agree."""
    wrong = []
    for candidate in plan["candidates"]:
        name = f"{candidate['approach']} {candidate['rank']}"
        wrong += check_harm(where, candidate)
        tubes = [candidate, *candidate.get("portals", [])]
        counted = dict.fromkeys(where.keys, 0.0)
        for tube in tubes:  # what two portals share is too little to matter: they meet at most at their tips
            for n, volume in burden(where, tube).items():
                counted[n] = counted.get(n, 0.0) + volume
        total = sum(counted.values())
        for key, quantity in candidate["burden"].items():
            mine = sum(counted.get(n, 0.0) for n in where.labels(*KINDS.get(key, (key,))))
            if not abs(mine - quantity["value"]) <= max(0.02 * total, 0.05):
                wrong.append(f"{name}: {key} {quantity['value']:.3f} mL, counted {mine:.3f}")
        for field, segment in segments(candidate).items():
            near = [gaps(where, *segment)]
            near += [gaps(where, *axis(tube), tube["radius"]) for tube in tubes[1:] if field == "clearance"]
            for key, quantity in candidate[field].items():
                found = min((one[n] for one in near for n in where.labels(key) if n in one), default=None)
                value = quantity["value"]
                if value is not None and found is not None and not -2.0 <= value - found <= 1e-3:
                    wrong.append(f"{name}: {field} to {key} {value:.2f} mm, counted {found:.2f}")
    return wrong
