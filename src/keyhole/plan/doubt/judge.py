"""What the error budget means for one corridor: breach probabilities, what dominates, what navigation must do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np

from keyhole.anatomy.model import Structure
from keyhole.geometry import LabelMap, Points, Tube
from keyhole.plan.doubt.breach import REACH, Contact, Wall, breach, breach_probability, nearest_contact, total, wall
from keyhole.plan.doubt.budget import MOTIONS, Budget, execution_error, registration_error, term_error
from keyhole.plan.doubt.cloud import Cloud, away_from, cloud
from keyhole.plan.doubt.error import ExecutionError

SAFE = 0.05
"""A corridor counts as safe while its summed breach probability stays at or below this [keyhole-choice]."""

MOVING = ("registration", *MOTIONS)
"""Terms that move the tube; the label term moves the structure."""

SKIN_AIR = 6.0
"""Gas this near to the skin is not bowel, mm [keyhole-choice]."""

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
    middle: Points, skin: Points | None = None,
) -> Execution:  # fmt: skip
    """The execution, at a level with frame `axes` and `middle`, of tubes beside the structures `keys` of `labels`.

    Gas within `SKIN_AIR` of the `skin` (n, 3) LPS mm is air outside or in a fold: every tube passes the skin there.
    """
    made = cloud(labels, keys)
    if skin is not None:
        made = away_from(made, "tissue/gas", skin, SKIN_AIR)
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
        return {key: breach(wall(error.cloud.of(key), tube), tube, here, error.own(key)) for key in gaps}
    return {key: breach_probability(gap, normal, error, sds.get(key, 0.0)) for key, (gap, normal) in gaps.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """A structure `key`, the part of its wall `near` to `tube`, the tube's `tip` (3,) LPS mm and its `error`.

    `own` is how uncertain the structure's place is, mm per axis; `contact` where the tube is likeliest to meet it.
    """

    key: str
    near: Wall
    tube: Tube
    tip: Points
    error: ExecutionError
    own: float
    contact: Contact


def exposures(how: Execution, tubes: Iterable[tuple[Tube, Points]], keys: Iterable[str]) -> tuple[Exposure, ...]:
    """What the structures `keys` show to each of `tubes`, given with their tips."""
    made = []
    for tube, tip in tubes:
        error = how.error(tip)
        for key in sorted(keys):
            near = wall(how.cloud.of(key), tube)
            if len(near.points):
                own = how.own(key)
                made.append(Exposure(key, near, tube, tip, error, own, nearest_contact(near, error, own)))
    return tuple(made)


def chances(shown: Iterable[Exposure]) -> tuple[float, ...]:
    """The breach probability of each exposure under the budget."""
    return tuple(breach(s.near, s.tube, s.error, s.own) for s in shown)


@dataclass(frozen=True, slots=True)
class Needed:
    """How accurate navigation must be: `rms` mm of registration at the tip is the most at which danger is `SAFE`.

    `rms` None: not even a perfect registration brings the danger down to `SAFE`; inf: any up to `LARGEST` does.
    `perfect` is the danger with a perfect registration, `assumed` the RMS that the budget has at the tip, mm.
    """

    rms: float | None
    perfect: float
    assumed: float


def needed_accuracy(how: Execution, shown: Sequence[Exposure], tip: Points, limit: float = SAFE) -> Needed:
    """The largest RMS registration error at `tip` at which the summed breach probability of `shown` is <= `limit`.

    The registration's error keeps its shape, rotation included, and is scaled; all other terms stay as budgeted. Found
    by false position on 1 / z² over the square of the RMS, z the normal score of the danger: beside one flat wall the
    two are in a straight line.
    """
    assumed = registration_error(how.budget, tip, how.axes).rms(tip)
    known = how.budget if assumed > 0 else how.budget.with_registration(1.0)
    whole = assumed if assumed > 0 else 1.0
    terms = {id(s.error): _split(known, s.tip, how.axes) for s in shown}

    def danger(rms: float) -> float:
        at = {key: others + registration.scaled(rms / whole) for key, (registration, others) in terms.items()}
        return total([breach(s.near, s.tube, at[id(s.error)], s.own) for s in shown])

    perfect = danger(0.0)
    if not perfect <= limit:
        return Needed(None, perfect, assumed)
    found = _crossing(danger, perfect, limit, assumed if 0 < assumed < LARGEST else LARGEST / 4)
    return Needed(found, perfect, assumed)


def _split(budget: Budget, tip: Points, axes: Points) -> tuple[ExecutionError, ExecutionError]:
    """The error of the registration, and that of all else, about the tip."""
    others = execution_error(budget.without("registration"), tip, axes=axes)
    return registration_error(budget, tip, axes).moved(tip), others


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
    how: Execution, shown: Sequence[Exposure], breached: Sequence[float]
) -> tuple[str | None, tuple[Share, ...]]:
    """The structure in most danger and the share of each term, largest first; nothing where nothing is near.

    `breached` are the breach probabilities of `shown` under the whole budget.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  (heavy import)

    if not shown:
        return None, ()
    worst = max(range(len(shown)), key=lambda n: (round(breached[n], 9), -round(shown[n].contact.gap, 6)))
    terms = {id(s.error): {n: term_error(how.budget, n, s.tip, how.axes) for n in MOVING} for s in shown}
    parts = [_variances(s, terms[id(s.error)]) for s in shown]
    scores = [float(-ndtri(min(max(p, 1e-12), 1 - 1e-12))) for p in breached]
    found = []
    for name in (*MOVING, "label"):
        without = []
        for part, score in zip(parts, scores, strict=True):
            whole = max(sum(part.values()), 1e-12)
            without.append(float(ndtr(-score * sqrt(whole / max(whole - part[name], 1e-12 * whole)))))
        share = parts[worst][name] / max(sum(parts[worst].values()), 1e-12)
        found.append(Share(name, 100 * share, total(without)))
    return shown[worst].key, tuple(sorted(found, key=lambda part: -round(part.share, 6)))


