"""The harm of plan.json counted again from a label array and a record alone: numpy only, nothing of Keyhole."""

from __future__ import annotations

import numpy as np

DEEDS = {
    "skin": "cut", "flavum": "cut", "fat": "dilated", "muscle": "dilated", "bone": "removed", "disc": "removed",
}  # fmt: skip


def kind(key: str) -> str:
    """Kind of tissue of a structure key, by the words of the file contract."""
    head, _, rest = key.partition("/")
    if head == "tissue":
        return rest.split("/")[0]
    if head == "canal":
        return {"epidural": "fat", "flavum": "flavum"}.get(rest.split("/")[0], "nerve")
    bones = dict.fromkeys(("vertebra", "sacrum", "pelvis", "rib", "femur"), "bone")
    return {**bones, "disc": "disc", "foramen": "fat", "muscle": "muscle"}.get(head, head)


def axis_gap(points: np.ndarray, body: dict) -> np.ndarray:
    """Distance of `points` from the wall of a capsule, mm."""
    start, stop = np.array(body["start"]), np.array(body["stop"])
    along = stop - start
    t = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - t[..., None] * along, axis=-1) - body["radius"]


def union(array: np.ndarray, affine: np.ndarray, keys: dict[int, str], bodies: list[dict], fine: int = 4) -> dict:
    """ML of each structure inside the union of `bodies`, by `fine`³ points per voxel near a wall."""
    index = np.argwhere(array > 0)
    centres = index @ affine[:3, :3].T + affine[:3, 3]
    gap = np.min([axis_gap(centres, body) for body in bodies], axis=0)
    half = np.linalg.norm(affine[:3, :3].sum(axis=1)) / 2 + np.abs(affine[:3, :3]).sum() / 2
    near = gap < half
    index, centres = index[near], centres[near]
    steps = (np.arange(fine) + 0.5) / fine - 0.5
    share = np.zeros(len(index))
    for a in steps:
        for b in steps:
            for c in steps:
                moved = centres + affine[:3, :3] @ [a, b, c]
                share += np.min([axis_gap(moved, body) for body in bodies], axis=0) <= 0
    voxel = abs(np.linalg.det(affine[:3, :3])) / 1000 / fine**3
    labels = array[tuple(index.T)]
    return {keys[n]: float(share[labels == n].sum() * voxel) for n in np.unique(labels) if n in keys}


def by_deed(volumes: dict[str, float]) -> dict[str, float]:
    """ML by what is done to the tissue."""
    total: dict[str, float] = {}
    for key, volume in volumes.items():
        deed = DEEDS.get(kind(key), "dilated")
        total[deed] = total.get(deed, 0.0) + volume
    return total


def capsule_share(
    array: np.ndarray, affine: np.ndarray, keys: dict[int, str], parts: tuple[str, str], bodies: list[dict]
) -> float:
    """% of the soft voxels near both articular processes that lie inside `bodies`, by brute force."""

    def centres(wanted: np.ndarray) -> np.ndarray:
        return np.argwhere(wanted) @ affine[:3, :3].T + affine[:3, 3]

    ids = [next(n for n, key in keys.items() if key == part) for part in parts]
    joint = np.isin(array, ids)
    lows, highs = np.argwhere(joint).min(0) - 6, np.argwhere(joint).max(0) + 7
    box = tuple(slice(max(a, 0), b) for a, b in zip(lows, highs, strict=True))
    soft = np.zeros_like(joint)
    ok = [n for n, key in keys.items() if kind(key) in ("fat", "muscle", "skin", "gas", "vessel", "organ")]
    soft[box] = np.isin(array[box], ok)
    points = centres(soft)
    reach = 2.5 + np.linalg.norm(affine[:3, :3], axis=0).mean() / 2
    for n in ids:
        other = centres(array == n)
        points = points[[np.linalg.norm(other - p, axis=1).min() <= reach + 1e-6 for p in points]]
    steps = np.array([-0.25, 0.25])
    shifts = np.array([[a, b, c] for a in steps for b in steps for c in steps]) @ affine[:3, :3].T
    lattice = (points[:, None] + shifts).reshape(-1, 3)
    return 100 * float(np.mean(np.min([axis_gap(lattice, body) for body in bodies], axis=0) <= 0))


def skin_area(array: np.ndarray, affine: np.ndarray, body: dict) -> tuple[float, float]:
    """Length and area of a tube's opening in the skin, from where lines down the tube first meet the body."""
    start, stop = np.array(body["start"]), np.array(body["stop"])
    out = (start - stop) / np.linalg.norm(start - stop)
    one = np.cross(out, [0.31, 0.52, 0.79])
    one /= np.linalg.norm(one)
    two = np.cross(out, one)
    grid = np.arange(-body["radius"], body["radius"] + 0.01, body["radius"] / 8)
    inverse = np.linalg.inv(affine)
    met = []
    for u in grid:
        for v in grid:
            if np.hypot(u, v) > body["radius"]:
                continue
            line = start + u * one + v * two - np.arange(-15, 40, 0.25)[:, None] * out
            index = np.rint(line @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
            inside = ((index >= 0) & (index < array.shape)).all(1)
            seen = np.zeros(len(line), bool)
            seen[inside] = array[tuple(index[inside].T)] > 0
            if seen.any():
                met.append(line[seen.argmax()])
    cloud = np.array(met)
    normal = np.linalg.svd(cloud - cloud.mean(0))[2][2]
    cosine = abs(float(normal @ out))
    return 2 * body["radius"] / cosine, np.pi * body["radius"] ** 2 / cosine
