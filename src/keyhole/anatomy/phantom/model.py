"""A phantom patient: continuous anatomy that can be sampled on any grid."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.canal import CanalLofts, canal_lofts, disc, foramen, herniation, neural, nucleus, root
from keyhole.anatomy.phantom.parameters import LEVELS, NAMES, Dimensions, PhantomParameters, dimensions
from keyhole.anatomy.phantom.pathology import Changes, changes
from keyhole.anatomy.phantom.pelvis import ilium, rib, sacrum
from keyhole.anatomy.phantom.skeleton import Skeleton, skeleton
from keyhole.anatomy.phantom.solids import Material, Solid
from keyhole.anatomy.phantom.trunk import SKIN, WALL, TrunkLofts, muscles, organs, trunk_lofts, vessels
from keyhole.anatomy.phantom.vertebra import SIGNS, Anatomist, vertebra
from keyhole.errors import InvalidInput
from keyhole.geometry import Frame, Grid, LabelMap, Points, Transform, Volume, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import sides_swapped

PHANTOM = Frame("phantom LPS mm")
"""The phantom upright: x left, y posterior, z up, origin in the middle of L3's body."""

LAYERS = (
    ("tissue/skin", "skin", SKIN),
    ("tissue/fat", "fat", 0.0),
    ("muscle/abdominal_wall/left", "muscle", WALL),
    ("muscle/abdominal_wall/right", "muscle", WALL),
    ("tissue/fat", "fat", 0.0),
)
"""From outside to inside: structure key, material, thickness (mm)."""
KINDS = ("ct", "t2")
AIR = -1000.0
POINT_SPREAD = 0.55  # mm, sd; keyhole-choice
CT_NOISE, T2_NOISE = 14.0, 16.0  # HU and grey values, sd; keyhole-choice
MOST_SAMPLES = 3  # along each axis of a voxel
FINEST = 1.35  # mm: coarser voxels are averaged from finer samples
ABOVE, BELOW = 2.0, 75.0  # mm of scan above the middle of T11/T12 and below S1's endplate

Field = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def materials(parameters: PhantomParameters, size: Dimensions) -> dict[str, Material]:
    """What each kind of tissue shows. CT in HU, T2 in arbitrary grey values; keyhole-choice but for trabecular bone.

    Trabecular bone falls with age by 2.5 HU a year from 226 HU below 30 years [jang2019].
    """
    spongy = max(60.0, 226.0 - 2.5 * max(0.0, parameters.age - 29.0) + size.trabecular)
    worn = min(1.0, max(0.0, (parameters.age - 30.0) / 90.0))
    blood = (270.0, 140.0) if parameters.has_contrast else (44.0, 42.0)
    return {
        "bone": Material(spongy, 330.0, 780.0, 40.0, 1.1),
        "dense": Material(spongy + 130.0, 260.0, 980.0, 40.0, 1.9),
        "muscle": Material(56.0, 140.0),
        "multifidus": Material(50.0 - 25.0 * worn, 180.0 + 80.0 * worn),
        "fat": Material(-98.0, 640.0),
        "skin": Material(20.0, 240.0),
        "csf": Material(18.0, 900.0),
        "flavum": Material(66.0, 95.0),
        "disc": Material(82.0, 120.0),
        "fragment": Material(78.0, 210.0),
        "root": Material(34.0, 380.0),
        "artery": Material(blood[0], 35.0),
        "vein": Material(blood[1], 60.0),
        "kidney": Material(34.0 + 90.0 * parameters.has_contrast, 430.0),
        "liver": Material(58.0 + 45.0 * parameters.has_contrast, 190.0),
        "bowel": Material(32.0, 330.0),
    }


