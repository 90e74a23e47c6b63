"""What the error budget means for one corridor: breach probabilities, what dominates, what navigation must do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from keyhole.anatomy.model import Structure
from keyhole.geometry import LabelMap, Points, Tube
from keyhole.plan.doubt.breach import REACH, Contact, Wall, breach, breach_probability, nearest_contact, total, wall
from keyhole.plan.doubt.budget import MOTIONS, Budget, execution_error, registration_error, term_error
from keyhole.plan.doubt.cloud import Cloud, cloud
from keyhole.plan.doubt.error import ExecutionError

SAFE = 0.05
"""A corridor counts as safe while its summed breach probability stays at or below this [keyhole-choice]."""

LARGEST = 10.0
"""Registration errors beyond this, mm, are not asked for: no navigation is that bad."""

NEAR_ENOUGH = 0.02
"""The needed accuracy is found to this, mm."""

Gaps = Mapping[str, tuple[float, Points]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Execution(ExecutionError):
    """How corridors at a level are executed: the error of its middle, and what is needed to know it elsewhere.

    `budget` in the level's frame with `axes` (3, 3), rows lateral, posterior, up; `cloud` holds the walls of what must
    not be touched, `sds` the boundary sd of each structure as its label says, mm, `voxel` the edge of a voxel, mm.
    """

    budget: Budget
    axes: Points
    cloud: Cloud
    sds: Mapping[str, float]
    voxel: float

    def error(self, tip: Points) -> ExecutionError:
        """The error of a tube whose tip is at `tip` (3,) LPS mm."""
        return execution_error(self.budget, tip, axes=self.axes)

    def own(self, key: str) -> float:
        """How uncertain the place of structure `key` is, mm per axis."""
        return self.budget.own(self.sds.get(key, 0.0), self.voxel)


def execution(
    budget: Budget, labels: LabelMap, structures: Mapping[str, Structure], keys: Iterable[str], *, axes: Points,
    middle: Points,
) -> Execution:  # fmt: skip
    """The execution, at a level with frame `axes` and `middle`, of tubes beside the structures `keys` of `labels`."""
    made = cloud(labels, keys)
    error = execution_error(budget, middle, axes=axes)
    return Execution(
        error.covariance, error.rotation, error.cross, error.centre,
        budget=budget, axes=axes, cloud=made, voxel=float(labels.grid.voxel_volume ** (1 / 3)),
        sds={key: structures[key].sd for key in made.keys if key in structures},
    )  # fmt: skip


def breaches(error: ExecutionError, gaps: Gaps, tube: Tube, tip: Points, sds: Mapping[str, float]) -> dict[str, float]:
    """Chance that the executed `tube`, whose tip is at `tip`, touches each structure of `gaps` (mm, normal).

    Against the structures' real shape where `error` is an `Execution`, which knows them; else beside flat walls, with
    the structures' boundary `sds`, mm.
    """
    if isinstance(error, Execution):
        here = error.error(tip)
        return {key: breach(near, tube, here, error.own(key)) for key, near in walls(error, tube, gaps).items()}
    return {key: breach_probability(gap, normal, error, sds.get(key, 0.0)) for key, (gap, normal) in gaps.items()}


def walls(how: Execution, tube: Tube, keys: Iterable[str]) -> dict[str, Wall]:
    """The walls of the structures `keys` near `tube`."""
    return {key: wall(how.cloud.of(key), tube) for key in keys}


@dataclass(frozen=True, slots=True)
class Needed:
    """How accurate navigation must be: `rms` mm of registration at the tip is the most at which danger is `SAFE`.

    `rms` None: not even a perfect registration brings the danger down to `SAFE`; inf: any up to `LARGEST` does.
    `perfect` is the danger with a perfect registration, `assumed` the RMS that the budget has at the tip, mm.
    """

    rms: float | None
    perfect: float
    assumed: float


def needed_accuracy(how: Execution, tube: Tube, tip: Points, near: Mapping[str, Wall], limit: float = SAFE) -> Needed:
    """The largest RMS registration error at the tip at which the summed breach probability stays <= `limit`.

    The registration's error keeps its shape, rotation included, and is scaled; all other terms stay as budgeted. Found
    by false position on 1 / z² over the square of the RMS, z the normal score of the danger: beside one flat wall the
    two are in a straight line.
    """
    registration = registration_error(how.budget, tip, how.axes)
    others = execution_error(how.budget.without("registration"), tip, axes=how.axes)
    assumed = registration.rms(tip)
    shape = registration.scaled(1 / assumed) if assumed > 0 else ExecutionError(np.eye(3) / 3, centre=tip)

    def danger(rms: float) -> float:
        error = others + shape.scaled(rms)
        return total([breach(at, tube, error, how.own(key)) for key, at in near.items()])

    perfect = danger(0.0)
    if not perfect <= limit:
        return Needed(None, perfect, assumed)
    found = _crossing(danger, perfect, limit, assumed if 0 < assumed < LARGEST else LARGEST / 4)
    return Needed(found, perfect, assumed)


def _crossing(danger: Callable[[float], float], perfect: float, limit: float, guess: float) -> float:
    """The largest RMS, mm rounded down to `NEAR_ENOUGH`, with danger <= `limit`; inf if that is beyond `LARGEST`."""
    wanted = _score(limit)
    low, below, high, above = 0.0, _score(perfect) - wanted, LARGEST, float("nan")
    for _ in range(60):
        value = _score(danger(guess)) - wanted
        if value <= 0:
            low, below = guess, value
        else:
            high, above = guess, value
        if low >= LARGEST:
            return float("inf")
        if high - low <= NEAR_ENOUGH:
            break
        guess = _between(low, below, high, above)
    return float(np.floor(low / NEAR_ENOUGH + 1e-9) * NEAR_ENOUGH)


def _between(low: float, below: float, high: float, above: float) -> float:
    """The next guess: where the line through both ends crosses zero, a little to the side that is not yet tight."""
    if not np.isfinite(above):
        return min(high, max(2 * low, low + 1.0))
    share = below / (below - above) if above > below else 0.5
    middle = sqrt(low**2 + min(max(share, 0.02), 0.98) * (high**2 - low**2))
    inside = min(max(middle, low + NEAR_ENOUGH / 2), high - NEAR_ENOUGH / 2)
    return inside + (NEAR_ENOUGH / 2 if share < 0.5 else -NEAR_ENOUGH / 2) if high - low > 4 * NEAR_ENOUGH else inside


def _score(chance: float) -> float:
    """1 / z² of a chance below a half, growing with it; large beyond."""
    from scipy.special import ndtri  # noqa: PLC0415  (heavy import)

    z = -float(ndtri(min(max(chance, 1e-15), 0.5 - 1e-3)))
    return 1.0 / z**2


@dataclass(frozen=True, slots=True)
class Share:
    """What one term of the budget adds to the doubt about a corridor.

    `share` % of the variance of the gap to the structure in most danger; `without` the danger if the term were 0,
    with walls scaled from the whole budget's.
    """

    term: str
    share: float
    without: float


def sensitivity(
    how: Execution, tip: Points, near: Mapping[str, Wall], chances: Mapping[str, float]
) -> tuple[str | None, tuple[Share, ...]]:
    """The structure in most danger and the share of each term, largest first; nothing where nothing is near.

    `chances` are the breach probabilities under the whole budget.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  (heavy import)

    error = how.error(tip)
    met = _contacts(how, error, near)
    if not met:
        return None, ()
    worst = max(met, key=lambda key: (round(chances[key], 9), -met[key].gap))
    parts = {key: _variances(how, at, tip, how.own(key)) for key, at in met.items()}
    scores = {key: float(-ndtri(np.clip(chances[key], 1e-12, 1 - 1e-12))) for key in met}
    found = []
    for name in ("registration", *MOTIONS, "label"):
        without = []
        for key, score in scores.items():
            whole = sum(parts[key].values())
            left = max(whole - parts[key][name], 1e-12 * max(whole, 1e-12))
            without.append(float(ndtr(-score * sqrt(whole / left))))
        whole = sum(parts[worst].values())
        found.append(Share(name, 100 * parts[worst][name] / whole if whole > 0 else 0.0, total(without)))
    return worst, tuple(sorted(found, key=lambda part: -round(part.share, 6)))


