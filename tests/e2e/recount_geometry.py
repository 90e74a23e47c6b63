"""An independent recount of what follows from plan.json's own geometry: alignment, the cage's way, rods, portals, sums.

numpy and scipy only, nothing of Keyhole. Heights, angles and slips of a realigned level are counted from the frames and
the motions that plan.json gives (both looked at elsewhere), by the definitions of docs/measures.md.
"""

from __future__ import annotations

import itertools

import numpy as np
from recount import Scene, check_harm, gaps, segments
from recount_frames import Frame
from recount_fusion import ORDER, Body, Level
from recount_screws import Vertebra, check_grades, check_together
from scipy import ndimage

DANGER = ("canal/dural_sac", "root", "vessel", "organ", "gas", "tissue/gas")
BONE = ("vertebra", "sacrum", "pelvis", "rib", "femur", "tissue/bone")


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _deg(way: np.ndarray, over: np.ndarray, up: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(over @ way, over @ up)))


def disc(upper: Frame, lower: Frame) -> dict[str, float]:
    """Heights, angles and slips between two vertebrae."""
    over, under = upper.plates["inferior"], lower.plates["superior"]
    axis = unit(over["normal"] + under["normal"])

    def height(at: np.ndarray) -> float:
        return float(
            (over["point"] - at) @ over["normal"] / (axis @ over["normal"])
            - (under["point"] - at) @ under["normal"] / (axis @ under["normal"])
        )

    middle = (upper.centre_of("inferior") + lower.centre_of("superior")) / 2
    left = unit(upper.left + lower.left)
    up = upper.up + lower.up
    up = unit(up - (up @ left) * left)
    offset, forward = over["posterior"] - under["posterior"], unit(under["anterior"] - under["posterior"])
    aside = (over["left"] + over["right"] - under["left"] - under["right"]) / 2
    found = {
        "disc height": height(middle),
        "anterior disc height": height((over["anterior"] + under["anterior"]) / 2),
        "posterior disc height": height((over["posterior"] + under["posterior"]) / 2),
        "disc wedge angle": _deg(upper.posterior, over["normal"], upper.up)
        - _deg(upper.posterior, under["normal"], upper.up),
        "coronal disc wedge": _deg(left, under["normal"], up) - _deg(left, over["normal"], up),
        "slip": float(offset @ forward),
        "lateral slip": float(aside @ unit(under["left"] - under["right"])),
    }
    if "superior" in upper.plates:
        found["segmental lordosis"] = lordosis(upper, lower)
    return found


def lordosis(upper: Frame, lower: Frame) -> float:
    """Between the superior endplates, in the upper vertebra's midsagittal plane, deg."""
    high, low = (_deg(upper.posterior, f.plates["superior"]["normal"], upper.up) for f in (upper, lower))
    return high - low


def _told(entry: dict, level: str, name: str) -> dict | None:
    return next((c for c in entry["changes"] if c["level"] == level and c["name"] == name), None)


def check_alignment(plan: dict) -> list[str]:
    """Every disagreement about what a realignment changes between and along the vertebrae, in words."""
    by_name, wrong = {one["vertebra"]: one for one in plan["frames"]}, []
    for entry in () if plan["fusion"] is None else plan["fusion"]["entries"]:
        motions = {m["vertebra"]: np.array(m["matrix"]) for m in entry["motions"]}
        times = {
            "before": {n: Frame(told) for n, told in by_name.items()},
            "after": {n: Frame(told, motions[n]) for n, told in by_name.items() if n in motions},
        }
        said = list(_spine(entry, times)) + list(_discs(entry, times)) + _seat(entry, times)
        wrong += [f"cage ({entry['approach']}): {line}" for line in said]
    return wrong


def _discs(entry: dict, times: dict[str, dict[str, Frame]]):
    levels = {c["level"] for c in entry["changes"] if "/" in c["level"]}
    for level, (when, known) in itertools.product(sorted(levels), times.items()):
        upper, lower = (known.get(name) for name in level.split("/"))
        if upper is None or lower is None or "inferior" not in upper.plates or "superior" not in lower.plates:
            continue
        if ORDER.index(lower.name) - ORDER.index(upper.name) != 1 and (upper.name, lower.name) != ("L5", "S1"):
            continue
        for name, mine in disc(upper, lower).items():
            told = _told(entry, level, name)
            if told is not None and told[when]["value"] is not None and not abs(told[when]["value"] - mine) <= 0.01:
                yield f"{name} of {level} {when} {told[when]['value']:.3f}, counted {mine:.3f}"
        for name in ("disc height", "disc wedge angle"):
            told = _told(entry, level, name)
            again = None if told is None or when == "before" else told["measured"]
            if again is not None and not abs(again["value"] - told["after"]["value"]) <= 0.5:
                yield f"{name} of {level} {told['after']['value']:.2f}, measured again {again['value']:.2f}"


