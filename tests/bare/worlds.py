"""Fine labelled patients from which CT images are painted: real vertebrae from label maps, and phantoms.

A world holds the truth on about 1 mm: every voxel's structure key and what it is made of. The label maps hold vertebrae
alone, so the sacrum, pelvis, lowest ribs and (where the map ends at L1) T12 are taken from a phantom that is laid
against them, and soft tissue is invented around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.derive import complete
from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Structure, Vertebra
from keyhole.anatomy.phantom import PHANTOM, Phantom, PhantomParameters, phantom
from keyhole.anatomy.phantom.skeleton import Place
from keyhole.geometry import PATIENT, Box, Grid, LabelMap, Transform, affine
from keyhole.geometry.resample import keyhole_grid, labels_on_grid, reoriented
from keyhole.imaging.nifti import read_nifti
from keyhole.terms import Origin, belongs

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
VERSE = ("004", "010")

MATERIALS = (
    "air", "fat", "muscle", "skin", "bone", "disc", "nucleus", "sac", "epidural", "flavum", "artery", "vein", "kidney",
    "liver", "bowel", "gas", "root", "content",
)  # fmt: skip
_NUMBER = {name: n for n, name in enumerate(MATERIALS)}
_BY_KEY = (
    ("vertebra", "bone"), ("sacrum", "bone"), ("pelvis", "bone"), ("rib", "bone"), ("femur", "bone"),
    ("disc", "disc"), ("canal/dural_sac", "sac"), ("canal/epidural", "epidural"), ("canal/flavum", "flavum"),
    ("foramen", "epidural"), ("root", "root"), ("muscle", "muscle"), ("tissue/fat", "fat"), ("tissue/skin", "skin"),
    ("vessel/aorta", "artery"), ("vessel/iliac_artery", "artery"), ("vessel", "vein"), ("organ/kidney", "kidney"),
    ("organ/liver", "liver"), ("organ/spleen", "liver"), ("organ", "bowel"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class World:
    """A patient on a fine grid along left, posterior, superior: `labels` the truth, `material` index to MATERIALS."""

    name: str
    labels: LabelMap
    material: NDArray[np.uint8]

    @property
    def grid(self) -> Grid:
        return self.labels.grid

    @property
    def vertebrae(self) -> tuple[str, ...]:
        return tuple(sorted({k.split("/")[1] for k in self.labels.keys if k.startswith("vertebra/")}))


def materials(labels: LabelMap, air: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """What every voxel is made of by its key; unlabelled voxels are fat, or air where `air`."""
    table = np.zeros(max(labels.structures) + 1, dtype=np.uint8)
    table[0] = _NUMBER["fat"]
    for n, key in labels.structures.items():
        table[n] = next(_NUMBER[what] for prefix, what in _BY_KEY if belongs(key, prefix))
    made: NDArray[np.uint8] = table[labels.array]
    if air is not None:
        made[air] = 0
    return made


def phantom_world(parameters: PhantomParameters, spacing: float = 1.0) -> World:
    """The phantom of `parameters`; gas and contents are put into its bowel."""
    made = phantom(parameters)
    labels = made.labels_on(made.grid(spacing))
    air = labels.array == 0
    outside = ndimage.label(np.pad(air[::2, ::2, ::2], 1, constant_values=True))[0]
    edge = outside[0, 0, 0]
    coarse = (outside == edge)[1:-1, 1:-1, 1:-1]
    for axis in range(3):
        coarse = np.repeat(coarse, 2, axis=axis)
    coarse = coarse[tuple(slice(0, n) for n in air.shape)]
    material = materials(labels, air & coarse)
    _fill_bowel(material, parameters.seed, spacing)
    return World(f"phantom {parameters.seed}", labels, material)


def _fill_bowel(material: NDArray[np.uint8], seed: int, spacing: float) -> None:
    """Gas and contents in the middle of the bowel's lumps."""
    rng = np.random.default_rng([seed, 77])
    wall = max(2, round(4 / spacing))
    inner = ndimage.binary_erosion(material == _NUMBER["bowel"], iterations=wall)
    lumps, n = ndimage.label(inner)
    kinds = np.array([0, *rng.choice([_NUMBER["gas"], _NUMBER["content"], _NUMBER["bowel"]], n, p=[0.3, 0.3, 0.4])])
    chosen = kinds.astype(np.uint8)[lumps]
    material[inner] = chosen[inner]


# --- label maps of real vertebrae ---


