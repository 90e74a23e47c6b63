"""Plan a level: every approach of the catalogue searched, compared with the open operation, written to plan.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import Case, PlanRecord, provenance, sha256
from keyhole.errors import InvalidInput
from keyhole.plan.approaches import AIMS, Approach, catalogue, chosen
from keyhole.plan.attempt import attempt
from keyhole.plan.doubt import default_budget, read_budget, with_doubt
from keyhole.plan.operation.told import with_operations
from keyhole.plan.realign.fusion import Wish
from keyhole.plan.realign.told import with_fusion
from keyhole.plan.record import record
from keyhole.plan.screws.told import check_pelvic, with_screws
from keyhole.plan.setting import setting
from keyhole.plan.site import check_arches
from keyhole.terms import SIDES, split
from keyhole.terms import level as checked_level

Progress = Callable[[str, float], None]

BOTH = "both"
"""Instead of a side: plan from the left and from the right, and rank them together."""


def plan(
    anatomy: Anatomy,
    level: str,
    side: str,
    goal: str,
    *,
    approaches: Sequence[str] | None = None,
    registration_error: float | None = None,
    target: str | None = None,
    catalogue_file: Path | None = None,
    budget_file: Path | None = None,
    wish: Wish | None = None,
    s2ai: bool = False,
    progress: Progress | None = None,
) -> PlanRecord:
    """Every minimally invasive approach to `level` from `side`, the best corridors in order, and the open operation.

    Parameters
    ----------
    side : "left", "right", or "both": both are planned and ranked together.
    goal : "decompress", "fuse" or "screws"; approaches that do not serve it are rejected with that reason.
    approaches : names from the catalogue; None takes all that serve the goal.
    registration_error : RMS target error of the navigation, mm, in place of that of the error budget.
    target : what must be reached, one of `approaches.AIMS`; None takes what the goal means on each side.
    catalogue_file : a clinic's own approaches, see docs/planning.md.
    budget_file : a clinic's own error budget, see docs/uncertainty.md; None takes the one that ships.
    wish : the cage for the goal fuse; None leaves it to the rules.
    s2ai : also an S2-alar-iliac screw on each side, below the screws of L5/S1.

    References
    ----------
    Definitions and choices: docs/decisions/0006-planning.md, 0023. Numbers of the approaches: plan/approaches.toml.
    """
    say = progress or (lambda sentence, share: None)
    level, sides, wanted = _asked(level, side, goal, target, approaches, catalogue_file)
    if s2ai:
        check_pelvic(level, goal)
    budget = default_budget() if budget_file is None else read_budget(Path(budget_file))
    if registration_error is not None:
        budget = budget.with_registration(registration_error)
    say(f"Looking at {level}", 0.0)
    check_arches(anatomy, level)
    settings, results = [], []
    for n, one in enumerate(sides):
        here = setting(anatomy, level, one, goal, error=budget, aim=target, approaches=wanted)
        settings.append(here)
        for k, approach in enumerate(wanted):
            say(f"Searching {approach.name} from the {one}", 0.1 + 0.7 * (n + k / len(wanted)) / len(sides))
            results.append(attempt(here, approach, both=len(sides) > 1, among=len(wanted)))
    say("Comparing with the open operation", 0.85)
    made_by = provenance(
        {Path(file).name: sha256(Path(file)) for file in (catalogue_file, budget_file) if file is not None},
        registration_error=budget.stated,
        approaches=[a.name for a in wanted], target=target, sides=list(sides),
    )  # fmt: skip
    named = "budget.toml" if budget_file is None else Path(budget_file).name
    made = with_doubt(record(settings, results, made_by), budget, named, settings[0].site.frame.axes)
    made = with_fusion(made, anatomy, wish)
    made = with_operations(with_screws(made, anatomy, budget, is_pelvic=s2ai), anatomy)
    say("Planned", 1.0)
    return made


def _asked(
    level: str, side: str, goal: str, target: str | None, approaches: Sequence[str] | None, file: Path | None
) -> tuple[str, tuple[str, ...], tuple[Approach, ...]]:
    """The checked level, the sides, and the approaches as they are at that level."""
    known = catalogue(file)
    kinds = get_args(PlanRecord.model_fields["goal"].annotation)
    chosen(approaches, catalogue=known)
    if goal not in kinds:
        raise InvalidInput(f"a goal is one of {', '.join(kinds)}, got {goal!r}")
    if target is not None and target not in AIMS:
        raise InvalidInput(f"a target is one of {', '.join(AIMS)}, got {target!r}")
    if side not in (*SIDES, BOTH):
        raise InvalidInput(f"a side is left, right or both, got {side!r}")
    level = checked_level(*split(level))
    wanted = tuple(a.at(level) for a in chosen(approaches, goal=goal, catalogue=known))
    return level, SIDES if side == BOTH else (side,), wanted


def plan_case(
    case: Case,
    level: str,
    side: str,
    goal: str,
    *,
    approaches: Sequence[str] | None = None,
    registration_error: float | None = None,
    target: str | None = None,
    catalogue_file: Path | None = None,
    budget_file: Path | None = None,
    wish: Wish | None = None,
    s2ai: bool = False,
    progress: Progress | None = None,
    held: Anatomy | None = None,
) -> PlanRecord:
    """`plan` for the anatomy of `case`; writes plan.json, whole or not at all; `held` as in `reading.load`."""
    from keyhole.anatomy.reading import load  # noqa: PLC0415  (heavy import)

    say = progress or (lambda sentence, share: None)
    say("Reading the labels", 0.0)
    anatomy = load(case, with_image=goal in ("screws", "fuse"), held=held)
    made = plan(
        anatomy, level, side, goal, approaches=approaches, registration_error=registration_error, target=target,
        catalogue_file=catalogue_file, budget_file=budget_file, wish=wish, s2ai=s2ai,
        progress=lambda sentence, share: say(sentence, 0.2 + 0.75 * share),
    )  # fmt: skip
    inputs = {**made.provenance.inputs, **anatomy.files}
    made = made.model_copy(update={"provenance": made.provenance.model_copy(update={"inputs": inputs})})
    case.write(made)
    say("Planned", 1.0)
    return made