def _spine(entry: dict, times: dict[str, dict[str, Frame]]):
    for when, known in times.items():
        mine: dict[tuple[str, str], float] = {}
        for top, name in (("L1", "lumbar lordosis"), ("L4", "lower lumbar lordosis")):
            if top in known and "S1" in known and "superior" in known[top].plates and "superior" in known["S1"].plates:
                mine[f"{top}/S1", name] = lordosis(known[top], known["S1"])
        whole, low = (mine.get(k) for k in (("L1/S1", "lumbar lordosis"), ("L4/S1", "lower lumbar lordosis")))
        if whole is not None and low is not None and whole > 10:
            mine["L1/S1", "lordosis distribution index"] = 100 * low / whole
        lowest = known[max(known, key=ORDER.index)]
        for name, frame in known.items():
            lean = np.degrees(np.arctan2(frame.up @ lowest.posterior, frame.up @ lowest.up))
            mine[name, f"lean over {lowest.name}"] = float(lean)
        for (level, name), value in mine.items():
            told = _told(entry, level, name)
            if told is not None and told[when]["value"] is not None and not abs(told[when]["value"] - value) <= 0.02:
                yield f"{name} of {level} {when} {told[when]['value']:.3f}, counted {value:.3f}"


def _seat(entry: dict, times: dict[str, dict[str, Frame]]) -> list[str]:
    """The cage stands between the endplates' planes at its height; where it stands and how much it lifts (`risks`)."""
    upper, lower = entry["level"].split("/")
    over, under = times["after"][upper].plates["inferior"], times["after"][lower].plates["superior"]
    cage, wrong = entry["cage"], []
    axis, centre = unit(over["normal"] + under["normal"]), np.array(cage["centre"])
    gaps = [float((p["point"] - centre) @ p["normal"] / (axis @ p["normal"])) for p in (over, under)]
    if not (abs(gaps[0] - cage["height"] / 2) <= 0.01 and abs(gaps[1] + cage["height"] / 2) <= 0.01):
        wrong.append(f"cage height {cage['height']:.2f} mm, the planes lie {gaps[0]:.2f} and {-gaps[1]:.2f} mm away")
    if not np.linalg.norm(np.cross(axis, cage["up"])) <= 1e-5:
        wrong.append("the cage does not stand along the disc's axis")
    frame = times["after"][lower]
    depth = float(np.linalg.norm(under["anterior"] - under["posterior"]))
    foot = centre + gaps[1] * axis - frame.centre_of("superior")
    back = unit(under["posterior"] - under["anterior"])
    rise = [disc(times[w][upper], times[w][lower])["disc height"] for w in ("before", "after")]
    mine = {
        "cage's middle from the front": 100 * (float(foot @ back) / depth + 0.5),
        "disc raised by": rise[1] - rise[0], "cage's width": cage["width"],
    }  # fmt: skip
    for risk in entry["risks"]:
        value = mine.get(risk["name"])
        if value is not None and not abs(value - risk["value"]["value"]) <= 0.05:
            wrong.append(f"{risk['name']} {risk['value']['value']:.2f}, counted {value:.2f}")
    return wrong


def _tall(cage: dict) -> float:
    run = cage["length"] if abs(np.dot(cage["rise"], cage["heading"])) > 0.5 else cage["width"]
    return cage["height"] + run * np.tan(np.radians(abs(cage["angle"])) / 2)


