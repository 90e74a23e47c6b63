"""From labels to anatomy: what follows from the labels and the image is added, each with its origin and caveats.

    whole vertebra -> parts      gap between bodies -> disc      arch and discs -> canal
    pedicles and facets -> foramina      canal and pedicles -> modelled roots      image -> skin and tissue classes

Labelled voxels are never overwritten, only a whole refined into its parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy import arches, foramina, lone, roots, tissue
from keyhole.anatomy.canal import Canal, bony_canal, within
from keyhole.anatomy.checks import FRAGMENT, check_direction, check_labels, check_row, check_sides
from keyhole.anatomy.discs import disc_between
from keyhole.anatomy.model import Structure
from keyhole.anatomy.partition import Partition
from keyhole.anatomy.plausible import check_names
from keyhole.anatomy.spine import Bone, bones, canal_line
from keyhole.geometry import Box, Grid, LabelMap, Points, Volume, bounding_box
from keyhole.terms import SIDES, Origin, are_neighbours, belongs, in_key, level

Progress = Callable[[str, float], None]

MARGIN = 15.0
"""Room, mm, around the vertebrae in which anatomy is derived [keyhole-choice]."""

LABEL_SD = 1.0
"""sd of a boundary, mm, where the label's own is not known [keyhole-choice]."""

SAC_SHARE = 0.8
"""Share of the bony canal's radius that is taken for the dural sac where nothing labels it [keyhole-choice]."""

FORBIDDEN = ("vertebra", "sacrum", "pelvis", "rib", "femur", "disc", "vessel", "organ")
"""What a modelled root may not enter."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The part of the partition around the spine, and what is known of it so far."""

    part: Partition
    bones: Mapping[str, Bone]
    caveats: Mapping[str, tuple[str, ...]]
    sd: float

    @property
    def levels(self) -> tuple[tuple[Bone, Bone], ...]:
        """Neighbouring pairs, cranial to caudal."""
        row = list(self.bones.values())
        return tuple((a, b) for a, b in itertools.pairwise(row) if are_neighbours(a.name, b.name))

    def structure(self, key: str, origin: Origin, source: str, *caveats: str, sd: float | None = None) -> Structure:
        """A new structure of this scene; `sd` in mm, else the labels' own."""
        return Structure(key, origin, source, self.sd if sd is None else sd, caveats)


def complete(
    labels: LabelMap,
    structures: Mapping[str, Structure],
    image: Volume | None,
    modality: str,
    progress: Progress | None = None,
) -> tuple[LabelMap, dict[str, Structure], tuple[str, ...]]:
    """The anatomy that follows from `labels`: the whole partition, how each structure is known, the case's caveats.

    Parameters
    ----------
    labels : whole vertebrae or their parts, and whatever else is labelled, on an isotropic grid of 1 mm or finer.
    structures : how each labelled key is known.
    image : the image that the labels belong to, on its own grid; without it there is no skin and no tissue class.
    modality : "CT" or "MR"; Hounsfield units exist on CT alone.
    progress : told what is being done and the share that is done.

    Raises
    ------
    ImplausibleAnatomy where the labels are empty, hold no lumbar vertebra, or contradict themselves.
    """
    tell = progress or _silent
    tell("Checking the labels", 0.0)
    if lone.has_discs_alone(labels):
        return labels, dict(structures), lone.check_discs(labels)
    if lone.are_bodies(labels):
        return _with_bodies_alone(labels, structures)
    part, scene, caveats = _examined(labels, structures)
    _mark(part, scene.caveats)
    tell("Cutting vertebrae into their parts", 0.2)
    pedicles = _split_vertebrae(scene)
    tell("Deriving discs and canal", 0.35)
    _add_discs(scene)
    canal, doubts = _find_canal(scene)
    caveats += doubts
    _add_foramina(scene, pedicles)
    tell("Modelling nerve roots", 0.5)
    _add_roots(scene, pedicles, canal)
    _merge(part, scene.part)
    tell("Finding skin and tissues", 0.7)
    caveats += _add_tissue(part, scene, image, modality)
    tell("Anatomy complete", 1.0)
    full = replace(part.labels(), drawn=labels.drawn)
    return full, part.structures, tuple(dict.fromkeys(caveats))


