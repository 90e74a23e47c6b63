"""The planes in which the measures of a level and of a vertebra are shown: the anatomy's own, never the scan's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.geometry import Points, unit
from keyhole.report.roster import WHERE
from keyhole.report.views import Axes, View

SIZE = (400, 348)
"""Width and height of a picture, px."""

CLOSE, CANAL, FORAMEN, WIDE = 104.0, 66.0, 76.0, 190.0
"""Width shown around a body with its arch, of the canal, of a foramen, and of the whole back, mm."""

_LATERAL = 0.42  # of an endplate's width, from the midline to the foramen, where nothing says it better
_IN_CANAL = (
    *("canal", "dural sac", "least", "herniation depth", "herniation offset", "herniation volume"),
    *("left lateral recess", "right lateral recess"),
)
_STRAIGHT = 0.87  # cosine of the angle to the anatomy's axis, below which a plane is called oblique
_FLAT = 3.0  # mm: an outline this thin lies in a plane of its own


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture's plane with its title and caption; `always` draws it even without a shape.

    Measures whose side and name begin with one of `prefers` are shown here rather than in a plane as near, those whose
    names end with one of `shuns` never.
    """

    title: str
    caption: str
    view: View
    always: bool = False
    prefers: tuple[str, ...] = ()
    shuns: tuple[str, ...] = ()
    number: int = 0


def _axes(*vertebrae: Vertebra) -> Axes:
    up = unit(np.sum([one.up for one in vertebrae], axis=0))
    back = np.sum([one.posterior for one in vertebrae], axis=0)
    back = unit(back - (back @ up) * up)
    return Axes(np.cross(back, up), back, up)


def _axial(title: str, centre: Points, axes: Axes, width: float) -> View:
    return View(title, centre, axes.left, axes.posterior, *SIZE, SIZE[0] / width, axes)


def _sagittal(title: str, centre: Points, axes: Axes, width: float) -> View:
    return View(title, centre, axes.posterior, -axes.up, *SIZE, SIZE[0] / width, axes)


def level_panels(
    anatomy: Anatomy, pair: tuple[Vertebra, Vertebra], holes: Mapping[str, Sequence[Points]]
) -> list[Panel]:
    """Axial through the mid-disc, whole and close to the canal, midsagittal, both foramina, coronal, and the muscles.

    `holes` are the points at which each foramen was measured, by side; without any the plane lies where the
    pedicles are labelled, or beside the disc.
    """
    upper, lower = pair
    axes = _axes(upper, lower)
    ends = [plate.centre for plate in (upper.inferior, lower.superior) if plate is not None]
    middle = np.mean(ends, axis=0) if len(ends) == 2 else (upper.centre + lower.centre) / 2
    made = [
        Panel(
            "Axial through the disc", "In its own plane.",
            _axial("Axial", middle + 15 * axes.posterior, axes, CLOSE), always=True,
            shuns=WHERE,
        ),
        Panel(
            "Axial, the canal", "In the disc's own plane.",
            _axial("Axial", _canal(anatomy, middle, axes), axes, CANAL), prefers=_IN_CANAL, shuns=WHERE,
        ),
        Panel(
            "Midsagittal", "", _sagittal("Sagittal", middle + 8 * axes.posterior, axes, CLOSE), always=True,
            shuns=WHERE,
        ),
    ]  # fmt: skip
    for side in ("left", "right"):
        at = _hole(anatomy, pair, axes, middle, side, holes[side])
        title = f"{side.capitalize()} foramen"
        made.append(
            Panel(
                title,
                "Sagittal through the foramen.",
                _sagittal(title, at, axes, FORAMEN),
                prefers=(f"{side} foramen",),
            )
        )
    muscles = _axial("Axial", middle + 22 * axes.posterior, axes, WIDE)
    upright = View("Coronal", middle, axes.left, -axes.up, *SIZE, SIZE[0] / CLOSE, axes)
    made.append(Panel("Coronal through the disc", "Seen from the front.", upright, prefers=("lateral slip", "coronal")))
    return [*made, Panel("Axial, whole back", "In the disc's own plane.", muscles, shuns=WHERE)]


def _canal(anatomy: Anatomy, middle: Points, axes: Axes) -> Points:
    """Where the canal's line meets the plane through `middle` across the level; behind it where there is no line."""
    line = anatomy.canal_line
    near = line[np.abs((line - middle) @ axes.up) < 2.0] if len(line) else line
    at = near.mean(axis=0) if len(near) else middle + 28 * axes.posterior
    return np.asarray(at - ((at - middle) @ axes.up) * axes.up)