@cache
def verse_world(name: str, seed: int = 3) -> World | None:
    """The label map `name` ("004", "010") as a patient; None where the data are absent."""
    path = DATA / "labelmaps_verse" / f"sub-verse{name}_seg-vert_msk.nii.gz"
    if not path.is_file():
        return None
    builder = _Builder.of(_verse_labels(path))
    frames = vertebrae(builder.labels)
    body = phantom(PhantomParameters(seed=seed, pathologies=(), age=45.0))
    builder.lay_sacrum(body, frames["L5"])
    if "T12" in frames:
        for vertebra, stretch in (("T12", 1.0), ("T11", 1.5), ("T10", 1.7), ("T9", 1.9)):
            builder.lay_rib(body, frames[vertebra], stretch)
    else:
        builder.lay_upper(body, frames["L1"])
    return World(f"verse {name}", *builder.with_soft_tissue(frames, seed))


def _verse_labels(path: Path) -> LabelMap:
    """Whole vertebrae with parts, discs and canal derived from them, on 1 mm along left, posterior, superior."""
    order = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 7)]
    volume = read_nifti(path).volume
    array = volume.array.astype(np.uint8)
    names = {int(n): f"vertebra/{order[int(n) - 1]}" for n in np.unique(array) if n}
    upright = reoriented(LabelMap(array, volume.patient_from_index, names))
    fine = labels_on_grid(upright, keyhole_grid(upright.grid))
    known = {key: Structure(key, Origin.LABELLED, path.name, 0.5) for key in fine.keys}
    found, _, _ = complete(fine, known, None, "CT")
    kept = {n: k for n, k in found.structures.items() if belongs(k, "vertebra", "disc", "canal")}
    table = np.array([n if n in kept else 0 for n in range(max(found.structures) + 1)], dtype=np.uint8)
    return LabelMap(table[found.array], found.patient_from_index, kept)


ROOM = (164.0, 164.0), (120.0, 62.0), (145.0, 0.0)
"""mm of world to the right and left of the spine, in front and behind, below L5's middle and above the map."""

_SACRAL = ("vertebra/S1", "sacrum", "pelvis", "disc/L5-S1")