def _with_bodies_alone(
    labels: LabelMap, structures: Mapping[str, Structure]
) -> tuple[LabelMap, dict[str, Structure], tuple[str, ...]]:
    """Bodies with the discs between them: nothing else follows from bodies."""
    bodies, known, behind = lone.as_bodies(labels, structures)
    part, scene, caveats = _examined(bodies, known, behind)
    _mark(part, scene.caveats)
    _add_discs(scene)
    _merge(part, scene.part)
    told = (*caveats, lone.BODIES, lone.EITHER_SIDE)
    return replace(part.labels(), drawn=labels.drawn), part.structures, tuple(dict.fromkeys(told))


def examine(labels: LabelMap, structures: Mapping[str, Structure]) -> tuple[str, ...]:
    """What speaks against `labels` as a patient's spine under these names; refused where they contradict themselves."""
    return tuple(dict.fromkeys(_examined(labels, structures)[2]))


def _examined(
    labels: LabelMap, structures: Mapping[str, Structure], behind: Mapping[str, Points] | None = None
) -> tuple[Partition, Scene, list[str]]:
    """The partition and its spine after every check, and the caveats; `behind` where bodies are labelled alone."""
    checked = check_labels(labels)
    part = Partition.of(checked.array, labels, structures)
    box = _spine_box(part)
    scene = _scene(labels, part, box, (checked.fragments, checked.caveats), behind)
    caveats = [*check_row(scene.bones), *check_sides(labels, scene.bones)]
    check_direction(labels, scene.bones)
    caveats += check_names(labels, scene.bones, checked.cut, are_bodies=behind is not None)
    caveats += [f"{name}: {text}" for name, texts in checked.caveats.items() for text in texts]
    return part, scene, caveats


def _silent(sentence: str, share: float) -> None:
    """Say nothing."""


def _spine_box(part: Partition) -> Box:
    """The box around vertebrae and canal, with room."""
    found = bounding_box(part.mask("vertebra", "canal"), int(np.ceil(MARGIN / part.grid.spacing.min())))
    return found if found is not None else (slice(0, 1),) * 3


def _scene(
    labels: LabelMap,
    part: Partition,
    box: Box,
    found: tuple[frozenset[str], Mapping[str, tuple[str, ...]]],
    behind: Mapping[str, Points] | None,
) -> Scene:
    """The working crop with its vertebrae; the fragments of `found` are left alone, the rest are its caveats."""
    fragments, caveats = found
    crop = Partition(part.array[box], part.grid.crop(box).patient_from_index, part.numbers, part.structures)
    names = {n: key for key, n in part.numbers.items()}
    kept = {n: key for n, key in names.items() if key.split("/")[1:2] != [""] and not _is_fragment(key, fragments)}
    known = [s.sd for key, s in part.structures.items() if key.startswith("vertebra/")]
    view = LabelMap(crop.array, crop.patient_from_index, kept)
    return Scene(crop, _with_bodies(bones(view, behind)), caveats, max(known, default=LABEL_SD))


def _with_bodies(found: Mapping[str, Bone]) -> dict[str, Bone]:
    """`found` without the vertebrae at its ends of which the scan holds arch but hardly any body."""
    names = list(found)
    typical = float(np.median([bone.body.sum() for bone in found.values()]))
    whole = [name for name in names if found[name].body.sum() >= FRAGMENT * typical]
    return {name: found[name] for name in names[names.index(whole[0]) : names.index(whole[-1]) + 1]}


def _is_fragment(key: str, fragments: frozenset[str]) -> bool:
    head, _, rest = key.partition("/")
    return head == "vertebra" and rest.split("/")[0] in fragments


def _mark(part: Partition, caveats: Mapping[str, tuple[str, ...]]) -> None:
    """Give every vertebra's structures the vertebra's caveats."""
    for key, known in list(part.structures.items()):
        name = key.split("/")[1] if key.startswith("vertebra/") else ""
        if name in caveats:
            part.structures[key] = replace(known, caveats=(*known.caveats, *caveats[name]))


