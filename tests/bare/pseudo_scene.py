"""A scene of true labels: what the soft tissue and the confidence are given when bone was found without fault."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from painter import Painted
from scipy import ndimage

from keyhole.anatomy import tissue
from keyhole.anatomy.canal import Canal
from keyhole.geometry import LabelMap, Volume
from keyhole.segment.classical.scene import DiscPlane, Scene
from keyhole.terms import belongs, rank

BONE = ("vertebra", "disc", "canal", "sacrum", "pelvis", "rib")


def scene_of(scan: Painted) -> Scene:
    """The scene of `scan`, whose grid must be isotropic and near left, posterior, superior."""
    truth, hu = scan.truth, np.asarray(scan.image.array)
    names = {n: k for n, k in truth.structures.items() if belongs(k, *BONE)}
    table = np.zeros(max(truth.structures) + 1, dtype=np.uint16)
    table[list(names)] = list(names)
    centres = _centres(truth)
    return Scene(
        hu=scan.image,
        bone=hu > 150,
        body=tissue.body_in(hu, truth.grid, 2, hounsfield=True).mask,
        canal=_canal(truth),
        planes=_planes(truth, centres),
        whole=tuple(n for n in sorted(centres, key=rank) if n in scan.whole and n != "S1"),
        cut=(),
        labels=table[truth.array],
        names=names,
        noise=scan.look.noise,
        threshold=150.0,
        spacing=scan.look.spacing,
    )


def _centres(truth: LabelMap) -> dict[str, np.ndarray]:
    names = {k.split("/")[1] for k in truth.keys if k.startswith("vertebra/") and k.endswith("/body")}
    found = {n: np.argwhere(truth.mask(f"vertebra/{n}/body")) for n in names}
    return {n: truth.grid.centres(cells.mean(axis=0)) for n, cells in found.items() if len(cells) > 50}


def _canal(truth: LabelMap) -> Canal:
    mask = truth.mask("canal")
    planes = np.flatnonzero(mask.any(axis=(0, 1)))[::-1]
    middle = np.array([[*np.argwhere(mask[:, :, k]).mean(axis=0), k] for k in planes])
    middle[:, :2] = ndimage.gaussian_filter1d(middle[:, :2], 4, axis=0)
    line = truth.grid.centres(middle)
    down = np.gradient(line, axis=0)
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    back = np.array([0.0, 1.0, 0.0]) - down * down[:, 1:2]
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    return Canal(line, np.cross(back, -down), back, down, np.full((len(line), 36), 8.0))  # left is back x up


def _planes(truth: LabelMap, centres: dict[str, np.ndarray]) -> tuple[DiscPlane, ...]:
    row = sorted(centres, key=rank)
    made = []
    for upper, lower in itertools.pairwise(row):
        up = centres[upper] - centres[lower]
        up /= np.linalg.norm(up)
        cells = np.argwhere(truth.mask(f"disc/{upper}-{lower}"))
        if len(cells):
            made.append(DiscPlane(upper, lower, 0.0, truth.grid.centres(cells.mean(axis=0)), up, 4.0, 4.0, 1.0, {}))
    return tuple(made)


def moved(scene: Scene, matrix: np.ndarray) -> Scene:
    """`scene` of a patient moved rigidly by `matrix` (4, 4)."""
    turn, shift = matrix[:3, :3], matrix[:3, 3]
    c = scene.canal
    canal = Canal(c.line @ turn.T + shift, c.left @ turn.T, c.posterior @ turn.T, c.down @ turn.T, c.radius)
    planes = tuple(replace(p, centre=turn @ p.centre + shift, up=turn @ p.up) for p in scene.planes)
    at = scene.hu.patient_from_index
    hu = Volume(scene.hu.array, type(at)(at.target, at.source, matrix @ at.matrix))
    return replace(scene, hu=hu, canal=canal, planes=planes)
