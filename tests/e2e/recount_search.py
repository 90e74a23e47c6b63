"""An independent recount of what the search says of a corridor: skin, depth, incision, facet, reach, front.

Like `recount`, written against the files alone: labels, plan.json, and the numbers of approaches.toml. The reach is
recounted voxel by voxel where the target is a labelled fragment: cone, distance and line of sight, by sampling.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from recount import Scene, axis, burden

APPROACHES = Path(__file__).resolve().parents[2] / "src/keyhole/plan/approaches.toml"
NERVES = ("canal/dural_sac", "root", "vessel", "organ", "gas")
BONES = ("vertebra", "sacrum", "pelvis", "rib", "femur", "tissue/bone")


def number(approach: str, field: str, level: str):
    entry = tomllib.loads(APPROACHES.read_text())[approach][field]
    return entry.get("at", {}).get(level, entry["value"])


def at(where: Scene, points: np.ndarray) -> np.ndarray:
    """The label at each point, 0 outside the scan."""
    inverse = np.linalg.inv(where.affine)
    index = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < where.array.shape)).all(axis=-1)
    return np.where(inside, where.array[tuple(np.moveaxis(np.where(inside[..., None], index, 0), -1, 0))], 0)


def check_skin(where: Scene, tube: dict) -> list[str]:
    entry, dock = np.array(tube["entry"]), np.array(tube["dock"])
    out = (entry - dock) / np.linalg.norm(entry - dock)
    wrong = []
    if at(where, entry) == 0 or at(where, entry + 2.5 * out) != 0:
        wrong.append("the entry does not lie where the body ends")
    within = at(where, entry - np.arange(0, 4, 0.25)[:, None] * out)
    if where.labels("tissue/skin") and not np.isin(within, where.labels("tissue/skin")).any():
        wrong.append("there is no skin at the entry")
    if (at(where, dock + np.arange(0, np.linalg.norm(entry - dock), 0.5)[:, None] * out) == 0).any():
        wrong.append("the axis runs through what has no label")
    return wrong


def check_lengths(candidate: dict, level: str) -> list[str]:
    tubes = [candidate, *candidate.get("portals", [])]
    depth = np.linalg.norm(np.subtract(candidate["entry"], candidate["dock"]))
    extra = number(candidate["approach"], "incision_extra", level)
    incision = sum(2 * tube["radius"] + extra for tube in tubes)
    wrong = []
    if not abs(depth - candidate["depth"]["value"]) < 2e-3:
        wrong.append(f"depth {candidate['depth']['value']:.2f} mm, counted {depth:.2f}")
    if not abs(incision - candidate["incision"]["value"]) < 2e-3:
        wrong.append(f"incision {candidate['incision']['value']:.2f} mm, counted {incision:.2f}")
    return wrong


def check_facets(where: Scene, candidate: dict, level: str) -> list[str]:
    """Share of each labelled joint inside tubes and the instrument ahead of the dock."""
    upper, lower = level.split("/")
    dock, target = np.array(candidate["dock"]), np.array(candidate["target"])
    long, thin = np.linalg.norm(target - dock), candidate["instrument_radius"]
    first = dock + min(1.0, thin / max(long, 1e-9)) * (target - dock)
    ahead = {"entry": target, "dock": first - thin * (target - first) / max(np.linalg.norm(target - first), 1e-9)}
    counted: dict[int, float] = {}
    for tube in (candidate, *candidate.get("portals", []), {**ahead, "radius": thin}):
        for n, volume in burden(where, tube).items():
            counted[n] = counted.get(n, 0.0) + volume
    voxel = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    wrong = []
    for name, quantity in candidate["facet_removed"].items():
        side = name.rsplit("/", 1)[1]
        joint = where.labels(f"vertebra/{upper}/facet/inferior/{side}", f"vertebra/{lower}/facet/superior/{side}")
        whole = np.isin(where.array, joint).sum() * voxel
        mine = min(100.0, 100 * sum(counted.get(n, 0.0) for n in joint) / whole)
        if not abs(mine - quantity["value"]) <= max(0.03 * mine, 1.0):
            wrong.append(f"facet {name} {quantity['value']:.1f} %, counted {mine:.1f}")
    return wrong


def check_reach(where: Scene, candidate: dict, plan: dict) -> list[str]:
    """Share of the fragment that instruments can touch; nothing is said where the target is another or is cut."""
    level = plan["level"]
    aim = next((t for t in plan["targets"] if t["is_aim"] and t["side"] == candidate["side"]), None)
    fragment = np.argwhere(np.isin(where.array, where.labels(f"disc/{level.replace('/', '-')}/herniation")))
    voxel = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    if aim is None or aim["name"] != "fragment" or abs(len(fragment) * voxel - aim["volume"]["value"]) > 1e-3:
        return []
    points = fragment @ where.affine[:3, :3].T + where.affine[:3, 3]
    dock, (start, stop) = np.array(candidate["dock"]), axis(candidate)
    ahead = (stop - start) / np.linalg.norm(stop - start)
    way = points - dock
    far, deep = np.linalg.norm(way, axis=1), way @ ahead
    aside = np.sqrt(np.maximum(far**2 - deep**2, 0))
    name = candidate["approach"]
    near, most = number(name, "reach", level)
    lean = np.tan(np.radians(number(name, "angulation", level)))
    slack = max(candidate["radius"] - candidate["instrument_radius"], 0)
    touched = (deep >= 0) & (far >= near) & (far <= most) & (aside <= slack + deep * lean)
    soft = next(a for a in plan["approaches"] if a["name"] == name)["may_cut"]
    hard = sorted(set(where.labels(*NERVES, *BONES)) - set(where.labels(*soft)))
    lines = dock + np.linspace(0, 1, 80)[None, :, None] * way[:, None]
    touched &= ~np.isin(at(where, lines), hard).any(axis=1)
    mine, sd = 100 * touched.mean(), candidate["reach"]["sd"]
    if not abs(mine - candidate["reach"]["value"]) <= 3 * sd + 6:
        return [f"reach {candidate['reach']['value']:.0f} %, counted {mine:.0f}"]
    return []


def check_front(plan: dict) -> list[str]:
    """Nobody on the front is clearly beaten, and every approach's share of the search adds up."""
    rows = np.array([
        [min(1.0, sum(c["breach_probability"].values())), -c["reach"]["value"],
         max((q["value"] for q in c["facet_removed"].values()), default=0.0),
         sum(q["value"] for k, q in c["burden"].items() if k in ("muscle", "fat", "bone", "tissue/skin"))]
        for c in plan["candidates"]
    ]).reshape(-1, 4)  # fmt: skip
    margin = np.array([2e-3, 1.0, 0.5, 0.3])
    wrong = [
        f"candidate {n + 1} is on the front but beaten"
        for n in plan["pareto"]
        if (rows + margin < rows[n]).all(axis=1).any()
    ]
    if sum(f["searched"] for f in plan["feasibility"]) != plan["searched"]:
        wrong.append("the searches do not add up")
    return wrong


def check_search(where: Scene, plan: dict) -> list[str]:
    """Every disagreement, in words; empty when they agree."""
    wrong = check_front(plan)
    for candidate in plan["candidates"]:
        found = [w for tube in (candidate, *candidate.get("portals", [])) for w in check_skin(where, tube)]
        found += check_lengths(candidate, plan["level"]) + check_facets(where, candidate, plan["level"])
        found += check_reach(where, candidate, plan)
        wrong += [f"{candidate['approach']} {candidate['rank']}: {w}" for w in found]
    return wrong
