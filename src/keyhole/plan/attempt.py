"""One approach tried on one side: searched, looked at exactly, and the best kept, or the reason why none is."""

from __future__ import annotations

from keyhole.casefile import Feasibility, Quantity, Rejected
from keyhole.plan.approaches import Approach
from keyhole.plan.biportal import coupled, unpaired
from keyhole.plan.candidate import Figures, figures
from keyhole.plan.changes import COARSE, LOOKED, changes, is_clear
from keyhole.plan.rank import REPORTED, closest, select, shortlist
from keyhole.plan.reasons import Why, why
from keyhole.plan.refine import improved
from keyhole.plan.search import MARGINS, Found, search
from keyhole.plan.setting import Result, Setting
from keyhole.plan.site import hard_keys

EXAMINED = 30
"""Corridors per approach whose figures are worked out exactly."""

NEARLY = 12
"""Corridors that only an exact recount can clear, of which so many are recounted [keyhole-choice]."""

SHORT = (
    "the search's own bounds leave no corridor of this approach: those given are clear by a recount voxel by voxel, "
    "and the window is about as narrow as a voxel"
)

FEWER, MANY = 3, 4
"""Corridors reported per approach where more than `MANY` approaches are compared, to keep a plan readable."""


def attempt(setting: Setting, approach: Approach, *, both: bool = False, among: int = 1) -> Result:
    """What becomes of `approach` on the side of `setting`, `among` how many; `both`: the other side is planned too."""
    site = setting.site
    refused = _unfit(setting, approach)
    if refused:
        return Result(approach, setting, [], _rejected(setting, approach, Why(refused)))
    found = search(site, approach, setting.targets, steps=approach.steps, close=True)
    counted = _counted(setting, found)
    examined = looked_at(setting, found, EXAMINED)
    clear = [f for f in examined if is_clear(f)]
    seen = coupled(setting, clear)
    if seen:
        best = select(seen, FEWER if among > MANY else REPORTED)
        better = best if approach.kind == "biportal" or found.is_short else improved(setting, found, best)
        caveats = (*found.caveats, SHORT) if found.is_short else found.caveats
        return Result(approach, setting, better, None, counted, found, caveats)
    second = _second(setting, approach) if found.searched else None
    if second is not None:
        return second
    walls = setting.walls.only(hard_keys(site, approach))
    told = why(site, found, walls, setting.targets, modality=setting.anatomy.modality, examined=examined)
    told = Why(unpaired(approach, len(clear))) if clear else told
    rejected = _rejected(setting, approach, told)
    if not told.is_unseen:
        rejected = rejected.model_copy(update={"changes": changes(setting, approach, found, both=both)})
    return Result(approach, setting, [], rejected, counted, found, found.caveats)


def _second(setting: Setting, approach: Approach) -> Result | None:
    """The best corridor on another lattice, that of `changes`, so that what they find is theirs; None if none is."""
    if approach.steps == COARSE:
        return None
    found = search(setting.site, approach, setting.targets, steps=COARSE)
    best = coupled(setting, [f for f in looked_at(setting, found, LOOKED) if is_clear(f)])
    if not best:
        return None
    said = (
        f"found on a second lattice of {COARSE[0]:g} mm and {COARSE[1]:g} degrees, not on the first: the window is "
        "narrower than the search's steps"
    )
    return Result(approach, setting, select(best, FEWER), None, _counted(setting, found), found, (*found.caveats, said))


def _counted(setting: Setting, found: Found) -> Feasibility:
    return Feasibility(
        approach=found.approach.name, searched=found.searched, margins=MARGINS, feasible=found.feasible,
        side=setting.site.frame.side,  # type: ignore[arg-type]  # a checked side
    )  # fmt: skip


def looked_at(setting: Setting, found: Found, n: int) -> list[Figures]:
    """The exact figures of up to `n` corridors of `found`."""
    walls = setting.walls.only(hard_keys(setting.site, found.approach))
    wanted = closest(found, NEARLY) if found.is_short else shortlist(found, setting.error, setting.root_sd, n)
    return [figures(setting.site, found, at, walls, setting.error, setting.targets) for at in wanted]


def _unfit(setting: Setting, approach: Approach) -> str:
    """Why `approach` is not searched at all here; empty if it is."""
    targets, level = setting.targets, setting.site.frame.level
    if setting.goal not in approach.goals:
        return f"it does not serve the goal {setting.goal}"
    if approach.kind == "screws":
        return "screws are planned by their own search, along each pedicle, not as a corridor to the disc"
    if targets.name not in approach.aims:
        return f"it is not meant for the {targets.name}: it is planned for the {' or the '.join(approach.aims)}"
    if not len(targets.points) and not len(targets.doorway):
        what = (
            "neither disc, fragment nor flavum is"
            if targets.name in ("fragment", "recess")
            else f"no {targets.what} is"
        )
        return f"{what} labelled at {level}: there is no target"
    return ""


def _rejected(setting: Setting, approach: Approach, told: Why) -> Rejected:
    missing = None
    if told.missing is not None:
        missing = Quantity(value=round(told.missing, 3), unit="mm", source="keyhole-plan")
    return Rejected(
        approach=approach.name, reason=told.text, structure=told.structure, missing=missing, tried=told.tried,
        side=setting.site.frame.side,  # type: ignore[arg-type]  # a checked side
    )  # fmt: skip
