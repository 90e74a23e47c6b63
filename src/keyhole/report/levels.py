"""The numbered spine: two sheets that follow its curves, to confirm the names of the levels on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.gate import numbered_by, state
from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.reading import image_of, labels_of
from keyhole.anatomy.row import Seen, seen_in
from keyhole.casefile import RESEARCH_USE, Case, CaseRecord, EvidenceEntry, LabelsRecord, LevelState, write_bytes
from keyhole.errors import NotInScan
from keyhole.geometry import LabelMap, Points, Volume, unit
from keyhole.report import svg
from keyhole.report.paper import page_png, quoted
from keyhole.report.slices import Picture, cased, contours, unseen, words
from keyhole.report.views import Axes, View, contour_lines, greys, outlines

FILE = "levels.png"

SCALE = 2.4
"""px per mm."""

WIDTHS = (180.0, 220.0)
"""mm shown of the sagittal and of the coronal sheet."""

BEYOND = (22.0, 75.0)
"""mm shown above the first vertebra's middle and below the last one's."""

MOST_HEIGHT = 420.0
"""mm; of a longer spine the lower part is shown."""

_AHEAD = 8.0  # mm by which the sagittal sheet's middle lies in front of the canal
_BEHIND = 0.35  # of the way from body to canal, where the coronal sheet passes: ribs join there
_SAYS = {True: "for", False: "against", None: "neither"}
_BAR = 50.0  # mm
_S1 = 45.0  # mm from the middle of the lowest lumbar body, within which S1 is named
_TURN = (18.0, 60.0)  # mm below the last vertebra's middle, between which the sheets turn to the sacrum


@dataclass(frozen=True, slots=True, eq=False)
class Sheet(View):
    """A view whose rows are moved along its normal, so that it follows the spine.

    `moves` (n, 2) says how far, mm, at which height above the picture's middle, mm, ascending.
    """

    moves: Points

    def points(self, step: float) -> Points:
        """(rows, columns, 3) LPS mm of samples every `step` px, at the middle of each."""
        flat = View.points(self, step)
        rows = (self.height / 2 - np.arange(0.5, self.height / step) * step) / self.scale
        moved = np.interp(rows, self.moves[:, 0], self.moves[:, 1])
        return np.asarray(flat + moved[:, None, None] * self.normal)


def write_levels(case: Case, volumes: Mapping[str, Volume] | None = None) -> Path | None:
    """Draw levels.png of `case` and return its path; None where the labels show no spine to draw.

    `volumes` are images of the case, by name, that are in memory already.
    """
    record, known = case.read(CaseRecord), case.read(LabelsRecord)
    image, modality = image_of(case, record, volumes)
    try:
        drawn = pictures(labels_of(case, known), image, modality)
    except NotInScan:
        return None
    path = case.path / FILE
    write_bytes(path, page(drawn, record.id, state(record, known), known.evidence))
    return path


def pictures(labels: LabelMap, image: Volume | None, modality: str) -> tuple[Picture, Picture]:
    """The sagittal sheet through the canal and the coronal one through the bodies, with every vertebra's name."""
    seen = seen_in(labels)
    if not seen:
        raise NotInScan("the labels show no row of vertebrae that ends in a lumbar one: there is nothing to draw")
    sacrum = _sacrum(labels)
    named = [(f"{one.name}{' (cut)' if one.cut else ''}", one.body) for one in seen]
    near = sacrum[np.linalg.norm(sacrum - seen[-1].body, axis=1) < _S1]
    if len(near) > 20:
        named.append(("S1", near.mean(axis=0)))
    both = sheets(seen, spine_axes(seen), tail_of(labels, sacrum))
    held = Anatomy(labels, {}, {}, np.empty((0, 3)), image, modality, "", levels_confirmed=False)
    sagittal = _picture(held, both[0], named, [])
    return sagittal, _picture(held, both[1], named[: len(seen)], _ribs(labels, both[1]))


