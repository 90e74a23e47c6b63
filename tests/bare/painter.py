"""CT images painted from worlds: Hounsfield units, cortex, noise, partial volume, and every way a scan may lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from worlds import MATERIALS, World, materials

from keyhole.geometry import Grid, LabelMap, Volume, affine
from keyhole.geometry.resample import resample
from keyhole.terms import belongs

HU = {
    "air": -1000, "fat": -105, "muscle": 55, "skin": 20, "bone": 190, "disc": 85, "nucleus": 75, "sac": 22,
    "epidural": -60, "flavum": 65, "artery": 42, "vein": 42, "kidney": 34, "liver": 58, "bowel": 30, "gas": -850,
    "root": 35, "content": 40,
}  # fmt: skip
CONTRAST = {"artery": 290, "vein": 150, "kidney": 170, "liver": 110, "content": 220}
ARCH = 1.7  # times as thick as on bodies is the cortex of every other bone
EDGE = 22.0  # mm by which the ends of the world are repeated for turned scans


@dataclass(frozen=True)
class Look:
    """How a scan is made. Defaults: a clean 1 mm scan of a patient with healthy bone.

    `turn`: the patient lies rotated in the scanner, degrees about left, posterior, superior. `oblique`: the scan's axes
    are rotated against the patient. `order`, `flips`: how the file stores its axes. `top`, `bottom`, `sides`, `front`:
    mm cut off. `thin`: share of every disc's height taken away. `kissing`: spinous processes grown by mm.
    """

    noise: float = 20.0
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cancellous: float = 190.0
    cortex: float = 0.6
    hull: float = 720.0
    contrast: bool = False
    table: bool = True
    thin: float = 0.0
    kissing: float = 0.0
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0)
    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    top: float = 0.0
    bottom: float = 0.0
    sides: float = 0.0
    front: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Painted:
    """A scan with its truth on the same grid; `whole`: vertebrae of which at least 98 % lie in the scan."""

    name: str
    image: Volume
    truth: LabelMap
    whole: tuple[str, ...]
    look: Look


def paint(world: World, look: Look) -> Painted:
    """`world` as a CT with the `look`."""
    world = _kissing(_squeezed(world, look.thin), look.kissing)
    hu = _hounsfield(world, look)
    at = world.grid.patient_from_index.matrix
    turned = np.eye(4)
    turned[:3, :3] = rotation(look.turn)
    placed = turned @ at
    grid = _scan_grid(world, look, placed)
    spread = _spread(look, np.diag(np.linalg.norm(at[:3, :3], axis=0)))
    ends = round(EDGE / float(world.grid.spacing[2])) if any((*look.turn, *look.oblique)) else 0
    hu = ndimage.gaussian_filter(hu, spread, truncate=2.5, mode="nearest")
    lifted = np.eye(4)
    lifted[2, 3] = -ends
    source = Volume(np.pad(hu, [(0, 0), (0, 0), (ends, ends)], mode="edge"), affine(placed @ lifted))
    array = np.array(resample(source, grid, fill=HU["air"]).array)
    array += _noise(array.shape, look)
    np.clip(np.rint(array, out=array), -1024, 3071, out=array)
    labels = resample(Volume(world.labels.array, affine(placed)), grid, order=0, fill=0.0).array.astype(np.uint8)
    truth = LabelMap(labels, grid.patient_from_index, world.labels.structures)
    image = Volume(array.astype(np.int16), grid.patient_from_index)
    return Painted(f"{world.name}, {_words(look)}", image, truth, _whole(world, truth), look)


def rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turn about left, then posterior, then superior."""
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(z @ y @ x)


def _words(look: Look) -> str:
    plain = Look()
    said = [f"{k} {getattr(look, k)}" for k in look.__dataclass_fields__ if getattr(look, k) != getattr(plain, k)]
    return ", ".join(said) or "plain"


# --- changes of the anatomy ---