@dataclass(eq=False)
class _Builder:
    """A label map that grows; `array` lies on `grid`."""

    array: NDArray[np.uint8]
    grid: Grid
    names: dict[int, str]

    @property
    def labels(self) -> LabelMap:
        return LabelMap(self.array, self.grid.patient_from_index, dict(self.names))

    @classmethod
    def of(cls, labels: LabelMap) -> _Builder:
        """`labels` in a box with room for the trunk and the pelvis."""
        bone = np.argwhere(labels.mask("vertebra/L5/body")).mean(axis=0)
        spine = np.argwhere(labels.mask("vertebra"))
        middle = (spine[:, 0].min() + spine[:, 0].max()) / 2
        low = [middle - ROOM[0][0], spine[:, 1].min() - ROOM[1][0], bone[2] - ROOM[2][0]]
        high = [middle + ROOM[0][1], spine[:, 1].max() + ROOM[1][1], labels.array.shape[2] + ROOM[2][1]]
        start, stop = np.floor(low).astype(int), np.ceil(high).astype(int)
        array = np.zeros(stop - start, dtype=np.uint8)
        source = [slice(max(0, a), min(n, b)) for a, b, n in zip(start, stop, labels.array.shape, strict=True)]
        target = tuple(slice(s.start - a, s.stop - a) for s, a in zip(source, start, strict=True))
        array[target] = labels.array[tuple(source)]
        shift = np.eye(4)
        shift[:3, 3] = start
        shape = (int(array.shape[0]), int(array.shape[1]), int(array.shape[2]))
        return cls(array, Grid(shape, affine(labels.patient_from_index.matrix @ shift)), dict(labels.structures))

    def number(self, key: str) -> int:
        """The label of `key`, new where it has none."""
        for n, known in self.names.items():
            if known == key:
                return n
        new = max(self.names, default=0) + 1
        self.names[new] = key
        return new

    def lay_sacrum(self, body: Phantom, last: Vertebra) -> None:
        """The phantom's sacrum, pelvis and lowest disc below `last`."""
        disc = body.spine.discs["L5/S1"]
        roof = Place(disc.y, disc.z, disc.tilt - body.spine.wedges["L5/S1"] / 2)
        top = roof.at(0, 0, body.spine.heights["L5/S1"] / 2)
        assert last.inferior is not None
        size = last.inferior.width / (0.97 * body.size.vertebrae["L5"].width)
        self._lay(body, (*_SACRAL, "canal/dural_sac"), (top, roof.axes), (last, last.inferior), size)

    def lay_upper(self, body: Phantom, first: Vertebra) -> None:
        """The phantom's T11, T12 and ribs above `first`."""
        place = body.spine.places["L1"]
        plate = place.at(0, 0, body.size.vertebrae["L1"].height / 2)
        assert first.superior is not None
        size = first.superior.width / (0.97 * body.size.vertebrae["L1"].width)
        keys = ("vertebra/T12", "vertebra/T11", "rib", "disc/T12-L1", "disc/T11-T12", "canal/dural_sac")
        self._lay(body, keys, (plate, place.axes), (first, first.superior), size)

    def lay_rib(self, body: Phantom, one: Vertebra, stretch: float) -> None:
        """The phantom's twelfth ribs at `one`, `stretch` times as long."""
        place = body.spine.places["T12"]
        plate = place.at(0, 0, body.size.vertebrae["T12"].height / 2)
        if one.superior is None:
            return
        size = one.superior.width / (0.97 * body.size.vertebrae["T12"].width)
        self._lay(body, ("rib",), (plate, place.axes), (one, one.superior), size, stretch=stretch)

    def _lay(self, body, keys, own, to, size, *, stretch=1.0):  # type: ignore[no-untyped-def]
        """Paint solids of `keys` with the phantom's plane `own` (point, axes) on the endplate `to`."""
        one, plate = to
        up = plate.plane.normal
        left = one.left - (one.left @ up) * up
        left /= np.linalg.norm(left)
        turn = np.stack([left, np.cross(up, left), up]).T @ own[1]  # patient from phantom
        chosen = [s for s in body.solids if any(belongs(p.key, *keys) for p in s.every if p.key)]
        part = replace(body, solids=tuple(chosen))
        boxes = np.array([s.box for s in chosen])
        low, high = boxes[:, ::2].min(axis=0), boxes[:, 1::2].max(axis=0)
        low, high = low * [stretch, 1, 1], high * [stretch, 1, 1]
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        index = self.grid.index(plate.centre + size * (corners - own[0]) @ turn.T)
        start = np.clip(np.floor(index.min(axis=0)).astype(int), 0, self.array.shape)
        stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, start, self.array.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        if stretch == 1.0:
            at = np.eye(4)
            at[:3, :3] = size * turn
            at[:3, 3] = plate.centre - size * turn @ own[0]
            lying = replace(part, pose=Transform(PATIENT, PHANTOM, at))
            found = lying.labels_on(self.grid.crop(box)).array  # type: ignore[arg-type]
        else:
            found = self._stretched(part, box, (own[0], turn, plate.centre, size), stretch)
        self._merge(found, {n: k for n, k in part.structures.items() if belongs(k, *keys)}, start, (one.name, stretch))

    def _stretched(self, part, box, at, stretch):  # type: ignore[no-untyped-def]
        """Labels of `part` with everything beyond 24 mm of the midline drawn out sidewards."""
        origin, turn, centre, size = at
        cells = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), axis=-1)
        points = origin + (self.grid.centres(cells.reshape(-1, 3)) - centre) @ turn / size
        x = np.abs(points[:, 0])
        points[:, 0] = np.sign(points[:, 0]) * np.where(x > 24.0, 24.0 + (x - 24.0) / stretch, x)
        return part.labels_at(points).reshape(cells.shape[:3])

    def _merge(self, found, names, start, which):  # type: ignore[no-untyped-def]
        box = tuple(slice(a, a + n) for a, n in zip(start, found.shape, strict=True))
        here = self.array[box]
        bone = self.labels.mask("vertebra", "disc", box=box)  # type: ignore[arg-type]
        taken = ndimage.binary_dilation(bone)
        for n, key in names.items():
            name = (
                f"rib/{which[0][1:]}/{key.rsplit('/', 1)[1]}" if key.startswith("rib") and which[0][0] == "T" else key
            )
            allowed = (here == 0) & ~(bone if key.startswith(("disc", "canal", "rib")) else taken)
            here[(found == n) & allowed] = self.number(name)

    def with_soft_tissue(self, frames: Mapping[str, Vertebra], seed: int) -> tuple[LabelMap, NDArray[np.uint8]]:
        """The labels and materials of the whole trunk."""
        trunk = _Trunk(self, frames, np.random.default_rng([seed, 5]))
        outside = trunk.paint()
        labels = self.labels
        material = materials(labels, outside)
        material[trunk.lean & (self.array == 0)] = _NUMBER["muscle"]
        _fill_bowel(material, seed, 1.0)
        return labels, material