def page(drawn: Sequence[Picture], case: str, now: LevelState, evidence: Sequence[EvidenceEntry]) -> bytes:
    """Both sheets on one page, with what the names rest on, as a PNG."""
    said = now.confirmation
    if said is None:
        gate = '#text(fill: rgb("#b35900"), weight: "semibold")[Levels not confirmed by a person.]'
    else:
        when = f" on {said.at}" if said.at else ""
        gate = "*" + f"#{quoted(f'Confirmed by {said.by}{when}: lowest lumbar vertebra {said.lowest_lumbar}.')}" + "*"
    rows = ", ".join(
        f"[{_SAYS[e.supports]}], [#{quoted(e.finding + (f': {e.means}' if e.means else ''))}]" for e in evidence
    )
    widths = ", ".join(f"{picture.width}fr" for picture in drawn)
    cells = ", ".join(f'image("{picture.name}.svg", width: 100%)' for picture in drawn)
    body = (
        f'#text(22pt, weight: "semibold", {quoted(f"Levels of case {case}")})\n\n'
        f"#{quoted(f'Numbered by {numbered_by(now)}.')} {gate}\n\n"
        f"#grid(columns: ({widths}), column-gutter: 8pt, {cells})\n\n"
        f"#text(13pt)[Outlines: labels. Both pictures follow the curves of the spine: the left one runs through the "
        f"middle of the canal, the right one through the bodies, ribs drawn as seen through.]\n\n"
        f"#text(13pt)[#grid(columns: (auto, 1fr), column-gutter: 10pt, row-gutter: 6pt, {rows})]\n\n"
        f"#text(13pt)[*#{quoted(RESEARCH_USE)}*]"
    )
    drawings = {picture.name: picture.svg for picture in drawn}
    return page_png(drawings, body, sum(picture.width for picture in drawn) + 40, margin=16)


def spine_axes(seen: Sequence[Seen]) -> Axes:
    """Left, posterior and up of the spine as a whole; of the scan where a lone vertebra does not say."""
    up = unit(seen[0].body - seen[-1].body) if len(seen) > 1 else np.array([0.0, 0.0, 1.0])
    back = np.sum([(one.whole if one.canal is None else one.canal) - one.body for one in seen], axis=0)
    back = back - (back @ up) * up
    if not np.linalg.norm(back) > 1:
        back = np.array([0.0, 1.0, 0.0]) - up[1] * up
    posterior = unit(back)
    return Axes(np.cross(posterior, up), posterior, up)


def _sacrum(labels: LabelMap) -> Points:
    """Every third voxel centre of the sacrum, (n, 3) LPS mm."""
    box = union_box(label_boxes(labels), "sacrum", "vertebra/S1")
    if box is None:
        return np.empty((0, 3))
    i, j, k = (slice(s.start, s.stop, 3) for s in box)
    index = np.argwhere(labels.mask("sacrum", "vertebra/S1", box=(i, j, k)))
    return labels.grid.centres(index * 3 + [s.start for s in box])


def tail_of(labels: LabelMap, sacrum: Points | None = None) -> Points:
    """The middle of the sacrum, (1, 3) LPS mm, a point for the sheets to run on to; (0, 3) where it is not labelled."""
    cloud = _sacrum(labels) if sacrum is None else sacrum
    return cloud.mean(axis=0)[None] if len(cloud) else cloud


def sheets(seen: Sequence[Seen], axes: Axes, tail: Points) -> tuple[Sheet, Sheet]:
    """The sagittal and the coronal sheet, at one height and scale; `tail` is a point below to run on to."""
    bodies = np.array([one.body for one in seen])
    canals = np.array([one.whole if one.canal is None else one.canal for one in seen])
    top = float((bodies @ axes.up).max()) + BEYOND[0]
    low = float((bodies @ axes.up).min()) - BEYOND[1]
    top = min(top, low + MOST_HEIGHT)
    height = (top + low) / 2
    cuts = bodies + _BEHIND * (canals - bodies)
    size = round((top - low) * SCALE)
    made = []
    for title, right, width, line, aside in (
        ("Sagittal", axes.posterior, WIDTHS[0], canals, -_AHEAD),
        ("Coronal", axes.left, WIDTHS[1], cuts, 0.0),
    ):
        normal = np.cross(right, -axes.up)
        middle = line.mean(axis=0)
        centre = middle + (height - middle @ axes.up) * axes.up + aside * right
        path = np.concatenate([line, *_onward(line[-1], tail, axes.up)])
        moves = _moves(path @ axes.up - height, (path - centre) @ normal)
        made.append(Sheet(title, centre, right, -axes.up, round(width * SCALE), size, SCALE, axes, moves))
    return made[0], made[1]


def _onward(last: Points, tail: Points, up: Points) -> list[Points]:
    """Points below the `last` vertebra's: straight on past its lower endplate, then over to `tail`."""
    if not len(tail):
        return []
    drop = max(float((last - tail[0]) @ up), _TURN[1])
    aside = tail[0] - last - ((tail[0] - last) @ up) * up
    return [(last - _TURN[0] * up)[None], (last + aside - drop * up)[None]]