def _merge(part: Partition, crop: Partition) -> None:
    """The crop shares voxels and names with the whole: only names that lost all their voxels remain to be dropped."""
    present = part.present()
    for key in [key for key, n in part.numbers.items() if not present[n]]:
        del part.numbers[key]
        part.structures.pop(key, None)
    crop.numbers = part.numbers


# --- vertebra parts


def _split_vertebrae(scene: Scene) -> dict[tuple[str, str], arches.Pedicle]:
    """Refine every whole vertebra, and give the pedicles of all."""
    joints = {(a.name, b.name): arches.joints(a, b) for a, b in scene.levels}
    pedicles: dict[tuple[str, str], arches.Pedicle] = {}
    for bone in scene.bones.values():
        for side in SIDES:
            found = arches.pedicle(bone, side)
            if found is not None:
                pedicles[bone.name, side] = found
        key = f"vertebra/{bone.name}"
        whole = [k for k in (key, f"{key}/posterior") if k in scene.part.numbers]
        if bone.name == "S1" and not scene.part.has(key):
            whole = ["sacrum"]
        is_split = scene.part.has(f"{key}/lamina", *([f"{key}/facet"] if bone.name == "S1" else []))
        if whole and not is_split:
            _split_one(scene, bone, whole, ([pedicles.get((bone.name, side)) for side in SIDES], joints))
    return pedicles


def _split_one(
    scene: Scene,
    bone: Bone,
    whole: list[str],
    found: tuple[Sequence[arches.Pedicle | None], Mapping[tuple[str, str], tuple[Box, NDArray[np.uint8]]]],
) -> None:
    """Paint body and parts of one vertebra over its whole, but for the parts that are labelled themselves.

    `found` are its pedicles and the facet joints of all levels.
    """
    pedicles, joints = found
    key = f"vertebra/{bone.name}"
    given = [name for name in arches.PARTS if scene.part.has(f"{key}/{name}")]
    touching = [np.zeros(bone.whole.shape, dtype=np.bool_) for _ in range(2)]
    for (upper, lower), (box, arch) in joints.items():
        if bone.name in (upper, lower):
            at = tuple(slice(o.start - b.start, o.stop - b.start) for o, b in zip(bone.box, box, strict=True))
            touching[bone.name == upper] |= arch[at] == (1 if bone.name == upper else 2)
    numbers = arches.split(bone, pedicles, touching[0], touching[1])
    known = scene.part.structures[whole[0]]
    over = np.isin(scene.part.array[bone.box], [scene.part.numbers[k] for k in whole])
    source = (
        f"cut from the label of {'the ' * (whole == ['sacrum'])}{whole[0].split('/')[-1]} by planes of its own axes"
    )

    def paint(name: str, mask: NDArray[np.bool_]) -> None:
        made = replace(known, key=f"{key}/{name}", origin=Origin.DERIVED, source=source)
        scene.part.paint(made, bone.box, mask, over=over)

    if whole != [f"{key}/posterior"]:
        paint("body", bone.body | ((numbers == arches.FRONT) & bone.arch))
    for n, name in enumerate(arches.PARTS):
        if name not in given and (bone.name != "S1" or name.startswith("facet/superior")):
            paint(name, numbers == n + 1)
    if whole != ["sacrum"]:
        rest = np.isin(scene.part.array[bone.box], [scene.part.numbers[k] for k in whole])
        paint("posterior", rest & bone.whole)


# --- discs, canal


def _add_discs(scene: Scene) -> None:
    """Discs where no label has them."""
    for upper, lower in scene.levels:
        key = f"disc/{in_key(level(upper.name, lower.name))}"
        if scene.part.has(key):
            continue
        found = disc_between(upper, lower, scene.part.grid)
        if found is None:
            continue
        box, mask = found
        made = scene.structure(key, Origin.DERIVED, "gap between the facing endplates, within their outlines")
        scene.part.paint(made, box, mask, over=scene.part.free(box))