def _squeezed(world: World, share: float) -> World:
    """`world` with `share` of every disc's height taken out of the stack of its sections."""
    if not share > 0:
        return world
    depth = world.labels.array.shape[2]
    gone = np.zeros(depth)
    for key in world.labels.keys:
        if key.startswith("disc/") and key.count("/") == 1:
            mask = world.labels.mask(key)
            cells = np.argwhere(mask)
            if len(cells) < 500:
                continue
            columns = np.bincount(cells[:, 0] * 4096 + cells[:, 1])
            height = float(np.median(columns[columns > 0]))
            z = np.arange(depth) - cells[:, 2].mean()
            bump = np.exp(-0.5 * (z / 3.0) ** 2)
            gone += share * height * bump / bump.sum()
    kept = np.cumsum(1.0 - np.minimum(gone, 0.85))
    rows = np.searchsorted(kept, np.arange(int(kept[-1])) + 0.5).clip(0, depth - 1)
    labels = LabelMap(world.labels.array[:, :, rows], world.grid.patient_from_index, world.labels.structures)
    return World(world.name, labels, world.material[:, :, rows])


def _kissing(world: World, reach: float) -> World:
    """`world` with each spinous process grown up and down by `reach` mm into soft tissue, until they touch."""
    if not reach > 0:
        return world
    steps = max(1, round(reach / float(world.grid.spacing[2])))
    array, material = world.labels.array.copy(), world.material.copy()
    free = ~world.labels.mask("vertebra", "sacrum", "canal", "disc", "rib")
    along = np.zeros((3, 3, 3), dtype=bool)
    along[1, 1] = True
    for n, key in sorted(world.labels.structures.items()):
        if key.endswith("/spinous"):
            cells = np.argwhere(array == n)
            if not len(cells):
                continue
            box = tuple(
                slice(max(0, int(a) - steps), int(b) + steps + 1)
                for a, b in zip(cells.min(0), cells.max(0), strict=True)
            )
            grown = ndimage.binary_dilation(array[box] == n, along, iterations=steps) & free[box]
            array[box][grown] = n
            material[box][grown] = MATERIALS.index("bone")
            free[box] &= ~grown
    labels = LabelMap(array, world.grid.patient_from_index, world.labels.structures)
    return World(world.name, labels, material)


# --- Hounsfield units ---


def _hounsfield(world: World, look: Look) -> NDArray[np.float32]:
    """The image before blur and noise."""
    values = dict(HU) | (CONTRAST if look.contrast else {})
    table = np.array([values[name] for name in MATERIALS], dtype=np.float32)
    table[MATERIALS.index("bone")] = look.cancellous
    hu = table[world.material]
    _texture(hu, world, look)
    _cortex(hu, world, look)
    if look.table:
        _table(hu, world)
    return hu