def _moves(heights: Points, away: Points) -> Points:
    """A smooth line through (`heights`, `away`), straight beyond its ends; (n, 2), heights ascending."""
    order = np.argsort(heights)
    order = order[np.diff(heights[order], prepend=-np.inf) > 0.5]  # one of those at the same height
    at, off = heights[order], away[order]
    if len(at) < 3:
        return np.stack([at, off], axis=1)
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415

    even = np.linspace(at[0], at[-1], 60)
    return np.stack([even, np.asarray(PchipInterpolator(at, off)(even))], axis=1)


def _picture(held: Anatomy, sheet: Sheet, named: Sequence[tuple[str, Points]], extra: list[str]) -> Picture:
    drawn = outlines(sheet, held.labels)
    image = svg.data_uri(svg.png(greys(sheet, held)), "image/png")
    layers = [
        unseen(sheet),
        svg.element("image", href=image, x=0, y=0, width=sheet.width, height=sheet.height),
        *contours({name: lines for name, lines in drawn.items() if name in _SHOWN}),
        *extra,
        *_names(sheet, named),
        *_marks(sheet),
    ]
    alt = f"{sheet.title} sheet along the spine with the names {', '.join(name for name, _ in named)}"
    whole = svg.drawing(sheet.width, sheet.height, "".join(layers), alt)
    name = f"levels-{sheet.title.lower()}"
    return Picture(name, sheet.title, "", alt, whole, sheet.width, sheet.height, tuple(drawn))


_SHOWN = ("vertebra", "facet", "disc", "herniation", "pelvis", "sac", "rib")


def _names(sheet: Sheet, named: Sequence[tuple[str, Points]]) -> list[str]:
    """Each name at its place (3,) LPS mm."""
    drawn = []
    for name, place in named:
        x, y = sheet.place(place)
        if 20 < y < sheet.height - 20:
            drawn.append(words(name, float(x), float(y) + 7, "middle", 20))
    return drawn


def _ribs(labels: LabelMap, sheet: Sheet) -> list[str]:
    """Ribs as seen through from the front: their shadows' outlines and numbers."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415

    drawn: list[str] = []
    step = 2.0
    for key, box in sorted(label_boxes(labels).items()):
        if not key.startswith("rib/"):
            continue
        thin = (slice(box[0].start, box[0].stop, 2), slice(box[1].start, box[1].stop, 2), box[2])
        index = np.argwhere(labels.mask(key, box=thin)) * (2, 2, 1) + [s.start for s in box]
        flat = sheet.place(labels.grid.centres(index)) / step
        shadow = np.zeros((int(sheet.height / step), int(sheet.width / step)))
        cell = np.floor(flat).astype(int)
        held = ((cell >= 0) & (cell < (shadow.shape[1], shadow.shape[0]))).all(axis=1)
        if held.sum() < 10:
            continue
        shadow[cell[held, 1], cell[held, 0]] = 1.0
        lines = contour_lines(gaussian_filter(shadow, 2.0), 0.15, step)
        drawn.append(svg.element("path", d=svg.path(lines), fill="none", stroke="#ffd9a0", stroke_width=1.2))
        x, y = flat[held].mean(axis=0) * step
        drawn.append(words(key.split("/")[1], float(np.clip(x, 20, sheet.width - 20)), float(y), "middle", 14))
    return drawn


def _marks(sheet: Sheet) -> list[str]:
    """H and F, and A and P or R and L, at the edges, and a scale bar."""
    letters = {"S": "H", "I": "F"}
    edge = {side: letters.get(letter, letter) for side, letter in sheet.edges.items()}
    width, height = sheet.width, sheet.height
    left, low = 14.0, height - 14.0
    bar = np.array(
        [[left, low - 6], [left, low], [left + _BAR * sheet.scale, low], [left + _BAR * sheet.scale, low - 6]]
    )
    return [
        words(edge["left"], 8, height / 2, "start", 20),
        words(edge["right"], width - 8, height / 2, "end", 20),
        words(edge["top"], width / 2, 24, "middle", 20),
        words(edge["bottom"], width / 2, height - 10, "middle", 20),
        *cased(svg.path([bar]), 1.8),
        words(f"{_BAR:.0f} mm", left + 4, low - 12, "start", 16),
    ]