def _hole(
    anatomy: Anatomy,
    pair: tuple[Vertebra, Vertebra],
    axes: Axes,
    middle: Points,
    side: str,
    measured: Sequence[Points],
) -> Points:
    """The middle of the foramen at `side`."""
    if measured:
        return np.asarray(np.concatenate(list(measured)).mean(axis=0))
    found = [_middle_of(anatomy, f"vertebra/{one.name}/pedicle/{side}") for one in pair]
    beside = _LATERAL * (pair[1].superior.width if pair[1].superior is not None else 48.0)
    aside = beside * (1 if side == "left" else -1)
    known = [float((point - middle) @ axes.left) for point in found if point is not None]
    if known:
        aside = float(np.mean(known))
    return np.asarray(middle + aside * axes.left + 18 * axes.posterior)


def _middle_of(anatomy: Anatomy, key: str) -> Points | None:
    """Middle of the voxels of `key`, LPS mm; None where it is not labelled."""
    from keyhole.anatomy.boxes import label_boxes  # noqa: PLC0415

    box = label_boxes(anatomy.labels).get(key)
    if box is None:
        return None
    index = np.argwhere(anatomy.labels.mask(key, box=box)) + [s.start for s in box]
    return np.asarray(anatomy.labels.grid.centres(index).mean(axis=0))


def vertebra_panels(vertebra: Vertebra, pedicles: Sequence[Points]) -> list[Panel]:
    """Axial through the pedicles and midsagittal of one vertebra; `pedicles` are points at which they were measured."""
    axes = _axes(vertebra)
    at = vertebra.centre
    if pedicles:
        at = at + float((np.concatenate(list(pedicles)) - at).mean(axis=0) @ axes.up) * axes.up
    return [
        Panel("Axial through the pedicles", "", _axial("Axial", at + 15 * axes.posterior, axes, CLOSE)),
        Panel("Midsagittal", "", _sagittal("Sagittal", vertebra.centre + 8 * axes.posterior, axes, CLOSE)),
    ]


def extra_panel(beside: Panel, first: Points, what: str, name: str) -> Panel:
    """The plane that holds the shapes (n, 3) of the measure `what` at `name`, turned and centred as `beside` is."""
    axes, origin = beside.view.axes, beside.view.centre
    middle = first.mean(axis=0)
    normal = _normal(first, axes)
    kinds = ((axes.up, "Axial"), (axes.left, "Sagittal"), (axes.posterior, "Coronal"))
    near, title = max(kinds, key=lambda one: abs(float(one[0] @ normal)))
    normal = normal if near @ normal > 0 else -normal
    right = axes.posterior if title == "Sagittal" else axes.left
    right = unit(right - (right @ normal) * normal)
    down = np.cross(normal, right) if title == "Axial" else -_upright(axes.up, normal)
    reach = float(np.linalg.norm(first - middle, axis=1).max())
    width = FORAMEN if reach < FORAMEN / 3 else CLOSE if reach < CLOSE / 3 else 2 * reach + 40
    view = View(title, _centred(middle, origin, normal), right, down, *SIZE, SIZE[0] / width, axes)
    place = _where(title, middle, beside, name) if near @ normal > _STRAIGHT else "oblique"
    return Panel(f"{title}, {place}", f"In the plane of the {what}.", view)


def kambin_panels(beside: Panel, triangles: Mapping[str, Sequence[Points]], name: str) -> list[Panel]:
    """The planes of Kambin's triangles, by side, as far as `triangles` has their points."""
    made = []
    for side, points in triangles.items():
        if points:
            found = extra_panel(beside, np.concatenate(list(points)), f"{side} Kambin triangle", name)
            made.append(replace(found, title=f"{side.capitalize()} Kambin triangle", prefers=(f"{side} Kambin",)))
    return made


def _centred(middle: Points, origin: Points, normal: Points) -> Points:
    """`origin` moved into the plane through `middle`, drawn most of the way towards it."""
    dropped = origin - ((origin - middle) @ normal) * normal
    return np.asarray(0.3 * dropped + 0.7 * middle)


def _upright(up: Points, normal: Points) -> Points:
    return unit(up - (up @ normal) * normal)


def _normal(points: Points, axes: Axes) -> Points:
    """The normal of the plane of `points` where they span one, else the axis along which they reach least."""
    away = points - points.mean(axis=0)
    _, spread, rows = np.linalg.svd(away, full_matrices=False)
    if len(points) > 3 and spread[1] > 0.3 * spread[0] and float(np.abs(away @ rows[2]).max()) < _FLAT:
        return np.asarray(rows[2])
    return min((axes.up, axes.left, axes.posterior), key=lambda axis: float(np.abs(away @ axis).max()))


def _where(title: str, middle: Points, beside: Panel, name: str) -> str:
    """Where the plane lies, in words: "12 mm below the disc" or "left"."""
    axes, origin = beside.view.axes, beside.view.centre
    if title == "Axial":
        rise = float((middle - origin) @ axes.up)
        of = "the disc" if "/" in name else "the pedicles"
        return f"{abs(rise):.0f} mm {'above' if rise > 0 else 'below'} {of}"
    if title == "Sagittal":
        aside = float((middle - origin) @ axes.left)
        return f"{abs(aside):.0f} mm {'left' if aside > 0 else 'right'} of the midline"
    return "through the body" if "/" not in name else "through the disc"
