"""What can be asked of a phantom, and the dimensions that a seed draws."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.terms import LUMBAR_LEVELS, check_side, split

NAMES = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")
"""Vertebrae of the phantom. T11 is there so that the cut top of the scan looks like one."""

LEVELS = tuple(f"{a}/{b}" for a, b in itertools.pairwise(NAMES))

PATHOLOGIES = ("herniation", "central-stenosis", "foraminal-stenosis", "spondylolisthesis", "degeneration")

SLIP = 0.30
"""Slip at severity 1 as a share of the endplate's depth: Meyerding grade II [koslosky2020]; keyhole-choice."""


@dataclass(frozen=True, slots=True)
class PhantomParameters:
    """One phantom. The same parameters give the same phantom, bit for bit.

    `pathologies` act together at `level`, those with a side on `side`, with `severity` from 0 (none) to 1 (severe).
    `is_mirrored` makes the patient's mirror image: left becomes right, the heart's side included.
    """

    seed: int = 0
    pathologies: tuple[str, ...] = ("herniation",)
    level: str = "L4/L5"
    side: str = "left"
    severity: float = 0.6
    age: float = 55.0
    has_contrast: bool = False
    is_mirrored: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.pathologies if name not in PATHOLOGIES]
        if unknown:
            raise InvalidInput(
                f"unknown pathology {', '.join(unknown)}; a phantom can have {', '.join(PATHOLOGIES)} or none"
            )
        if "/".join(split(self.level)) not in LUMBAR_LEVELS:
            raise InvalidInput(f"a phantom's pathology is at one of {', '.join(LUMBAR_LEVELS)}, got {self.level}")
        check_side(self.side)
        if not 0 <= self.severity <= 1:
            raise InvalidInput(f"severity goes from 0 to 1, got {self.severity}")
        if not 18 <= self.age <= 100:
            raise InvalidInput(f"a phantom is 18 to 100 years old, got {self.age}")
        if not (isinstance(self.seed, int) and self.seed >= 0):
            raise InvalidInput(f"a seed is a whole number from 0, got {self.seed!r}")

    def degree(self, pathology: str) -> float:
        """Severity of `pathology`, 0 where it was not asked for."""
        return self.severity if pathology in self.pathologies else 0.0


@dataclass(frozen=True, slots=True)
class VertebraSize:
    """Dimensions of one vertebra, mm and degrees.

    `height` of the body at its centre, `wedge` of its endplates (lordosis positive); `canal_depth` and `canal_width`
    at the pedicles; `pedicle_angle` to the sagittal plane; `canal_back` half width of the canal at its roof.
    """

    name: str
    height: float
    wedge: float
    width: float
    depth: float
    canal_depth: float
    canal_width: float
    canal_back: float
    pedicle_width: float
    pedicle_height: float
    pedicle_angle: float
    transverse_span: float
    spinous_length: float
    spinous_height: float


