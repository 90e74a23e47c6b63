"""Stenotic phantoms around one level, and tubes docked there by hand: what decompressions are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PhantomParameters, phantom
from keyhole.anatomy.phantom.model import Phantom
from keyhole.geometry import Grid, affine
from keyhole.plan.site import Site, site
from keyhole.terms import Origin, split

HALF = np.array([48.0, 62.0, 52.0])
"""Half sides of what is scanned around the level, mm: to the sides, back to front, up and down."""


@dataclass(frozen=True, eq=False)
class Dock:
    """A tube docked somewhere: the catalogue's approach, tip and direction to the skin, LPS mm, and radius, mm."""

    approach: str
    tip: np.ndarray
    out: np.ndarray
    radius: float


def window(body: Phantom, level: str, spacing: float | tuple[float, float, float], turn: np.ndarray) -> Grid:
    """A grid around `level`, its axes turned by the rotation `turn` about its own middle."""
    upper, lower = (np.asarray(body.spine.places[name].at(0, 0, 0)) for name in split(level))
    middle = (upper + lower) / 2 + [0, 28, 0]
    across = np.abs(turn).T @ HALF if np.any(turn != np.eye(3)) else HALF
    steps = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    shape = np.ceil(2 * across / steps).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = body.patient_from_phantom.matrix[:3, :3] @ turn * steps
    matrix[:3, 3] = body.patient_from_phantom.apply(middle) - matrix[:3, :3] @ (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))


def anatomy(
    parameters: PhantomParameters,
    *,
    spacing: float | tuple[float, float, float] = 1.0,
    turn: tuple[float, float] = (0, 0),
) -> Anatomy:
    """The phantom around its level, labels as they are; `turn` tilts the grid about its first two axes, degrees."""
    body = phantom(parameters)
    axes = Rotation.from_euler("xy", turn, degrees=True).as_matrix()
    labels = body.labels_on(window(body, parameters.level, spacing, axes))
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.5) for key in labels.keys}
    found = vertebrae(labels, structures=known)
    return Anatomy(labels, known, found, canal_line(labels, found), None, "CT", "true", levels_confirmed=True)


def stenotic(seed: int) -> PhantomParameters:
    """Phantom `seed`: central stenosis, every second with a herniation or a narrow foramen, at L3/4, L4/5 or L5/S1."""
    rng = np.random.default_rng([seed, 26])
    extra = ((), ("herniation",), ("foraminal-stenosis",), ("degeneration",))[int(rng.integers(4))]
    return PhantomParameters(
        seed=seed,
        pathologies=("central-stenosis", *extra),
        level=("L3/L4", "L4/L5", "L4/L5", "L5/S1")[int(rng.integers(4))],
        side=("left", "right")[int(rng.integers(2))],
        severity=float(rng.uniform(0.5, 1.0)),
    )


def at(patient: Anatomy, parameters: PhantomParameters) -> Site:
    """The level of the phantom, from its side."""
    return site(patient, parameters.level, parameters.side)


def docks(found: Site) -> tuple[Dock, ...]:
    """Tubes as a surgeon may dock them: on lamina and facet, in the interlaminar window, and over the top."""
    return (
        _behind(found, "tubular-paramedian", (11.0, 3.0), 14.0, 9.0),
        _behind(found, "interlaminar-endoscopic", (6.0, -1.0), 4.0, 4.0),
        _behind(found, "tubular-over-the-top", (9.0, 3.0), 28.0, 9.0),
    )


def _behind(found: Site, approach: str, place: tuple[float, float], lean: float, radius: float) -> Dock:
    """The tube over (lateral, up) mm that leans out by `lean` degrees, on the first bone or flavum from behind."""
    angle = np.deg2rad(lean)
    out = np.array([np.sin(angle), np.cos(angle), 0.0])
    solid = found.mask("vertebra", "sacrum", "canal/flavum")
    for back in np.arange(70.0, 0.0, -0.5):
        tip = found.frame.patient([place[0], back, place[1]])
        index = np.rint(found.labels.grid.index(tip)).astype(int)
        inside = bool(((index >= 0) & (index < solid.shape)).all())
        if inside and solid[tuple(index)]:
            return Dock(approach, tip, found.frame.turn(out), radius)
    raise LookupError(f"nothing solid behind {found.frame.level} at {place}")