def _find_canal(scene: Scene) -> tuple[Canal, list[str]]:
    """The bony canal, the sac in it continued to where no label has it, and the free rest of it."""
    part = scene.part
    labelled = part.mask("canal")
    index = np.argwhere(labelled)[::3]
    line = canal_line(scene.bones, part.grid.centres(index))
    row = list(scene.bones.values())
    nearest = np.argmin([np.linalg.norm(line - bone.centre, axis=1) for bone in row], axis=0)
    posterior = np.array([row[n].posterior for n in nearest])
    canal = bony_canal(part.mask("vertebra", "sacrum", "disc"), part.grid, line, posterior)
    if part.has("canal/epidural"):
        return canal, []
    whole = within(canal, part.grid)
    doubts = _continue_sac(scene, canal, labelled, whole)
    _add_epidural(scene, whole)
    return canal, doubts


def _continue_sac(
    scene: Scene, canal: Canal, labelled: NDArray[np.bool_], whole: tuple[Box, NDArray[np.bool_]]
) -> list[str]:
    """Paint the sac where its label is missing or ends early in the `whole` canal; what was assumed."""
    part = scene.part
    share = np.full(len(canal.line), SAC_SHARE)
    bare = np.ones(len(canal.line), dtype=np.bool_)
    known = part.structures.get("canal/dural_sac")
    if labelled.any():
        box, inside = whole
        bare = ~_sections_with(canal, part.grid, box, labelled[box] & inside)
        if not bare.any():
            return []
    sac = replace(canal, radius=canal.radius * np.where(bare, share, 0.0)[:, None])
    box, mask = within(sac, part.grid)
    text = "the sac's label ends within the levels in view; beyond it the sac is modelled inside the bony canal"
    if known is None:
        text = "no canal is labelled: canal found inside the arches, sac modelled as 80 % of its radius"
        known = scene.structure(
            "canal/dural_sac", Origin.MODELLED, "80 % of the bony canal's radius", text, sd=roots.SD
        )
    else:
        part.structures[known.key] = replace(known, caveats=(*known.caveats, text))
    part.paint(known, box, mask, over=part.free(box))
    return [text]


