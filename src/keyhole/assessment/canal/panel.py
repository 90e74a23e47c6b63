"""Panel of the canal's and the sac's measures at every level and vertebra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.assessment.canal import grades
from keyhole.assessment.canal.heights import BELOW_S1, facet_plane, pedicle_plane
from keyhole.assessment.canal.profile import Profile, compression_ratio, least_area, least_diameter, profile
from keyhole.assessment.canal.section import Course, Lumen, canal_plane, course, lumen
from keyhole.assessment.canal.signal import NAME as CSF
from keyhole.assessment.canal.signal import csf_signal_ratio
from keyhole.assessment.canal.size import (
    FREE,
    PLACE_SD,
    SAC,
    Doubt,
    Target,
    ap_diameter,
    area,
    look,
    transverse_diameter,
)
from keyhole.assessment.disc.heights import mid_plane
from keyhole.assessment.model import Finding, Grade, Measurement, unknown
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes, plates
from keyhole.geometry import Box, Plane
from keyhole.terms import Origin, belongs, in_key

FACETS, PEDICLES = " at the facets", " at the pedicles"
QUANTITIES = (
    ("area", "mm2", area),
    ("AP diameter", "mm", ap_diameter),
    ("transverse diameter", "mm", transverse_diameter),
)
NO_CANAL = "{level}: neither canal nor sac nor cord is labelled; not measured"
OUT_OF_VIEW = "{level}: the canal is not in view 10 mm to both sides of the plane {place}; not measured"
NO_JOINT = "{level}: the four articular processes of the level are not all labelled; not measured"
NO_PEDICLE = "{level}: the pedicles of {names} are not labelled; not measured"
NO_SPAN = "{level}: the canal is not in view from the pedicles of one vertebra to those of the next; not measured"
NO_T2 = "{level}: there is no T2 image; the signal of the fluid is not known"
NO_SAC = "{level}: the dural sac is not labelled; the signal of its fluid is not measured"
NOT_SHOWN = "{level}: the T2 image does not show the sac from one pair of pedicles to the next; not measured"
OTHER_SCAN = "labels and T2 image are different scans: taken to lie in the same place"


class Scene:
    """What the canal's measures of one study share: its line, where each label lies, the lumens."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.anatomy: Anatomy = study.anatomy
        self.way: Course = course(self.anatomy.canal_line)
        self.voxel = float(self.anatomy.labels.drawn_grid.spacing.max())

    @cached_property
    def boxes(self) -> dict[str, Box]:
        """Where each key lies."""
        return label_boxes(self.anatomy.labels)

    def _lumen(self, *prefixes: str) -> Lumen | None:
        line = self.anatomy.canal_line
        return lumen(self.anatomy.labels, line, prefixes) if len(line) else None

    @cached_property
    def free(self) -> Lumen | None:
        """The free canal."""
        return self._lumen(*FREE)

    @cached_property
    def sac(self) -> Lumen | None:
        """The dural sac where it was labelled itself."""
        return self._lumen(*SAC) if sac_was_labelled(self.anatomy) else None

    @cached_property
    def bony(self) -> Lumen | None:
        """Everything in the bony canal, what narrows it included."""
        soft = [key for key in self.anatomy.structures if key.startswith("disc/") and key.endswith("/herniation")]
        return self._lumen("canal", *soft)

    def doubt(self, place: float, *prefixes: str) -> Doubt:
        """What makes a section of `prefixes` uncertain, for the sd `place` of where it lies, mm."""
        return Doubt(boundary_sd(self.anatomy, *prefixes), self.voxel, float(np.hypot(PLACE_SD, place)))