@dataclass(frozen=True, slots=True)
class LevelSize:
    """Dimensions of one level, mm and degrees: disc, facet joints (angle to the sagittal plane left, right), sac."""

    name: str
    disc_height: float
    disc_wedge: float
    facet_angles: tuple[float, float]
    facet_spread: float
    sac_width: float
    sac_depth: float
    cleft: float


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Everything that a seed draws."""

    vertebrae: dict[str, VertebraSize]
    levels: dict[str, LevelSize]
    sacral_slope: float
    trunk: tuple[float, float]
    fat: float
    trabecular: float


# name: body height, wedge, width, depth, canal depth, width, roof half width, pedicle width, height, angle,
# transverse span, spinous length, spinous height. L5 height (30.3 anterior, 26.3 posterior), depth 35.7, pedicle
# 16.1 x 12.9, canal 15.6 x 28.2 and "canal depth about constant, width and pedicle width growing, pedicle height
# falling caudally" are read [cook2021]; the other rows are Keyhole's choice along that trend.
_VERTEBRAE = {
    "T11": (23.5, -2.0, 34.5, 28.5, 15.0, 18.5, 6.5, 8.4, 15.6, 1.0, 44.0, 25.0, 11.0),
    "T12": (25.0, -1.0, 39.0, 30.0, 15.4, 20.5, 7.0, 8.4, 15.8, 4.0, 50.0, 26.0, 15.0),
    "L1": (26.5, -0.5, 41.5, 31.5, 15.8, 22.0, 7.0, 8.6, 15.6, 8.0, 72.0, 28.0, 18.0),
    "L2": (27.5, 0.0, 43.5, 33.0, 15.6, 22.8, 7.0, 9.0, 15.1, 10.0, 79.0, 30.0, 19.0),
    "L3": (28.2, 1.5, 46.0, 34.2, 15.3, 23.8, 6.5, 10.4, 14.6, 13.0, 88.0, 31.0, 19.0),
    "L4": (28.4, 3.0, 48.5, 35.2, 15.4, 25.2, 6.0, 12.6, 13.8, 17.0, 85.0, 28.0, 17.0),
    "L5": (28.3, 6.4, 50.5, 35.6, 15.6, 28.2, 5.5, 16.1, 12.9, 27.0, 88.0, 21.0, 13.0),
    "S1": (30.0, 0.0, 51.5, 33.0, 14.0, 30.0, 7.0, 17.0, 14.0, 35.0, 90.0, 12.0, 12.0),
}

# name: disc height at the middle, share of the discs' lordosis, facet angle, facet joint's distance from the midline,
# sac width, sac depth, cleft between multifidus and longissimus. Disc heights 7.9 (L1/2) to 12.0 and 11.1: norms.json,
# Nepal series [keyhole-choice: abstract only]; facet angles L3/4 to L5/S1 [britspine2010]; cleft [deng2015];
# sac about 150 mm2 at L4/5 [lim2017].
_LEVELS = {
    "T11/T12": (3.8, 0.0, 60.0, 12.0, 15.0, 12.0, 9.0),
    "T12/L1": (4.6, 0.0, 22.0, 13.0, 16.0, 12.4, 9.0),
    "L1/L2": (5.6, 0.10, 25.0, 14.0, 16.4, 12.4, 9.0),
    "L2/L3": (7.0, 0.15, 30.0, 14.8, 16.6, 12.0, 11.0),
    "L3/L4": (8.2, 0.20, 35.9, 16.0, 16.6, 11.8, 17.0),
    "L4/L5": (9.0, 0.25, 43.2, 18.2, 16.6, 11.6, 30.0),
    "L5/S1": (8.2, 0.30, 49.4, 21.0, 15.0, 10.8, 35.0),
}


def dimensions(seed: int) -> Dimensions:
    """The dimensions of phantom `seed`: a common size, and a smaller spread of each vertebra and level."""
    rng = np.random.default_rng([seed, 1])
    size = float(np.clip(rng.normal(1.0, 0.045), 0.90, 1.10))
    lordosis = float(np.clip(rng.normal(45.0, 5.5), 33.0, 57.0))
    canal = float(np.clip(rng.normal(1.0, 0.05), 0.9, 1.12))
    vertebrae = {name: _vertebra(name, size, canal, rng) for name in NAMES}
    wedges = lordosis - sum(vertebrae[name].wedge for name in ("L1", "L2", "L3", "L4", "L5"))
    levels = {name: _level(name, size, wedges, rng) for name in LEVELS}
    return Dimensions(
        vertebrae,
        levels,
        sacral_slope=float(np.clip(rng.normal(37.0, 3.0) + 0.45 * (lordosis - 45.0), 29.0, 45.0)),
        trunk=(180.0 * float(rng.uniform(0.97, 1.03)), 240.0 * float(rng.uniform(0.98, 1.03))),
        fat=float(rng.uniform(18.0, 26.0)),
        trabecular=float(rng.normal(0.0, 18.0)),
    )


def _vertebra(name: str, size: float, canal: float, rng: np.random.Generator) -> VertebraSize:
    row = np.array(_VERTEBRAE[name])
    row[[0, 2, 3, 7, 8, 10, 11, 12]] *= size * rng.normal(1.0, 0.012, 8)
    row[[4, 5, 6]] *= np.sqrt(size) * canal * rng.normal(1.0, 0.012)
    row[1] += rng.normal(0.0, 0.5)
    row[9] += rng.normal(0.0, 1.0)
    return VertebraSize(name, *(float(v) for v in row))


def _level(name: str, size: float, wedges: float, rng: np.random.Generator) -> LevelSize:
    height, share, angle, spread, sac_width, sac_depth, cleft = _LEVELS[name]
    tropism = rng.normal(0.0, 2.0)
    common = rng.normal(0.0, 2.5)
    return LevelSize(
        name,
        disc_height=float(height * size * rng.normal(1.0, 0.05)),
        disc_wedge=float(share * wedges),
        facet_angles=(float(angle + common + tropism), float(angle + common - tropism)),
        facet_spread=float(spread * size),
        sac_width=float(sac_width * rng.normal(1.0, 0.03)),
        sac_depth=float(sac_depth * rng.normal(1.0, 0.03)),
        cleft=float(cleft * size * rng.normal(1.0, 0.05)),
    )