def _sections_with(canal: Canal, grid: Grid, box: Box, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which sections of the canal hold labelled voxels, or lie within 3 mm of one that does."""
    points = grid.crop(box).centres(np.argwhere(mask))
    held = np.zeros(len(canal.line), dtype=np.bool_)
    held[np.unique(cKDTree(canal.line).query(points)[1])] = True
    return np.asarray(ndimage.binary_dilation(held, iterations=3))


def _add_epidural(scene: Scene, whole: tuple[Box, NDArray[np.bool_]]) -> None:
    """The free remainder of the `whole` bony canal."""
    box, mask = whole
    made = scene.structure(
        "canal/epidural",
        Origin.DERIVED,
        "inside the bony canal, closed across foramina and gaps of the laminae",
        "the ligamentum flavum is not told apart: the free canal is narrower than this bony one",
    )
    scene.part.paint(made, box, mask, over=scene.part.free(box))


# --- roots, foramina


def _add_roots(scene: Scene, pedicles: Mapping[tuple[str, str], arches.Pedicle], canal: Canal) -> None:
    """Modelled roots on both sides of every vertebra in view, where no label has them."""
    import edt  # noqa: PLC0415  (heavy import)

    part = scene.part
    steps = tuple(float(s) for s in part.grid.spacing)
    gap = edt.edt(np.ascontiguousarray(~part.mask(*FORBIDDEN)), anisotropy=steps, parallel=2)
    made = [
        _root(scene, bone, side, (pedicles.get((bone.name, side)), canal, gap))
        for bone in scene.bones.values()
        for side in SIDES
        if not part.has(f"root/{bone.name}/{side}")
    ]
    for root in made:
        _paint_root(scene, root)


def _root(
    scene: Scene, bone: Bone, side: str, known: tuple[arches.Pedicle | None, Canal, NDArray[np.float32]]
) -> roots.Root:
    """One modelled root; `known` is its pedicle, the canal, and the distance from what it may not enter."""
    pedicle, canal, gap = known
    above = next((a for a, b in scene.levels if b.name == bone.name), None)
    below = next((b for a, b in scene.levels if a.name == bone.name), None)
    window = f"foramen/{in_key(level(bone.name, below.name))}/{side}" if below else ""
    inside = partial(scene.part.mask, "canal", *([window] if window else []))
    way = roots.Way(inside, bone, pedicle, side, scene.part.has(window))
    radius = roots.radius_of(bone.name)
    corners = roots.guide(bone, above, below, pedicle, canal, side)
    path, least = roots.traced(corners, radius, scene.part.grid, gap, way)
    return roots.Root(bone.name, side, path, radius, least)


def _paint_root(scene: Scene, root: roots.Root) -> None:
    """A root takes its room from what is free, from muscle, and from canal and foramen as far as derived here.

    Muscle labels cover what runs inside the muscle: a root left out there would seem to leave a safe way.
    """
    part = scene.part
    if not len(root.path):
        return
    caveats = ["modelled"]
    if root.vertebra == "S1":
        caveats.append("its way through the sacrum is not modelled: it ends in the canal")
    if root.least < root.radius:
        caveats.append(f"narrowest passage leaves {2 * root.least:.1f} mm for a root of {2 * root.radius:.1f} mm")
    source = "cheapest path through canal and foramen, past the pedicle, that keeps off the bone"
    made = scene.structure(f"root/{root.vertebra}/{root.side}", Origin.MODELLED, source, *caveats, sd=roots.SD)
    box, mask = roots.tube(root.path, root.radius, part.grid)
    own = [k for k, s in part.structures.items() if belongs(k, "canal", "foramen") and s.origin != Origin.LABELLED]
    part.paint(made, box, mask, over=part.free(box) | part.mask("muscle", *own, box=box))


def _add_foramina(scene: Scene, pedicles: Mapping[tuple[str, str], arches.Pedicle]) -> None:
    """Foramina on both sides of every level."""
    part = scene.part
    bone, free = part.mask("vertebra", "sacrum"), part.free()
    for upper, lower in scene.levels:
        for side in SIDES:
            key = f"foramen/{in_key(level(upper.name, lower.name))}/{side}"
            above, below = pedicles.get((upper.name, side)), pedicles.get((lower.name, side))
            if part.has(key) or above is None or below is None:
                continue
            windows = foramina.window(upper, above), foramina.window(lower, below)
            box, mask = foramina.foramen(*windows, side, part.grid, bone, free)
            made = scene.structure(key, Origin.DERIVED, "between the pedicles, behind body and disc, before the facet")
            part.paint(made, box, mask, over=part.free(box))


# --- tissue


def _add_tissue(part: Partition, scene: Scene, image: Volume | None, modality: str) -> list[str]:
    """Skin and, on CT, tissue classes where nothing has a name; what is missing."""
    if image is None:
        return ["no image: skin and tissues between the labels are unknown"]
    if part.has("tissue/skin", "tissue/fat", "tissue/muscle"):
        return []
    values = tissue.on_grid(image, part.grid)
    up = np.mean([bone.up for bone in scene.bones.values()], axis=0)
    axis = int(np.argmax(np.abs(part.grid.patient_from_index.matrix[:3, :3].T @ up)))
    is_ct = modality.upper() == "CT"
    body = tissue.body_in(values, part.grid, axis, hounsfield=is_ct)
    caveats = list(body.caveats)
    numbers = np.zeros(len(tissue.CLASSES), dtype=np.uint16)
    for n, key in enumerate(tissue.CLASSES):
        if is_ct or key == "tissue/skin":
            numbers[n] = part.number(_class(key))
    tissue.class_free(part.array, values, body.mask, body.skin, numbers)
    _merge(part, part)
    if not is_ct:
        why = "on MR" if modality.upper() == "MR" else "because the image's values are not Hounsfield units"
        caveats.append(f"tissue classes unknown {why}: what no label covers is unseen")
    return caveats


def _class(key: str) -> Structure:
    if key == "tissue/skin":
        return Structure(key, Origin.DERIVED, f"outermost {tissue.SKIN:.0f} mm of the body", LABEL_SD)
    ranges = {
        "tissue/gas": f"below {tissue.FAT} HU inside the body",
        "tissue/fat": f"{tissue.FAT} to {tissue.MUSCLE - 1} HU",
        "tissue/muscle": f"{tissue.MUSCLE} to {tissue.BONE - 1} HU: muscle and other soft tissue",
        "tissue/bone": f"{tissue.BONE} HU or more: bone, calcium or contrast medium",
    }
    return Structure(key, Origin.CLASSED, ranges[key], LABEL_SD)