def check_passage(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about the box that each cage sweeps on its way in, in words."""
    known, wrong = {one["vertebra"]: Frame(one) for one in plan["frames"]}, []
    half = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) @ where.affine[:3, :3].T
    slack = float(np.linalg.norm(half, axis=1).max())
    for entry in () if plan["fusion"] is None else plan["fusion"]["entries"]:
        told = entry["passage"]
        corridor = next((c for c in plan["candidates"] if c["approach"] == entry["approach"]), None)
        if told is None or corridor is None:
            continue
        middle, axes, tilt = _way(entry, corridor, known)
        cage = entry["cage"]
        said = []
        if not abs(tilt - told["tilt"]["value"]) <= 0.02:
            said.append(f"tilt {told['tilt']['value']:.2f} deg, counted {tilt:.2f}")
        out = max(10.0, float((middle - corridor["target"]) @ axes[0]) - cage["length"] / 2)
        low = np.array([-cage["length"] / 2 - out, -cage["width"] / 2, -_tall(cage) / 2])
        gaps, inside = _swept(where, middle, axes, (low, -low - np.array([out, 0, 0])))
        for key, quantity in told["clearance"].items():
            mine = gaps.get(key, np.inf) - slack
            if not abs(mine - quantity["value"]) <= 0.05:
                said.append(f"clearance to {key} {quantity['value']:.2f} mm, counted {mine:.2f}")
        for key in set(told["bone"]) | {k for k, v in inside.items() if v > 0.01}:
            value = told["bone"].get(key, {"value": 0.0})["value"]
            if not abs(inside.get(key, 0.0) - value) <= 0.01 + 0.03 * value:
                said.append(f"{key} in the way {value:.3f} mL, counted {inside.get(key, 0.0):.3f}")
        wrong += [f"cage ({entry['approach']}), way in: {line}" for line in said]
    return wrong


def _way(entry: dict, corridor: dict, known: dict[str, Frame]) -> tuple[np.ndarray, np.ndarray, float]:
    """Where the cage's middle lies before anything moves, its axes as it comes in, and the corridor's tilt, deg."""
    upper, lower = (known[name] for name in entry["level"].split("/"))
    over, under = upper.plates["inferior"], lower.plates["superior"]
    cage = entry["cage"]
    up, normal = unit(over["normal"] + under["normal"]), under["normal"]
    after = np.array(cage["centre"])
    axis = np.array(cage["up"])
    foot = after + float((under["point"] - after) @ normal / (axis @ normal)) * axis
    high = float((over["point"] - foot) @ over["normal"] / (up @ over["normal"]))
    along = unit(np.subtract(corridor["target"], corridor["dock"]))
    flat = along - (along @ normal) * normal
    heading = unit(flat - (flat @ up) * up)
    tilt = float(np.degrees(np.arcsin(along @ up)))
    return foot + high / 2 * up, np.stack([heading, np.cross(up, heading), up]), tilt


def _swept(
    where: Scene, middle: np.ndarray, axes: np.ndarray, box: tuple[np.ndarray, np.ndarray]
) -> tuple[dict[str, float], dict[str, float]]:
    """Distance of the box from the nearest voxel centre of each structure, mm, and mL of each bone inside it."""
    gaps: dict[str, float] = {}
    inside: dict[str, float] = {}
    each = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    inverse = np.linalg.inv(where.affine)
    corners = np.array(list(itertools.product(*zip(box[0] - 20, box[1] + 20, strict=True)))) @ axes + middle
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.maximum(np.floor(index.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, where.array.shape)
    part = where.array[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    for n in where.labels(*DANGER, *BONE):
        found = np.argwhere(part == n)
        if not len(found):
            continue
        local = ((found + first) @ where.affine[:3, :3].T + where.affine[:3, 3] - middle) @ axes.T
        off = np.linalg.norm(np.maximum(np.maximum(box[0] - local, local - box[1]), 0), axis=1)
        key = where.keys[n]
        gaps[key] = float(off.min())
        if n in where.labels(*BONE):
            inside[key] = float((off == 0).sum()) * each
    return gaps, inside


def check_rims(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about how far the faces of cages stand off and how much lies on the rim, in words.

    Where the endplate ends is known to a millimetre: the rim is counted 4 and 6 mm wide.
    """
    wrong = []
    for entry in () if plan["fusion"] is None else plan["fusion"]["entries"]:
        level, cage = Level(where, entry), entry["cage"]
        u = np.linspace(-0.5, 0.5, int(cage["length"]) + 1) * cage["length"]
        v = np.linspace(-0.5, 0.5, int(cage["width"]) + 1) * cage["width"]
        flat = u[:, None, None] * np.array(cage["heading"]) + v[None, :, None] * np.array(cage["across"])
        flat = level.centre + flat.reshape(-1, 3)
        slope = 2 * np.tan(np.radians(cage["angle"]) / 2)
        half = (cage["height"] + slope * ((flat - level.centre) @ np.array(cage["rise"]))) / 2
        for told, body, sense in zip(entry["contact"], (level.above, level.below), (1, -1), strict=True):
            off, inner = _face(level, body, flat + sense * half[:, None] * level.up, sense)
            gap = float(off[off > 0].mean()) if (off > 0).any() else 0.0
            few, many = (100 * float(((off <= 1.0) & (inner <= wide)).mean()) for wide in (4.0, 6.0))
            for what, low, high in (("gap", gap - 0.3, gap + 0.3), ("rim", few - 5, many + 5)):
                if not low <= told[what]["value"] <= high:
                    wrong.append(
                        f"cage ({entry['approach']}): {told['face']} face, {what} {told[what]['value']:.2f}, "
                        f"counted {low:.2f} to {high:.2f}"
                    )
    return wrong


def _face(level: Level, body: Body, face: np.ndarray, sense: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each point of a face stands off the bone (nan without), and lies inside its edge, mm."""
    off = body.surface(face, sense * level.up, -4.5, 5.0)
    off = np.where(body.at(face - sense * 4.5 * level.up) >= 0.5, -4.5, off)
    ticks = np.arange(-35.0, 35.5)
    middle = level.centre + sense * level.cage["height"] / 2 * level.up
    feet = middle + ticks[:, None, None] * level.left + ticks[None, :, None] * level.back
    # the endplate ends where its surface is not met, or nothing lies 5 mm behind it: there it is the wall
    plane = level.over if sense > 0 else level.under
    shift = ((plane[0] - feet) @ plane[1]) / (level.up @ plane[1])
    feet = (feet + shift[..., None] * level.up).reshape(-1, 3)
    known = np.isfinite(body.surface(feet, sense * level.up, -4.0, 5.0)) & (body.at(feet + sense * 5 * level.up) >= 0.5)
    known = known.reshape(len(ticks), -1)
    edge = np.maximum(ndimage.distance_transform_edt(np.pad(known, 1))[1:-1, 1:-1] - 0.5, 0)
    at = np.stack([(face - level.centre) @ level.left, (face - level.centre) @ level.back]) + 35.0
    return off, ndimage.map_coordinates(edge, at, order=1)


def check_rods(plan: dict) -> list[str]:
    """Every disagreement about the bend of rods and what the heads swing, in words."""
    record, wrong = plan["screws"], []
    if record is None:
        return wrong
    ways = {(s["vertebra"], s["side"]): unit(np.subtract(s["tip"], s["entry"])) for s in record["screws"]}
    heads = {(s["vertebra"], s["side"]): np.array(s["head"]) for s in record["screws"]}
    for rod in record["rods"]:
        points = np.array(rod["points"])
        run = np.linalg.norm(points - points[0], axis=1)
        curve = [np.polyfit(run, points[:, a], 2) for a in range(3)]
        for name in rod["vertebrae"]:
            at = run[np.linalg.norm(points - heads[name, rod["side"]], axis=1).argmin()]
            tangent = unit(np.array([np.polyval(np.polyder(c), at) for c in curve]))
            mine = float(np.degrees(np.arcsin(abs(tangent @ ways[name, rod["side"]]))))
            if not abs(mine - rod["lean"][name]["value"]) <= 0.5:
                said = rod["lean"][name]["value"]
                wrong.append(f"rod {rod['side']}: {name} swings {said:.1f} deg, counted {mine:.1f}")
        bent = 2 * float(np.linalg.norm([c[0] for c in curve]))
        said = rod["bend"]["value"]
        if (said is None and bent > 1e-4) or (said is not None and not abs(1 / said - bent) <= 0.05 / said + 1e-5):
            wrong.append(f"rod {rod['side']}: bent to {said} mm, counted {1 / max(bent, 1e-9):.0f}")
    return wrong


def check_portals(plan: dict) -> list[str]:
    """Every disagreement about how two portals lie to each other, in words."""
    wrong = []
    for candidate in plan["candidates"]:
        own = unit(np.subtract(candidate["dock"], candidate["entry"]))
        for portal in candidate["portals"]:
            way = unit(np.subtract(portal["dock"], portal["entry"]))
            for name, mine in (
                ("skin_distance", float(np.linalg.norm(np.subtract(portal["entry"], candidate["entry"])))),
                ("tip_distance", float(np.linalg.norm(np.subtract(portal["dock"], candidate["dock"])))),
                ("angle", float(np.degrees(np.arccos(np.clip(own @ way, -1, 1))))),
            ):
                if not abs(mine - portal[name]["value"]) <= 0.02:
                    wrong.append(f"{candidate['approach']} {candidate['rank']}: portals' {name} "
                                 f"{portal[name]['value']:.2f}, counted {mine:.2f}")  # fmt: skip
    return wrong


def check_operations(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about operations counted as one: sums, incisions, and the union's tissues, in words.

    What the cage fills is not counted as harm: it lies in the disc. Of the open one the sums alone.
    """
    wrong = []
    for whole in plan["operations"]:
        said = []
        apart = sum(part["volume"]["value"] for part in whole["parts"] if part["kind"] != "cage")
        cut = sum(one["length"]["value"] for one in whole["incisions"])
        if not abs(apart - whole["apart"]["value"]) <= 0.01:
            said.append(f"parts of {whole['apart']['value']:.2f} mL, counted {apart:.2f}")
        if whole["kind"] == "small" and not abs(cut - whole["incision"]["value"]) <= 0.1:
            said.append(f"cuts of {whole['incision']['value']:.1f} mm, counted {cut:.1f}")
        if not whole["together"]["value"] <= apart + 0.01:
            said.append("the whole is more than its parts")
        union = sum(t["volume"]["value"] for t in whole["harm"]["tissues"])
        if not abs(union - whole["together"]["value"]) <= 0.01:
            said.append(f"{whole['together']['value']:.2f} mL together, its tissues are {union:.2f}")
        if whole["kind"] == "small":
            said += check_harm(where, {"approach": "whole", "rank": 0, "harm": whole["harm"]})
        wrong += [f"operation {whole['name']}: {line}" for line in said]
    return wrong


def check_standing(plan: dict) -> list[str]:
    """Every disagreement about screws and rods of operations where the bones are after realignment, in words."""
    wrong = []
    for whole in plan["operations"]:
        motions = _motions(plan, whole)
        moved = [_carried(s, motions.get("S1" if s["vertebra"].startswith("S2") else s["vertebra"], np.eye(4)))
                 for s in plan["screws"]["screws"]]  # fmt: skip
        record = {"screws": moved, "rods": whole["rods"], "contacts": whole["contacts"], "incisions": ()}
        said = check_together(record) + check_rods({"screws": record})
        wrong += [f"operation {whole['name']}: {line}" for line in said]
    return wrong


def _motions(plan: dict, whole: dict) -> dict[str, np.ndarray]:
    """What the cage of an operation does to each vertebra: the cage of its own approach, else the first."""
    entries = () if plan["fusion"] is None else plan["fusion"]["entries"]
    if not entries or whole["bones"] != "realigned":
        return {}
    own = next((e for e in entries if e["approach"] == whole["approach"]), entries[0])
    return {m["vertebra"]: np.array(m["matrix"]) for m in own["motions"]}


def _carried(screw: dict, motion: np.ndarray) -> dict:
    ends = {k: (motion[:3, :3] @ screw[k] + motion[:3, 3]).tolist() for k in ("entry", "tip", "head")}
    return screw | ends


def check_thinner(where: Scene, plan: dict, sds: dict[str, float], n: int = 500) -> list[str]:
    """Every disagreement about the grades of the thinnest screw on each axis, by `n` simulated executions, in words."""
    record, wrong = plan["screws"], []
    bones: dict[str, Vertebra] = {}
    for screw in () if record is None else record["screws"]:
        if not screw["thinner"] or screw["vertebra"].startswith("S2"):
            continue
        least = min(screw["thinner"], key=float)
        thin = screw | {"radius": float(least) / 2, "grades": screw["thinner"][least]}
        bone = bones.setdefault(screw["vertebra"], Vertebra(where, screw["vertebra"]))
        said = check_grades(bone, thin, plan, sds, n)
        wrong += [f"screw {screw['vertebra']} {screw['side']}, {least} mm: {line}" for line in said]
    return wrong


def check_tried(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about the nearest misses: what is in the way lies as near as the missing mm say, in words."""
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) @ where.affine[:3, :3].T
    slack = float(np.linalg.norm(corners, axis=1).max()) + 0.05
    wrong = []
    for one in plan["rejected"]:
        tried, missing = one.get("tried"), one["missing"]
        if tried is None or missing is None or not where.labels(one["structure"]):
            continue
        both = segments(tried | {"target": tried["target"] or (np.array(tried["dock"]) + 1e-6).tolist()})
        near = gaps(where, *both["clearance" if tried["blocked"] == "tube" else "instrument_clearance"])
        mine = min((near[n] for n in where.labels(one["structure"]) if n in near), default=np.inf)
        if not -0.05 <= mine + missing["value"] <= slack:
            wrong.append(
                f"{one['approach']}: lacks {missing['value']:.2f} mm to {one['structure']}, counted {mine:.2f}"
            )
    return wrong
