"""A spine of boxes with ribs, sacrum and organs, painted on any grid in any pose: for numbering and sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Grid, LabelMap, Volume, affine

STEP = 34.0  # mm from body to body
ROW = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")


@dataclass(frozen=True)
class Spine:
    """What stands in the row; local axes are left, posterior, up, the origin lies in the lowest body's middle."""

    names: tuple[str, ...] = ROW
    ribs: tuple[str, ...] = ("T11", "T12")
    sacrum: bool = True
    gap: float = 0.0  # mm more between the lowest vertebra and the sacrum
    touching: tuple[str, ...] = ()  # sides on which the lowest transverse process reaches down to the sacrum
    sizes: tuple[tuple[str, float], ...] = ()  # name, width over the usual one
    organs: bool = True
    mirrored: bool = False

    def boxes(self):
        """(key, centre, half size) of every box, later ones over earlier ones."""
        made = []
        for n, name in enumerate(reversed(self.names)):
            up, wide = n * STEP, dict(self.sizes).get(name, 1.0)
            made.append((f"vertebra/{name}/spinous", (0, 42, up - 4), (4, 14, 8)))
            for sense in (1, -1):
                made.append((f"vertebra/{name}/posterior", (sense * 14, 22, up), (4, 12, 6)))
                made.append((f"vertebra/{name}/posterior", (sense * 30, 24, up), (16, 4, 4)))
            made.append((f"vertebra/{name}/posterior", (0, 30, up), (16, 4, 8)))
            made.append((f"vertebra/{name}/body", (0, 0, up), (22 * wide, 16 * wide, 13)))
            if n:
                below = list(reversed(self.names))[n - 1]
                made.append((f"disc/{name}-{below}", (0, 0, up - STEP / 2), (21, 15, 4)))
            for side, sense in (("left", 1), ("right", -1)):
                if name in self.ribs:
                    number = name[1:] if name[0] == "T" else name
                    made.append((f"rib/{number}/{side}", (sense * 60, 26, up + 4), (34, 5, 4)))
        made.append(("canal/dural_sac", (0, 20, STEP * (len(self.names) - 1) / 2), (8, 5, STEP * len(self.names) / 2)))
        return [*made, *self._below(), *(self._inside() if self.organs else [])]

    def _below(self):
        if not self.sacrum:
            return []
        low = -STEP - self.gap
        made = [("sacrum", (0, 8, low - 8), (45, 18, 22)), (f"disc/{self.names[-1]}-S1", (0, 0, -17), (21, 15, 4))]
        for side, sense in (("left", 1), ("right", -1)):
            made.append((f"pelvis/{side}", (sense * 75, 0, -8), (20, 40, 40)))
            if side in self.touching:
                made.append((f"vertebra/{self.names[-1]}/posterior", (sense * 38, 14, -10), (8, 14, 12)))
        return made

    def _inside(self):
        top = STEP * (len(self.names) - 2)
        return [
            ("organ/liver", (-80, -40, top), (40, 40, 40)),
            ("organ/spleen", (85, 0, top), (20, 25, 30)),
            ("vessel/aorta", (10, -28, top / 2), (8, 8, top / 2)),
            ("vessel/ivc", (-15, -28, top / 2), (8, 8, top / 2)),
        ]


def painted(spine: Spine, spacing=(2.5, 2.5, 2.5), turn=None, shift=(0.0, 0.0, 0.0), axes=None) -> LabelMap:
    """The label map of `spine` on voxels of `spacing`.

    `turn` and `shift` move the patient (3x3, mm); `axes` (3x3) turns the grid about the same middle.
    """
    turn, axes = (np.eye(3) if m is None else np.asarray(m) for m in (turn, axes))
    top = STEP * (len(spine.names) - 1)
    middle, half = np.array([0.0, 8.0, top / 2 - 20]), np.array([125.0, 85.0, top / 2 + 75])
    reach = half if np.allclose(axes, np.eye(3)) else np.abs(axes).T @ half
    shape = np.ceil(2 * reach / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ axes @ np.diag(spacing)
    matrix[:3, 3] = turn @ middle + shift - matrix[:3, :3] @ (shape - 1) / 2
    grid = Grid(tuple(int(n) for n in shape), affine(matrix))
    return _filled(spine, grid, turn, np.asarray(shift, dtype=float))


def _filled(spine, grid, turn, shift):
    array = np.zeros(grid.shape, dtype=np.uint8)
    numbers: dict[str, int] = {}
    signs = np.array([-1.0 if spine.mirrored else 1.0, 1.0, 1.0])
    corners = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    for key, centre, half in spine.boxes():
        n = numbers.setdefault(_swapped(key) if spine.mirrored else key, len(numbers) + 1)
        middle = np.asarray(centre, dtype=float) * signs
        ends = grid.index((middle + corners * half) @ turn.T + shift)
        low = np.clip(np.floor(ends.min(axis=0)).astype(int), 0, grid.shape)
        high = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 1, 0, grid.shape)
        index = np.moveaxis(np.indices(high - low), 0, -1) + low
        local = (grid.centres(index) - shift) @ turn - middle
        inside = (np.abs(local) <= half).all(axis=-1)
        part = array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        part[inside] = n
    present = set(np.unique(array).tolist())
    return LabelMap(array, grid.patient_from_index, {n: key for key, n in numbers.items() if n in present})


def _swapped(key):
    """A tool that looks at a mirrored image calls by where things lie: its left is on the left."""
    return "/".join({"left": "right", "right": "left"}.get(part, part) for part in key.split("/"))


def ct_of(labels: LabelMap, noise: float = 8.0, seed: int = 0) -> Volume:
    """A CT of `labels`: bone 350, disc 90, organs and blood 45, fat around them, air outside the trunk."""
    rng = np.random.default_rng(seed)
    table = np.full(max(labels.structures) + 1, -100.0)
    for n, key in labels.structures.items():
        table[n] = {"vertebra": 350, "sacrum": 350, "pelvis": 350, "rib": 350, "disc": 90}.get(key.split("/")[0], 45)
    values = table[labels.array] + rng.normal(0, noise, labels.array.shape)
    return Volume(np.rint(values).astype(np.int16), labels.patient_from_index)


def turned(degrees_xyz=(0.0, 0.0, 0.0)):
    """A rotation by angles about x, y, z."""
    made = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees_xyz)):
        a, b = [k for k in range(3) if k != axis]
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        made = one @ made
    return made
