"""Phantom labels as a reader would draw them: outlines off by a smooth random amount of known size.

The outline of every structure is displaced along its own surface normal by an error of sd `sd` mm that stays alike over
10 mm (exp(-d²/2c²), c = `CORRELATION`). Half of its variance shifts everything alike, half makes bone larger or
smaller: the errors of two walls that face each other are then uncorrelated, however thin the bone or the canal between
them. Vertebrae err independently of each other, so that the two plates of a disc do too.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.endplates import CORRELATION
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.parameters import NAMES
from keyhole.geometry import Grid, LabelMap, Volume, affine

NODE = 2.0  # mm between the nodes on which the errors are drawn
BLEND = 3.0  # mm over which one vertebra's errors give way to the next one's
SOFT = 1.5  # mm, smoothing of the normals
MARGIN = 12.0  # mm of nodes beyond the grid


def drawn_on(body: Phantom, grid: Grid, sd: float, seed: int) -> LabelMap:
    """The labels of `body` on `grid`, drawn by a reader whose outlines are off by `sd` mm; `sd` 0: exact."""
    if sd == 0:
        return body.labels_on(grid)
    nodes = _nodes(grid)
    shift = [Volume(array, nodes.patient_from_index) for array in _errors(body, nodes, sd, seed)]
    out = np.zeros(grid.shape, dtype=np.uint8)
    for i in range(grid.shape[0]):
        index = np.stack(np.meshgrid([i], *(np.arange(n) for n in grid.shape[1:]), indexing="ij"), axis=-1)
        points = grid.centres(index.reshape(-1, 3))
        at = np.moveaxis(nodes.index(points), -1, 0)
        moved = points + np.stack([ndimage.map_coordinates(s.array, at, order=1, mode="nearest") for s in shift], 1)
        out[i] = body.labels_at(body.phantom_from_patient.apply(moved)).reshape(grid.shape[1:])
    return LabelMap(out, grid.patient_from_index, body.named)


def _nodes(grid: Grid) -> Grid:
    """A grid along the axes of `grid` with `NODE` mm steps, `MARGIN` mm wider all round."""
    scale = NODE / grid.spacing
    extent = (np.array(grid.shape) - 1) * grid.spacing + 2 * MARGIN
    shape = np.ceil(extent / NODE).astype(int) + 1
    matrix = np.diag([*scale, 1.0])
    matrix[:3, 3] = (np.array(grid.shape) - 1) / 2 - scale * (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(grid.patient_from_index.matrix @ matrix))


def _errors(body: Phantom, nodes: Grid, sd: float, seed: int) -> list[NDArray[np.float32]]:
    """Displacement along left, posterior, up of the patient at every node, mm."""
    rng = np.random.default_rng([seed, 77])
    labels = body.labels_on(nodes)
    normal = _normals(labels, nodes)
    weights = _weights(body, nodes)
    shift = [np.zeros(nodes.shape, dtype=np.float32) for _ in range(3)]
    for weight in weights:
        grow = _field(rng, nodes.shape)
        for axis in range(3):
            error = (_field(rng, nodes.shape) - grow * normal[axis]) * np.float32(sd / np.sqrt(2))
            shift[axis] += weight * error
    return shift


def _field(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of sd 1 whose correlation falls as exp(-d²/2c²)."""
    white = rng.standard_normal(shape, dtype=np.float32)
    sigma = CORRELATION / np.sqrt(2) / NODE
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
    return np.asarray(smooth * np.float32((2 * np.sqrt(np.pi) * sigma) ** 1.5))


def _normals(labels: LabelMap, nodes: Grid) -> list[NDArray[np.float32]]:
    """Outward normal of bone, patient axes, about unit length near its surface."""
    bone = labels.mask("vertebra", "sacrum", "pelvis")
    away = ndimage.distance_transform_edt(~bone) - ndimage.distance_transform_edt(bone)
    slope = np.stack(np.gradient(ndimage.gaussian_filter(away, SOFT / NODE)))
    directions = nodes.patient_from_index.matrix[:3, :3] / nodes.spacing
    turned = np.einsum("ab,bijk->aijk", directions, slope)
    length = np.maximum(np.linalg.norm(turned, axis=0), 0.5)
    return [np.asarray(part / length, dtype=np.float32) for part in turned]


def _weights(body: Phantom, nodes: Grid) -> list[NDArray[np.float32]]:
    """How much of each vertebra's errors rules at every node: its own near it, half of each in the disc's middle.

    Squares sum to one, so that the errors have the same sd everywhere.
    """
    places = [body.spine.places[name] for name in NAMES]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in nodes.shape), indexing="ij"), axis=-1)
    points = body.phantom_from_patient.apply(nodes.centres(index.reshape(-1, 3)))
    heights = [(points - place.at(0, 0, 0)) @ place.axes[2] for place in places]
    gaps = [upper / 2 + lower / 2 for upper, lower in itertools.pairwise(heights)]  # 0 midway
    above = [1 / (1 + np.exp(-np.clip(gap / BLEND, -30, 30))) for gap in gaps]
    shares = []
    for n in range(len(places)):
        share = np.ones(len(points)) if n == len(places) - 1 else above[n]
        for upper in above[:n]:
            share = share * (1 - upper)
        shares.append(np.sqrt(share).reshape(nodes.shape).astype(np.float32))
    return shares