def canal_panel(study: Study) -> Iterator[Finding]:
    """Area and diameters of canal and sac at discs, facets and pedicles; the narrowest section; the fluid's signal."""
    scene = Scene(study)
    for vertebra in study.vertebrae:
        yield from _at_pedicles(scene, vertebra)
    for level in study.levels:
        yield from _at_level(scene, level)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One structure at one place: its lumen, what to call it, its doubt, its notes, and the grade of each quantity."""

    lumen: Lumen | None
    target: Target
    doubt: Doubt
    notes: tuple[str, ...]
    grade: Mapping[str, Callable[[Measurement], Grade | None]]


def _at_level(scene: Scene, level: str) -> Iterator[Finding]:
    pair = scene.anatomy.pair(level)
    found = plates(*pair)
    tasks = _tasks(scene, level)
    middle = mid_plane(found[1], found[2]) if found else None
    joint = facet_plane(scene.anatomy.labels, scene.boxes, level, pair) if found else None
    place = float(np.hypot(found[1].sd, found[2].sd) / 2) if found else 0.0
    for task in tasks:
        at_facets = _moved(task, FACETS, "at the middle of the facet joints")
        why = "" if found else cut(*pair)
        yield from _sizes(scene, replace(task, doubt=_wider(task.doubt, place)), (middle, pair), why)
        yield from _sizes(scene, at_facets, (joint, pair), why or ("" if joint else NO_JOINT.format(level=level)))
    yield from _between_pedicles(scene, level, tasks, middle)


def _wider(doubt: Doubt, place: float) -> Doubt:
    return replace(doubt, place_sd=float(np.hypot(doubt.place_sd, place)))


def _moved(task: Task, suffix: str, place: str) -> Task:
    return replace(task, target=replace(task.target, suffix=suffix, place=place))


def _tasks(scene: Scene, level: str) -> list[Task]:
    """The canal, and the sac where it was labelled, at the disc of `level`."""
    anatomy, general, where = scene.anatomy, scene.study.general, "at the disc's mid-plane"
    bony = is_bony(anatomy, level)
    soft = (f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    which = "the bony canal (flavum is not told apart)" if bony else "the free canal (flavum and herniation taken off)"
    graded: dict[str, Callable[[Measurement], Grade | None]] = {
        "AP diameter": lambda found: grades.verbiest(found, is_bony=bony),
        "least": grades.most_used,
    }
    if not has_epidural(anatomy):
        which, graded = _stand_in(anatomy), {}
    elif bony:
        graded["area at the facets"] = grades.canal_at_facets
    target = Target("canal", level, "", which, where)
    notes = (*general, *_notes(anatomy, level))
    tasks = [Task(scene.free, target, scene.doubt(0.0, *FREE, *soft), notes, graded)]
    if sac_was_labelled(anatomy):
        of_sac = Target("dural sac", level, "", "the dural sac", where)
        limits: dict[str, Callable[[Measurement], Grade | None]] = {
            "area": grades.bolender,
            "area at the facets": grades.sac_at_facets,
        }
        tasks.append(Task(scene.sac, of_sac, scene.doubt(0.0, *SAC), (*general, *origin_notes(anatomy, *SAC)), limits))
    return tasks


def _sizes(
    scene: Scene, task: Task, where: tuple[Plane | None, tuple[Vertebra, Vertebra]], why: str
) -> Iterator[Finding]:
    """Area and diameters on one plane, or why not."""
    across, pair = where
    at = canal_plane(scene.anatomy.canal_line, across, pair) if across is not None else None
    level, target = task.target.level, task.target
    if not why and task.lumen is None:
        why = NO_CANAL.format(level=level)
    if not why and at is None:
        why = OUT_OF_VIEW.format(level=level, place=target.place)
    seen = look(task.lumen, at) if task.lumen is not None and at is not None and not why else None
    for quantity, unit, measure in QUANTITIES:
        one = target.missing(quantity, unit, why) if why else measure(target, seen, task.doubt)
        grade = task.grade.get(f"{quantity}{target.suffix}")
        yield Finding(one, grade(one) if grade else None, task.notes)


def _at_pedicles(scene: Scene, vertebra: Vertebra) -> Iterator[Finding]:
    """The bony canal, and the sac where it was labelled, at the pedicles of one vertebra."""
    anatomy, name, general = scene.anatomy, vertebra.name, scene.study.general
    plane = pedicle_plane(anatomy.labels, scene.boxes, vertebra) if vertebra.complete else None
    why = "" if plane is not None else NO_PEDICLE.format(level=name, names=name)
    why = why if vertebra.complete else cut(vertebra)
    place = "at the pedicles" if name != "S1" else f"{BELOW_S1:.0f} mm below the endplate"
    which = "the bony canal" if has_epidural(anatomy) else _stand_in(anatomy)
    graded = {"AP diameter at the pedicles": grades.developmental} if has_epidural(anatomy) else {}
    notes = (*general, *_epidural_note(anatomy), *origin_notes(anatomy, *FREE))
    target = Target("canal", name, PEDICLES, which, place)
    tasks = [Task(scene.bony, target, scene.doubt(0.0, "canal"), notes, graded)]
    if sac_was_labelled(anatomy):
        of_sac = replace(target, structure="dural sac", which="the dural sac")
        tasks.append(Task(scene.sac, of_sac, scene.doubt(0.0, *SAC), (*general, *origin_notes(anatomy, *SAC)), {}))
    for task in tasks:
        yield from _sizes(scene, task, (plane, (vertebra, vertebra)), why)


def _between_pedicles(scene: Scene, level: str, tasks: list[Task], middle: Plane | None) -> Iterator[Finding]:
    """The narrowest section between the pedicles of two vertebrae, the compression there, and the fluid's signal."""
    why = _span_missing(scene, level, middle)
    span = None if why else _span(scene, level)
    disc = scene.way.crossing(middle) if middle is not None else None
    if not why and (span is None or disc is None):
        why = NO_SPAN.format(level=level)
    of_sac: Profile | None = None
    for task in tasks:
        found = None
        if span is not None and disc is not None and task.lumen is not None:
            found = profile(task.lumen, scene.way, span, scene.anatomy.pair(level))
        yield from _least(task, found, disc or 0.0, why or ("" if found else NO_SPAN.format(level=level)))
        of_sac = found if task.target.structure == "dural sac" else of_sac
    yield _fluid(scene, level, of_sac, why)