def _contacts(how: Execution, error: ExecutionError, near: Mapping[str, Wall]) -> dict[str, Contact]:
    met = {key: nearest_contact(at, error, how.own(key)) for key, at in near.items()}
    return {key: contact for key, contact in met.items() if contact is not None}


def _variances(how: Execution, at: Contact, tip: Points, own: float) -> dict[str, float]:
    """Variance of the gap at the contact, mm², by term."""
    found = {
        name: term_error(how.budget, name, tip, how.axes).along(at.normal, at.point)
        for name in ("registration", *MOTIONS)
    }
    return found | {"label": own**2}


DRAWS = 4000
"""Executions drawn for the clearance that is kept."""

KEPT = 0.95
"""Share of executions in which that clearance is kept."""


def kept_clearance(how: Execution, tip: Points, near: Mapping[str, Wall]) -> float:
    """Least gap to any of the walls `near` it that the executed tube keeps in `KEPT` of all executions, mm.

    The negative of the 95th percentile of the loss, where the loss of an execution is how far the tube lies in, or
    (negative) from, whatever it is nearest to or deepest in; all terms of the budget, systematic ones too, are drawn.
    Each structure is met at its likeliest contact with a flat wall, and all move together as the tube's error has it,
    so the draws hang on gaps and covariances alone and a moved patient has the same; inf where nothing is near.
    """
    error = how.error(tip)
    met = sorted(_contacts(how, error, near).items(), key=lambda item: round(item[1].gap / item[1].spread, 6))
    told = [(key, at) for key, at in met if at.gap < REACH][:64]
    if not told:
        return float("inf")
    ways = np.stack([at.normal @ error.ways(at.point) for _, at in told])
    covariance = ways @ ways.T + np.diag([how.own(key) ** 2 for key, _ in told])
    values = np.random.default_rng(95).standard_normal((DRAWS, 64))[:, : len(told)]
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(told)))
    gaps = np.array([at.gap for _, at in told]) + values @ root.T
    return float(np.quantile(gaps.min(axis=1), 1 - KEPT))