@dataclass(frozen=True, eq=False)
class Phantom:
    """The anatomy that `parameters` describe, in its own frame and as it lies in the scanner (`pose`).

    Sampling is exact at any point: grids may be oblique, anisotropic, coarse or fine, and may cover any part.
    """

    parameters: PhantomParameters
    pose: Transform  # patient from phantom, rigid
    size: Dimensions
    change: Changes
    spine: Skeleton
    solids: tuple[Solid, ...]
    canal: CanalLofts
    trunk: TrunkLofts
    field: Field

    @cached_property
    def structures(self) -> dict[int, str]:
        """Label -> structure key; the same for every grid."""
        keys = {part.key for solid in self.solids for part in solid.every if part.key} | {key for key, _, _ in LAYERS}
        return dict(enumerate(sorted(keys), 1))

    @cached_property
    def named(self) -> dict[int, str]:
        """`structures` as the patient has them: sides exchanged where the phantom is mirrored."""
        if not self.parameters.is_mirrored:
            return self.structures
        return {n: sides_swapped(key) for n, key in self.structures.items()}

    @property
    def phantom_from_patient(self) -> Transform:
        """The map into the phantom's frame, its mirror included."""
        mirror = np.diag([-1.0 if self.parameters.is_mirrored else 1.0, 1.0, 1.0, 1.0])
        back = self.pose.inverse
        return Transform(PHANTOM, PATIENT, mirror @ back.matrix)

    @property
    def patient_from_phantom(self) -> Transform:
        """The map out of the phantom's frame, its mirror included."""
        return self.phantom_from_patient.inverse

    def grid(self, spacing: float | tuple[float, float, float] = 1.0) -> Grid:
        """An axis-aligned grid that holds the whole cross-section from mid T11/T12 to 75 mm below S1's endplate."""
        step = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3)
        if not (np.isfinite(step) & (step > 0)).all():
            raise InvalidInput(f"a spacing must be > 0 mm, got {spacing}")
        skin = self.trunk.skin[1:]
        top = self.spine.discs["T11/T12"].z + ABOVE
        low = self.spine.places["S1"].at(0, 0, self.size.vertebrae["S1"].height / 2)[2] - BELOW
        x = float(skin[:, 2].max()) + 6.0
        y = (float((skin[:, 1] - skin[:, 3]).min()) - 6.0, float((skin[:, 1] + skin[:, 3]).max()) + 6.0)
        inside = np.array([0.0, (y[0] + y[1]) / 2, (top + low) / 2])
        half = np.array([x, (y[1] - y[0]) / 2, (top - low) / 2])
        turn = np.abs(self.patient_from_phantom.matrix[:3, :3])
        flat = half.copy()
        flat[:2] += 0.35 * (turn @ half - half)[:2].clip(0)
        shape = np.ceil(2 * flat / step).astype(int)
        matrix = np.diag([*step, 1.0])
        matrix[:3, 3] = self.patient_from_phantom.apply(inside) - step * (shape - 1) / 2
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))

    def labels_on(self, grid: Grid) -> LabelMap:
        """The partition, by the structure at each voxel's centre."""
        labels, _ = self._render(grid, kinds=("labels",))
        return LabelMap(labels, grid.patient_from_index, self.named)

    def ct_on(self, grid: Grid) -> Volume:
        """A CT in HU: partial volume, point spread and correlated noise, int16."""
        return self._volumes(grid, ("ct",))[0]

    def t2_on(self, grid: Grid) -> Volume:
        """A T2-weighted image: fluid, fat and healthy nuclei bright, bone's shell black, int16."""
        return self._volumes(grid, ("t2",))[0]

    def key_at(self, points: ArrayLike) -> list[str]:
        """The structure key at each of `points` (n, 3), patient LPS mm; "" outside the body is not told from air."""
        found = self.labels_at(self.phantom_from_patient.apply(np.atleast_2d(np.asarray(points, dtype=np.float64))))
        return [self.named.get(int(n), "") for n in found]

    def labels_at(self, points: Points) -> NDArray[np.int64]:
        """The label of the last solid that holds each of `points` (n, 3), phantom frame; 0 in layers and air."""
        rows, solids, boxes, part_labels = self._compiled
        cloud = np.ascontiguousarray(points, dtype=np.float64)
        return np.asarray(_field.labels_at(cloud, rows, solids, boxes, part_labels, self.field))

    @cached_property
    def _compiled(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        of = {key: n for n, key in self.structures.items()}
        rows, solids, boxes = [], [], []
        part_labels: list[int] = []
        start = 0
        for solid in self.solids:
            if not solid.every[0].key:
                continue
            own = solid.rows(len(part_labels))
            rows.append(own)
            solids.append((start, start + len(own)))
            boxes.append(solid.box)
            start += len(own)
            part_labels.extend(of[part.key] for part in solid.every)
        return np.concatenate(rows), np.array(solids), np.array(boxes), np.array(part_labels)

    def render(self, grid: Grid) -> tuple[LabelMap, Volume, Volume]:
        """Labels, CT and T2 on one grid, sharing the work where the grid allows it."""
        if max(_factors(grid)) > 1:
            ct, t2 = self._volumes(grid, ("ct", "t2"))
            return self.labels_on(grid), ct, t2
        labels, images = self._render(grid, kinds=("labels", "ct", "t2"))
        volumes = [Volume(self._finish(images[n], grid, kind), grid.patient_from_index) for n, kind in enumerate(KINDS)]
        return LabelMap(labels, grid.patient_from_index, self.named), volumes[0], volumes[1]

    def _volumes(self, grid: Grid, kinds: tuple[str, ...]) -> list[Volume]:
        """Images of `kinds`; voxels that are coarse along an axis are means of finer ones, slab by slab."""
        factors = _factors(grid)
        images = {kind: np.empty(grid.shape, dtype=np.float32) for kind in kinds}
        slab = grid.shape[0] if max(factors) == 1 else max(1, 48 // factors[0])
        for start in range(0, grid.shape[0], slab):
            stop = min(start + slab, grid.shape[0])
            part = grid.crop((slice(start, stop), slice(0, grid.shape[1]), slice(0, grid.shape[2])))
            _, painted = self._render(_finer(part, factors), kinds=kinds)
            for kind in kinds:
                images[kind][start:stop] = _averaged(painted[KINDS.index(kind)], factors)
        return [Volume(self._finish(images[kind], grid, kind), grid.patient_from_index) for kind in kinds]

    def _finish(self, image: NDArray[np.float32], grid: Grid, kind: str) -> NDArray[np.int16]:
        """Noise, then the point spread over image and noise alike, then whole numbers."""
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415  (heavy import)

        rng = np.random.default_rng([self.parameters.seed, 2 if kind == "ct" else 3])
        sigma = np.minimum(POINT_SPREAD / grid.spacing, 1.5)
        gain = float(np.prod(np.minimum(1.0, 1 / np.sqrt(2 * np.sqrt(np.pi) * np.maximum(sigma, 0.3)))))
        noise = (CT_NOISE if kind == "ct" else T2_NOISE) / gain
        image += np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
        gaussian_filter(image, sigma, output=image, truncate=3.0, mode="nearest")
        low, high = (-1024, 3071) if kind == "ct" else (0, 4095)
        return np.clip(np.rint(image, out=image), low, high, out=image).astype(np.int16)

    def _render(
        self, grid: Grid, kinds: tuple[str, ...]
    ) -> tuple[NDArray[np.uint8], tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Labels, CT and T2 before noise; those not among `kinds` are empty arrays."""
        nothing = (0, 0, 0)
        painted = np.zeros(grid.shape if "labels" in kinds else nothing, dtype=np.uint8)
        images = (
            np.full(grid.shape if "ct" in kinds else nothing, AIR, dtype=np.float32),
            np.zeros(grid.shape if "t2" in kinds else nothing, dtype=np.float32),
        )
        of = {key: n for n, key in self.structures.items()}
        base = np.ascontiguousarray((self.phantom_from_patient @ grid.patient_from_index).matrix[:3])
        width = float(np.cbrt(grid.voxel_volume))
        made = materials(self.parameters, self.size)
        layers = np.array([(of[key], made[name].ct, made[name].t2, thick) for key, name, thick in LAYERS])
        sections = np.stack(_same_length([self.trunk.skin, self.trunk.wall]))
        _field.paint_trunk(painted, images, base, sections, layers, width)
        for solid in self.solids:
            box = _index_box(solid, grid, self.patient_from_phantom)
            if box is None:
                continue
            table = np.array([(of.get(part.key, 0), *part.material.columns) for part in solid.every])
            _field.paint(painted, images, box, base, solid.rows(), table, self.field, width)
        return painted, images


def _factors(grid: Grid) -> tuple[int, int, int]:
    """How many fine samples each voxel needs along i, j, k."""
    i, j, k = (int(min(MOST_SAMPLES, max(1, np.ceil(s / FINEST)))) for s in grid.spacing)
    return i, j, k


def _finer(grid: Grid, factors: tuple[int, int, int]) -> Grid:
    f = np.array(factors)
    matrix = np.diag([*(1 / f), 1.0])
    matrix[:3, 3] = (1 / f - 1) / 2
    shape = np.array(grid.shape) * f
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(grid.patient_from_index.matrix @ matrix))


def _averaged(image: NDArray[np.float32], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    if max(factors) == 1:
        return image
    a, b, c = factors
    i, j, k = image.shape
    blocks = image.reshape(i // a, a, j // b, b, k // c, c)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _index_box(solid: Solid, grid: Grid, patient_from_phantom: Transform) -> NDArray[np.int64] | None:
    b = solid.box
    corners = np.array([[x, y, z] for x in b[:2] for y in b[2:4] for z in b[4:6]])
    index = grid.index(patient_from_phantom.apply(corners))
    low = np.maximum(np.floor(index.min(axis=0)), 0).astype(np.int64)
    high = np.minimum(np.ceil(index.max(axis=0)) + 1, np.array(grid.shape)).astype(np.int64)
    if (high <= low).any():
        return None
    return np.array([low[0], high[0], low[1], high[1], low[2], high[2]])


def _same_length(tables: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Tables of one length and one step: shorter ones keep their last section."""
    most = max(len(t) for t in tables)
    padded = []
    for table in tables:
        short = np.repeat(table[-1:], most - len(table), axis=0)
        padded.append(np.vstack([table, short]))
    return padded


def default_pose(seed: int) -> Transform:
    """A small seeded turn (up to 4 degrees about each axis) and shift: nobody lies straight."""
    rng = np.random.default_rng([seed, 4])
    a, b, c = np.radians(rng.uniform(-4.0, 4.0, 3))
    shift = rng.uniform(-15.0, 15.0, 3)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = rx @ ry @ rz
    matrix[:3, 3] = shift
    return Transform(PATIENT, PHANTOM, matrix)


def phantom(parameters: PhantomParameters | None = None, pose: Transform | None = None) -> Phantom:
    """The phantom that `parameters` describe, lying as `pose` says (default: a small seeded turn and shift).

    `pose` is a rigid map of the upright phantom (origin in L3's body, LPS mm) into the patient's space; its frames'
    names do not matter, a reflection is refused: use `PhantomParameters.is_mirrored`.
    """
    wanted = parameters or PhantomParameters()
    at = default_pose(wanted.seed) if pose is None else Transform(PATIENT, PHANTOM, pose.matrix)
    turn = at.matrix[:3, :3]
    if not (np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0):
        raise InvalidInput(f"a pose is a turn and a shift without scaling or reflection, got {at.matrix.tolist()}")
    size, change = dimensions(wanted.seed), changes(wanted)
    spine = skeleton(size, change)
    canal, trunk = canal_lofts(size, spine, change), trunk_lofts(size, spine)
    tables = {**{f.name: getattr(canal, f.name) for f in fields(canal)}, "wall": trunk.wall, **trunk.sided}
    numbers = {name: n for n, name in enumerate(tables)}
    field = (spine.curve, spine.origin, np.stack(_same_length(list(tables.values()))))
    solids = _solids(wanted, (size, spine, change), trunk, numbers)
    return Phantom(wanted, at, size, change, spine, tuple(solids), canal, trunk, field)


def _solids(
    parameters: PhantomParameters,
    anatomy: tuple[Dimensions, Skeleton, Changes],
    trunk: TrunkLofts,
    numbers: dict[str, int],
) -> list[Solid]:
    """Every solid in painting order: what comes later lies over what came before."""
    size, spine, change = anatomy
    made = materials(parameters, size)
    roots = {
        (name, side): root(size, spine, change, (name, side), made["root"]) for name in NAMES[1:] for side in SIGNS
    }
    world = Anatomist(size, spine, change, numbers["canal"], made["bone"], made["dense"], roots)
    solids = muscles(world, trunk, numbers, made) + organs(world, numbers["wall"], made) + vessels(world, made)
    solids += [foramen(size, spine, level, side, made) for level in LEVELS for side in SIGNS]
    solids += neural(spine, numbers, made, size)
    worn = min(0.75, max(0.0, (parameters.age - 30.0) / 90.0))
    for level in LEVELS:
        dark = max(worn, change.dark) if level == change.level else worn
        solids += [disc(size, spine, change, level, made), nucleus(size, spine, level, dark)]
    if change.fragment > 0:
        solids.append(herniation(size, spine, change, made))
    solids += roots.values()
    sacral = sacrum(world)
    solids += [rib(world, side) for side in SIGNS]
    solids += [vertebra(world, name) for name in NAMES[:-1]]
    solids += [sacral, *(ilium(world, side, sacral) for side in SIGNS)]
    return solids


def healthy(parameters: PhantomParameters) -> PhantomParameters:
    """The same patient without disease."""
    return replace(parameters, pathologies=())