class _Trunk:
    """Invented soft tissue around a spine, section by section."""

    def __init__(self, builder: _Builder, frames: Mapping[str, Vertebra], rng: np.random.Generator) -> None:
        self.builder, self.rng = builder, rng
        self.shape = builder.array.shape
        self.lean = np.zeros(self.shape, dtype=bool)
        centres = np.array([builder.grid.index(v.centre) for v in frames.values()])
        backs = np.array([builder.grid.index(v.centre + 32 * v.posterior) for v in frames.values()])
        widths = np.array([v.superior.width if v.superior else 40.0 for v in frames.values()])
        order = np.argsort(centres[:, 2])
        z = np.arange(self.shape[2])
        first, last = centres[order[0]], centres[order[-1]]
        sacral = first + np.array([0, 32, -60])
        far = np.vstack([sacral + np.array([0, 10, -60]), sacral, centres[order], last + np.array([0, 4, 60])])
        self.x = np.interp(z, far[:, 2], far[:, 0])
        self.y = ndimage.gaussian_filter1d(np.interp(z, far[:, 2], far[:, 1]), 8)
        self.half = np.interp(z, centres[order, 2], widths[order]) / 2
        lower = backs[order[0]] + np.array([0, 20, -60])
        self.back = np.interp(z, [lower[2], *backs[order, 2]], [lower[1], *backs[order, 1]])
        self.l5, self.l4, self.l1 = (float(builder.grid.index(frames[n].centre)[2]) for n in ("L5", "L4", "L1"))
        self.z = z

    def ellipse(self, x, y, rx, ry, power: float = 2.0) -> tuple[Box, NDArray[np.bool_]]:  # type: ignore[no-untyped-def]
        """An ellipse with centre and radii given per section (nan radius: none there), in its box."""
        x, y, rx, ry = (np.broadcast_to(np.asarray(v, dtype=np.float32), self.shape[2]) for v in (x, y, rx, ry))
        keep = np.flatnonzero((rx > 0) & (ry > 0))
        nothing = slice(0, 0)
        if not keep.size:
            return (nothing, nothing, nothing), np.zeros((0, 0, 0), dtype=bool)
        z = slice(int(keep[0]), int(keep[-1]) + 1)
        i, j = (
            slice(max(0, int(np.floor((c - r)[keep].min()))), max(0, min(n, int(np.ceil((c + r)[keep].max())) + 1)))
            for c, r, n in ((x, rx, self.shape[0]), (y, ry, self.shape[1]))
        )
        a = np.abs((np.arange(i.start, i.stop, dtype=np.float32)[:, None] - x[z]) / rx[z]) ** power
        b = np.abs((np.arange(j.start, j.stop, dtype=np.float32)[:, None] - y[z]) / ry[z]) ** power
        return (i, j, z), np.asarray(a[:, None] + b[None] < 1)  # nan never is

    def put(self, key: str, found: tuple[Box, NDArray[np.bool_]]) -> None:
        """Name the free voxels of `found`."""
        here = self.builder.array[found[0]]
        here[found[1] & (here == 0)] = self.builder.number(key)

    def paint(self) -> NDArray[np.bool_]:
        """Everything, nearest the spine first; what lies outside the body."""
        self._vessels()
        self._muscles()
        self._organs()
        return self._wall()

    def _vessels(self) -> None:
        z, split = self.z, self.l4 - 8
        front = self.y - 18.0 - 13.0
        above = np.where(z >= split, 1.0, np.nan)
        below = np.clip((split - z) / 70.0, 0, 1)
        iliac = np.where((z < split) & (z > split - 110), 1.0, np.nan)
        self.put("vessel/aorta", self.ellipse(self.x + 7, front, 9.0 * above, 9.0 * above))
        self.put("vessel/ivc", self.ellipse(self.x - 17, front + 3, 12.0 * above, 8.5 * above))
        for side, sign in (("left", 1), ("right", -1)):
            x = self.x + np.where(sign > 0, 8, -2) + sign * 42 * below
            self.put(f"vessel/iliac_artery/{side}", self.ellipse(x, front + 14 * below, 6.0 * iliac, 6.0 * iliac))
            x = self.x - 14 + (sign > 0) * 6 + sign * 38 * below + 2
            self.put(f"vessel/iliac_vein/{side}", self.ellipse(x, front + 8 + 16 * below, 7.0 * iliac, 6.5 * iliac))

    def _muscles(self) -> None:
        z = self.z
        bulk = np.clip((self.l1 + 14 - z) / (self.l1 - self.l5 + 14), 0, None)
        for side, sign in (("left", 1), ("right", -1)):
            rx = np.where(bulk > 0, 4 + 15 * np.clip(bulk, 0, 1), np.nan)
            out = self.half + 0.75 * rx + 10 * np.clip(bulk - 1, 0, 2)
            forward = 3 - 26 * np.clip(bulk - 1, 0, 2)
            self.put(f"muscle/psoas/{side}", self.ellipse(self.x + sign * out, self.y + forward, rx, 1.25 * rx, 2.4))
            x = self.x + sign * 33
            for box, mask in (
                self.ellipse(x, self.back + 14, 31.0, 24.0, 2.6),
                self.ellipse(self.x + sign * 15, self.back + 10, 15.0, 22.0, 2.2),
            ):
                i = np.arange(box[0].start, box[0].stop)[:, None, None]
                self.put(f"muscle/paraspinal/{side}", (box, mask & ((i - self.x[box[2]]) * sign > 1.5)))
            high = np.where((z > self.l5 - 5) & (z < self.l1 + 5), 1.0, np.nan)
            quadratus = self.ellipse(self.x + sign * (self.half + 42), self.back - 18, 20 * high, 8 * high, 2.2)
            self.put(f"muscle/quadratus_lumborum/{side}", quadratus)

    def _organs(self) -> None:
        z, rng = self.z, self.rng
        for side, sign in (("left", 1), ("right", -1)):
            reach = 1 - ((z - (self.l1 - 20)) / 55.0) ** 2
            r = np.sqrt(np.clip(reach, 0, 1))
            r = np.where(r > 0.05, r, np.nan)
            x = self.x + sign * (self.half + 42 - 8 * (z - self.l1) / 55)
            self.put(f"organ/kidney/{side}", self.ellipse(x, self.y + 2, 27 * r, 30 * r))
            r = np.where(z < self.l1 + 40, 1.0, np.nan)
            self.put("organ/colon", self.ellipse(self.x + sign * 105, self.y - 30, 21 * r, 25 * r))
        for _ in range(26):
            at = (rng.uniform(-75, 75), rng.uniform(-88, -48), rng.uniform(self.l5 - 90, self.l1 + 30))
            size = rng.uniform(11, 22, 3)
            r = np.sqrt(np.clip(1 - ((z - at[2]) / size[2]) ** 2, 0, 1))
            r = np.where(r > 0.05, r, np.nan)
            self.put("organ/small_bowel", self.ellipse(self.x + at[0], self.y + at[1], size[0] * r, size[1] * r))
        r = np.sqrt(np.clip((z - (self.l1 - 30)) / 90.0, 0, 1))
        r = np.where(r > 0.05, r, np.nan)
        self.put("organ/liver", self.ellipse(self.x - 78, self.y - 55, 58 * r, 75 * r, 2.3))

    def _wall(self) -> NDArray[np.bool_]:
        x, y = float(np.mean(self.x)), float(np.mean(self.y)) - 18.0
        back = float(self.builder.labels.mask("vertebra", "sacrum").any(axis=(0, 2)).nonzero()[0].max())
        ry = back + 14 - y
        rx = ROOM[0][0] - 4
        body, inner, outer, lining = (self._oval(x, y, rx - a, ry - b) for a, b in ((0, 0), (2, 2), (13, 12), (22, 20)))
        i = np.arange(self.shape[0])[:, None]
        j = np.arange(self.shape[1])[None, :]
        wall = outer & ~lining & ((j < self.y.mean() + 25) | (np.abs(i - x) > 80))
        self.lean = np.broadcast_to(wall[..., None], self.shape)
        array = self.builder.array
        array[~body] = 0
        skin = array[body & ~inner]
        skin[skin == 0] = self.builder.number("tissue/skin")
        array[body & ~inner] = skin
        return np.broadcast_to(~body[..., None], self.shape)

    def _oval(self, x: float, y: float, rx: float, ry: float) -> NDArray[np.bool_]:
        i = np.abs((np.arange(self.shape[0])[:, None] - x) / rx) ** 2.5
        j = np.abs((np.arange(self.shape[1])[None, :] - y) / ry) ** 2.5
        return np.asarray(i + j < 1)
