"""Published classes of the canal's and the sac's size."""

from __future__ import annotations

from keyhole.assessment.model import Grade, Measurement, probabilities

VERBIEST_LIMITS = (10.0, 12.0, 13.0)
"""mm, midsagittal diameter of the bony canal [verbiest1977]."""

VERBIEST = ("absolute stenosis", "relative stenosis", "unclassified (12 to 13 mm)", "normal")

NARROWED = (
    "Verbiest's limits are for the bony canal; the chord measured here is that of the free canal, which flavum and "
    "disc narrow further"
)

DEVELOPMENTAL = {"L1": 19.0, "L2": 19.0, "L3": 18.0, "L4": 18.0, "L5": 18.0, "S1": 16.0}
"""mm, anteroposterior diameter of the bony canal below which a level counts as narrow [cheung-developmental]."""

SEVERAL = (
    "developmental stenosis was defined by three or more narrow levels; the limits come from one population (Hong "
    "Kong) and MR at the pedicles"
)

SAC_CUTOFF, CANAL_CUTOFF = 111.09, 147.12
"""mm², areas of sac and of canal that best told patients from controls at the facet joints of L4/5 [lim2017]."""

ONE_LEVEL = "the cut-off was found at the facet joints of L4/L5, in one study of 265 people"

BOLENDER_LIMITS = (100.0, 130.0)
"""mm², dural sac [bolender1985]."""

BOLENDER = ("central stenosis", "early stenosis", "normal")

MOST_USED_AREA, MOST_USED_DIAMETER = 70.0, 10.0
"""mm² and mm: the limits of the spinal canal that studies used most [steurer2011]."""

CONSENSUS = "the limit most often used in 25 studies; the review found no consensus"


def verbiest(found: Measurement, *, is_bony: bool) -> Grade | None:
    """Probability of each of Verbiest's classes of a midsagittal diameter of the bony canal.

    The source leaves 12 to 13 mm without a class; so does this.

    Parameters
    ----------
    is_bony : whether flavum and herniation are unknown, so that the free canal is the bony one.
    """
    return _graded(found, VERBIEST_LIMITS, VERBIEST, "verbiest1977", () if is_bony else (NARROWED,))


def developmental(found: Measurement) -> Grade | None:
    """Probability that the bony canal of a vertebra is narrower than the limit of its level, at the pedicles."""
    limit = DEVELOPMENTAL.get(found.level)
    if limit is None:
        return None
    classes = (f"below {limit:g} mm: narrow from development", f"{limit:g} mm or more")
    return _graded(found, (limit,), classes, "cheung-developmental", (SEVERAL,))


def sac_at_facets(found: Measurement) -> Grade | None:
    """Probability that the dural sac's area at the facets is below the cut-off for central stenosis."""
    return _cutoff(found, SAC_CUTOFF, "mm2", ("lim2017", ONE_LEVEL))


def canal_at_facets(found: Measurement) -> Grade | None:
    """Probability that the bony canal's area at the facets is below the cut-off for central stenosis."""
    return _cutoff(found, CANAL_CUTOFF, "mm2", ("lim2017", ONE_LEVEL))


def bolender(found: Measurement) -> Grade | None:
    """Probability of each class of the dural sac's area at a disc."""
    return _graded(found, BOLENDER_LIMITS, BOLENDER, "bolender1985")


def most_used(found: Measurement) -> Grade | None:
    """Probability that the least area or diameter of the canal is below the limit that studies used most."""
    limit = MOST_USED_AREA if found.unit == "mm2" else MOST_USED_DIAMETER
    return _cutoff(found, limit, found.unit, ("steurer2011", CONSENSUS))


def _cutoff(found: Measurement, limit: float, unit: str, said: tuple[str, str]) -> Grade | None:
    """Below the cut-off or not; `said` is its source and what has to be known of it."""
    classes = (f"below {limit:.0f} {unit} (stenosis)", f"{limit:.0f} {unit} or more")
    return _graded(found, (limit,), classes, said[0], (said[1],))


def _graded(
    found: Measurement, limits: tuple[float, ...], classes: tuple[str, ...], source: str, notes: tuple[str, ...] = ()
) -> Grade | None:
    if found.value is None or found.sd is None:
        return None
    return Grade(probabilities(found.value, found.sd, limits, classes), source, notes)
