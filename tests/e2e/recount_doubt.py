"""An independent recount of a plan's doubt: executions simulated from labels.nii.gz, labels.json and plan.json alone.

Nothing of Keyhole is imported here. Only for budgets whose registration is a bare RMS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from recount import Scene, axis, scene
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

NEAREST = 1500
"""Corners of a structure that are looked at."""

SKIN_AIR = 6.0


@dataclass(frozen=True)
class Doubted:
    """The files of a plan: the labels, the sd of each structure, and the parsed plan.json."""

    where: Scene
    sds: dict[str, float]
    plan: dict


def doubted(case: Path) -> Doubted:
    entries = json.loads((case / "labels.json").read_text())["structures"].values()
    plan = json.loads((case / "plan.json").read_text())
    return Doubted(scene(case), {entry["key"]: entry["sd"] for entry in entries}, plan)


def own(files: Doubted, key: str) -> float:
    """How uncertain the place of a structure is, mm per axis."""
    budget, voxel = files.plan["budget"], abs(np.linalg.det(files.where.affine[:3, :3])) ** (1 / 3)
    return max(budget["label_scale"] * files.sds[key], budget["label_least"] * voxel)


def executions(budget: dict, rms: float, n: int) -> tuple[Rotation, np.ndarray]:
    """Turns and shifts about the tip of `n` executions, with a registration of `rms` mm at the tip."""
    rng = np.random.default_rng(11)
    registration, axes = budget["registration"], np.array(budget["axes"])
    scale = rms / registration["rms"]
    turn = rng.normal(0, np.deg2rad(registration["angle"]) * scale, (n, 3))
    shift = rng.normal(0, rms / np.sqrt(3), (n, 3))
    for term in budget["terms"]:
        shift += (rng.standard_normal((n, 3)) * term["sd"]) @ axes
        turn += rng.normal(0, np.deg2rad(term["angle"]), (n, 3))
    return Rotation.from_rotvec(turn), shift


def _gap(points: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    way, off = stop - start, points - start
    share = np.clip((off * way).sum(-1) / (way * way).sum(-1), 0, 1)
    off = off - share[..., None] * way
    return np.sqrt((off * off).sum(-1))


def corners(files: Doubted, key: str, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The corners of the voxels of `key` nearest to the planned axis; gas beside the skin is air."""
    where = files.where
    index = np.argwhere(np.isin(where.array, [n for n, k in where.keys.items() if k == key]))
    centres = index @ where.affine[:3, :3].T + where.affine[:3, 3]
    far = _gap(centres, start, stop)
    index = index[np.argsort(far)[: 3 * NEAREST]]
    offsets = np.array([[a, b, c] for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
    points = np.unique((index[:, None] + offsets).reshape(-1, 3), axis=0)
    points = points @ where.affine[:3, :3].T + where.affine[:3, 3]
    if key == "tissue/gas":
        skin = np.argwhere(np.isin(where.array, where.labels("tissue/skin")))
        skin = skin @ where.affine[:3, :3].T + where.affine[:3, 3]
        points = points[~np.isfinite(cKDTree(skin).query(points, distance_upper_bound=SKIN_AIR)[0])]
    return points[np.argsort(_gap(points, start, stop))[:NEAREST]]


def simulated(files: Doubted, entry: dict, rms: float, n: int) -> tuple[dict[str, float], np.ndarray]:
    """Share of executions that touch each structure nearer than 12 mm, and the least gap to any of these.

    Of two portals the shares add up: what both touch is counted twice, as the plan says it does.
    """
    shares, gaps = tube_simulated(files, entry, rms, n)
    for portal in entry.get("portals", ()):
        more, others = tube_simulated(files, portal, rms, n)
        shares = {key: shares.get(key, 0.0) + more.get(key, 0.0) for key in {**shares, **more}}
        gaps = np.minimum(gaps, others)
    return shares, gaps


def tube_simulated(files: Doubted, entry: dict, rms: float, n: int) -> tuple[dict[str, float], np.ndarray]:
    """As `simulated`, of one tube."""
    tip = np.array(entry["dock"])
    start, stop = axis(entry)
    turn, shift = executions(files.plan["budget"], rms, n)
    rng = np.random.default_rng(12)
    shares, gaps = {}, np.full(n, np.inf)
    for key in sorted(entry["breach_probability"]):
        away = rng.normal(0, own(files, key), (n, 3))
        if entry["clearance"][key]["value"] > 12:
            continue
        points = corners(files, key, start, stop)
        one = turn.apply(start - tip) + tip + shift - away
        two = turn.apply(stop - tip) + tip + shift - away
        best = np.full(n, np.inf)
        for point in points:
            best = np.minimum(best, _gap(point, one, two))
        shares[key] = float((best < entry["radius"]).mean())
        gaps = np.minimum(gaps, best - entry["radius"])
    return shares, gaps


def check_doubt(files: Doubted, entries: list[dict], n: int = 10_000) -> list[str]:
    """What the doubt of `entries` says wrongly, in sentences."""
    wrong = []
    rms = files.plan["budget"]["registration"]["rms"]
    for entry in entries:
        doubt, who = entry["doubt"], f"{entry['rank']} {entry['approach']}"
        shares, gaps = simulated(files, entry, rms, n)
        for key, share in shares.items():
            said, noise = entry["breach_probability"][key], 3 * np.sqrt(share * (1 - share) / n)
            if abs(said - share) > max(0.1 * share, 0.002) + noise:
                wrong.append(f"{who}: breach of {key} is {share:.4f}, not {said:.4f}")
        kept, true = doubt["kept_clearance"], float(np.quantile(gaps, 0.05)) if shares else np.inf
        if shares and kept is not None and not kept["value"] - 0.15 <= true:
            wrong.append(f"{who}: {true:.2f} mm are kept in 95 %, not {kept['value']:.2f}")
        needed = doubt["needed_accuracy"]["value"]
        if needed is not None and needed < 10 and shares:
            total = sum(simulated(files, entry, needed, n)[0].values())
            if abs(total - 0.05) > 0.01:
                wrong.append(f"{who}: at {needed:.2f} mm the danger is {total:.3f}, not 0.05")
    return wrong