def _texture(hu: NDArray[np.float32], world: World, look: Look) -> None:
    """Uneven trabeculae and organs: a tile of smooth noise."""
    rng = np.random.default_rng([look.seed, 11])
    tile = ndimage.gaussian_filter(rng.standard_normal((64, 64, 64)).astype(np.float32), 1.2, mode="wrap")
    tile /= tile.std()
    for start in range(0, hu.shape[2], 64):
        part = hu[:, :, start : start + 64]
        some = np.tile(tile, (hu.shape[0] // 64 + 1, hu.shape[1] // 64 + 1, 1))
        some = some[: part.shape[0], : part.shape[1], : part.shape[2]]
        bone = world.material[:, :, start : start + 64] == MATERIALS.index("bone")
        part += some * np.where(bone, np.float32(0.16 * look.cancellous), np.float32(6.0))


def _owners(labels: LabelMap) -> NDArray[np.uint8]:
    """A number per bone: parts of one vertebra share it."""
    names: dict[str, int] = {}
    table = np.zeros(max(labels.structures) + 1, dtype=np.uint8)
    for n, key in sorted(labels.structures.items()):
        if belongs(key, "vertebra", "sacrum", "pelvis", "rib", "femur"):
            bone = "sacrum" if belongs(key, "vertebra/S1", "sacrum") else "/".join(key.split("/")[:2])
            table[n] = names.setdefault(bone if not key.startswith("rib") else key, len(names) + 1)
    return table


def _bodies(labels: LabelMap) -> NDArray[np.bool_]:
    """Which labels are vertebral bodies."""
    table = np.zeros(max(labels.structures) + 1, dtype=bool)
    table[[n for n, key in labels.structures.items() if key.endswith("/body")]] = True
    return table


def _cortex(hu: NDArray[np.float32], world: World, look: Look) -> None:
    """A dense shell around every bone, `look.cortex` mm on bodies, with cartilage where two bones touch."""
    import edt

    bone = world.material == MATERIALS.index("bone")
    lines = [np.flatnonzero(bone.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    box = tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    owner = _owners(world.labels)[world.labels.array[box]]
    inside = bone[box].copy()
    joint = np.zeros_like(inside)
    for axis in range(3):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        a, b = owner[tuple(ahead)], owner[tuple(behind)]
        touch = (a != b) & (a > 0) & (b > 0)
        joint[tuple(ahead)] |= touch
    inside &= ~joint
    spacing = tuple(float(s) for s in world.grid.spacing)
    voxel = float(np.mean(spacing))
    depth = edt.edt(inside, anisotropy=spacing, black_border=False, parallel=2)
    thick = np.where(_bodies(world.labels)[world.labels.array[box]], np.float32(1.0), np.float32(ARCH)) * look.cortex
    shell = np.clip((thick - (depth - voxel)) / voxel, 0, 1, dtype=np.float32)
    part = hu[box]
    part[inside] += (shell * (look.hull - part))[inside]
    part[joint] = 130.0


def _table(hu: NDArray[np.float32], world: World) -> None:
    """A shell with foam behind the body, 3 mm from its back."""
    spacing = world.grid.spacing
    body = np.flatnonzero((world.material != 0).any(axis=(0, 2)))
    low = int(body[-1]) + max(1, round(3 / spacing[1]))
    thick = max(1, round(2.5 / spacing[1]))
    for start, value in ((low, 90.0), (low + 3 * thick, 90.0)):
        hu[:, start : start + thick] = value
    hu[:, low + thick : low + 3 * thick] = -860.0


# --- the scanner ---


def _spread(look: Look, steps: NDArray[np.float64]) -> tuple[float, ...]:
    """Sd of the point spread and of the voxel's own averaging, in voxels of the world."""
    order = np.argsort(look.order)
    own = np.array(look.spacing)[order]
    sd = np.sqrt(0.55**2 + (0.29 * own) ** 2)
    return tuple(float(s) for s in sd / np.diag(steps)[:3])


def _scan_grid(world: World, look: Look, placed: NDArray[np.float64]) -> Grid:
    """The scan's voxels: a box along patient axes (or oblique ones), stored in the order and direction asked for."""
    shape, spacing = np.array(world.grid.shape), world.grid.spacing
    low = np.array([look.sides, look.front, look.bottom]) / spacing
    high = shape - 1 - np.array([look.sides, 0.0, look.top]) / spacing
    axes = rotation(look.oblique)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    local = (placed[:3, :3] @ corners.T).T + placed[:3, 3]
    middle = local.mean(axis=0)
    lengths = (high - low) * spacing  # keep the world's own extent; corners that stick out are not scanned
    step = np.array(look.spacing)[np.argsort(look.order)]
    count = np.maximum(1, np.floor(lengths / step)).astype(int) + 1
    matrix = np.eye(4)
    matrix[:3, :3] = axes * step
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((count - 1) / 2)
    stored = np.zeros((4, 4))
    stored[3, 3] = 1.0
    for place, axis in enumerate(look.order):
        way = -1.0 if look.flips[place] else 1.0
        stored[axis, place] = way
        if look.flips[place]:
            stored[axis, 3] = count[axis] - 1
    out = count[list(look.order)]
    return Grid((int(out[0]), int(out[1]), int(out[2])), affine(matrix @ stored))


def _noise(shape: tuple[int, ...], look: Look) -> NDArray[np.float32]:
    """Noise of sd `look.noise` HU, correlated over neighbouring voxels."""
    rng = np.random.default_rng([look.seed, 12])
    made = rng.standard_normal(shape, dtype=np.float32)
    made = ndimage.gaussian_filter(made, 0.5, truncate=2.0, mode="wrap")
    made *= np.float32(look.noise / made[::3, ::3, ::3].std())
    return made


def _whole(world: World, truth: LabelMap) -> tuple[str, ...]:
    """Vertebrae of which the scan holds at least 98 %."""
    had = np.bincount(world.labels.array.ravel(), minlength=256) * world.grid.voxel_volume
    seen = np.bincount(truth.array.ravel(), minlength=256) * truth.grid.voxel_volume
    found = []
    for name in world.vertebrae:
        labels = list(world.labels.labels_of(f"vertebra/{name}"))
        ends = world.labels.array[:, :, [0, -1]]
        if np.isin(ends, labels).any():
            continue
        if had[labels].sum() > 0 and seen[labels].sum() >= 0.97 * had[labels].sum():
            found.append(name)
    return tuple(found)


__all__ = ["Look", "Painted", "materials", "paint", "rotation"]