def _variances(shown: Exposure, terms: Mapping[str, ExecutionError]) -> dict[str, float]:
    """Variance of the gap at the contact, mm², by term."""
    at = shown.contact
    return {n: term.along(at.normal, at.point) for n, term in terms.items()} | {"label": shown.own**2}


DRAWS = 4000
"""Executions drawn for the clearance that is kept."""

MET = 32
"""Structures that a draw looks at, the nearest in sd."""

KEPT = 0.95
"""Share of executions in which that clearance is kept."""


def kept_clearance(shown: Sequence[Exposure]) -> float:
    """Least gap to anything `shown` that the executed tube keeps in `KEPT` of all executions, mm.

    The negative of the 95th percentile of the loss, where the loss of an execution is how far the tube lies in, or
    (negative) from, whatever it is nearest to or deepest in; all terms of the budget, systematic ones too, are drawn.
    Each structure is met at its likeliest contact with a flat wall, and all move together as the tube's error has it,
    so the draws hang on gaps and covariances alone and a moved patient has the same; inf where nothing is near.
    """
    near = [s for s in shown if s.contact.gap < REACH]
    told = sorted(near, key=lambda s: round(s.contact.gap / max(s.contact.spread, 1e-9), 6))[:MET]
    if not told:
        return float("inf")
    ways = np.stack([s.contact.normal @ s.error.ways(s.contact.point) for s in told])
    covariance = ways @ ways.T + np.diag([s.own**2 + 1e-12 for s in told])
    gaps = np.array([s.contact.gap for s in told]) + _draws()[:, : len(told)] @ np.linalg.cholesky(covariance).T
    return float(np.quantile(gaps.min(axis=1), 1 - KEPT))


@cache
def _draws() -> Points:
    return np.random.default_rng(95).standard_normal((DRAWS, MET))