def _span_missing(scene: Scene, level: str, middle: Plane | None) -> str:
    """Why the canal cannot be followed between the pedicles of `level`; empty where it can."""
    pair = scene.anatomy.pair(level)
    if middle is None:
        return cut(*pair)
    if len(scene.way.line) == 0:
        return NO_CANAL.format(level=level)
    without = [one.name for one in pair if pedicle_plane(scene.anatomy.labels, scene.boxes, one) is None]
    return NO_PEDICLE.format(level=level, names=" and ".join(without)) if without else ""


def _span(scene: Scene, level: str) -> tuple[float, float] | None:
    """Arc length on the canal's line at the pedicles above and below the disc."""
    ends = [pedicle_plane(scene.anatomy.labels, scene.boxes, one) for one in scene.anatomy.pair(level)]
    found = [scene.way.crossing(one) for one in ends if one is not None]
    known = [one for one in found if one is not None]
    return (known[0], known[1]) if len(known) == 2 else None


def _least(task: Task, found: Profile | None, disc: float, why: str) -> Iterator[Finding]:
    target = task.target
    is_canal = target.structure == "canal"
    if found is None:
        yield Finding(unknown(f"least {target.structure} area", target.level, "mm2", why), caveats=task.notes)
        if is_canal:
            yield Finding(unknown(f"least {target.structure} AP diameter", target.level, "mm", why), caveats=task.notes)
        yield Finding(target.missing("compression ratio", "%", why), caveats=task.notes)
        return
    least = least_area(target, found, task.doubt, disc)
    grade = task.grade.get("least")
    yield Finding(least, grade(least) if grade else None, task.notes)
    if is_canal:
        narrow = least_diameter(target, found, task.doubt, disc)
        yield Finding(narrow, grade(narrow) if grade else None, task.notes)
    yield Finding(compression_ratio(target, found, least, task.doubt), caveats=task.notes)


def _fluid(scene: Scene, level: str, found: Profile | None, why: str) -> Finding:
    """The fluid's signal where the sac is narrowest."""
    study = scene.study
    if not why and not sac_was_labelled(scene.anatomy):
        why = NO_SAC.format(level=level)
    image = study.image("T2")
    if image is None:
        why = NO_T2.format(level=level)
    one = csf_signal_ratio(level, image, found) if image is not None and found is not None and not why else None
    notes = (OTHER_SCAN,) if scene.anatomy.modality == "CT" and one is not None else ()
    reason = why or NOT_SHOWN.format(level=level)
    return Finding(one or unknown(CSF, level, "1", reason), caveats=(*study.general, *notes))


def _notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What the free canal at `level` rests on."""
    flavum, herniation = f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation"
    notes = [*origin_notes(anatomy, *FREE, flavum, herniation), *_epidural_note(anatomy)]
    if has_epidural(anatomy) and is_bony(anatomy, level):
        notes.append("ligamentum flavum is not labelled: it is counted as free canal, so this is the bony canal")
    disc = anatomy.structures.get(f"disc/{in_key(level)}")
    if disc is not None and disc.origin is not Origin.LABELLED:
        notes.append("the disc is not labelled: a bulge or herniation into the canal would not be seen")
    return tuple(notes)


def _epidural_note(anatomy: Anatomy) -> tuple[str, ...]:
    if has_epidural(anatomy):
        return ()
    return (f"the epidural space is not labelled: the canal measured here is {_stand_in(anatomy)}",)


def _stand_in(anatomy: Anatomy) -> str:
    """What is measured for the canal where no epidural space is known."""
    return "the dural sac alone" if sac_was_labelled(anatomy) else "the label of the cord or canal alone"


def has_epidural(anatomy: Anatomy) -> bool:
    """Whether the space around the sac is known, labelled or derived."""
    return any(belongs(key, "canal/epidural") for key in anatomy.structures)


def is_bony(anatomy: Anatomy, level: str) -> bool:
    """Whether nothing that narrows the bony canal at `level` is known."""
    soft = (f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    return not any(belongs(key, *soft) for key in anatomy.structures)


def sac_was_labelled(anatomy: Anatomy) -> bool:
    """Whether canal/dural_sac is the sac itself: labelled, and not a label of the cord that stands in for it."""
    sac = anatomy.structures.get("canal/dural_sac")
    return sac is not None and sac.origin is Origin.LABELLED and not any("cord" in note for note in sac.caveats)
