"""The painted scans that ct-classical is judged on: fixed seeds, every trap in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from painter import Look, Painted, paint
from worlds import VERSE, World, phantom_world, verse_world

from keyhole.anatomy.phantom import PATHOLOGIES, PhantomParameters
from keyhole.terms import LUMBAR_LEVELS

FINE = 1.2  # mm, phantoms are sampled on; VerSe worlds on 1 mm


@dataclass(frozen=True)
class Case:
    """One scan to paint: a label map ("004", "010") or a phantom's parameters, and the look."""

    name: str
    source: str | PhantomParameters
    look: Look
    is_clean: bool


def is_clean(look: Look) -> bool:
    """Whether a method should find nothing to warn of: quiet, fine, healthy bone, everything in view."""
    cut = max(look.top, look.bottom, look.sides, look.front)
    return look.noise <= 30 and max(look.spacing) <= 2.0 and look.cancellous >= 110 and not (cut or look.thin)


SPACINGS = ((1.0, 1.0, 1.0), (0.8, 0.8, 2.0), (1.5, 1.5, 1.5), (3.0, 3.0, 3.0), (0.9, 0.9, 1.0), (0.7, 0.7, 3.0),
            (2.0, 2.0, 2.0), (0.8, 0.8, 1.25))  # fmt: skip


def _varied(n: int) -> Look:
    """Look number `n`: every property turns at its own pace."""
    rng = np.random.default_rng([n, 21])
    worn = n % 4 == 3
    a, b, c = (round(float(x), 1) for x in rng.uniform(-10, 10, 3))
    look = Look(
        noise=round(float(rng.uniform(15, 60)), 0) if n % 3 else 20.0,
        spacing=SPACINGS[n % len(SPACINGS)],
        cancellous=round(float(rng.uniform(45, 90) if worn else rng.uniform(120, 240)), 0),
        cortex=0.45 if worn else 0.6,
        hull=560.0 if worn else 720.0,
        contrast=n % 3 == 1,
        table=n % 5 != 0,
        seed=n,
    )
    if n % 5 == 2:
        look = replace(look, turn=(a, b / 2, c * 1.5))
    if n % 7 == 3:
        look = replace(look, oblique=(a * 1.5, b / 2, c))
    if n % 4 == 1:
        order = ((1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1))[n // 4 % 4]
        spacing = tuple(look.spacing[axis] for axis in order)
        flips = (bool(n & 4), bool(n & 8), bool(n & 16))
        look = replace(look, order=order, flips=flips, spacing=(spacing[0], spacing[1], spacing[2]))
    if n % 6 == 5:
        look = replace(look, kissing=4.0)
    if n % 9 == 4:
        look = replace(look, sides=round(float(rng.uniform(55, 85)), 0))
    if n % 11 == 6:
        look = replace(look, bottom=round(float(rng.uniform(10, 60)), 0))
    if n % 13 == 8:
        look = replace(look, top=round(float(rng.uniform(10, 60)), 0))
    return look


def phantom_cases(n: int = 50) -> Iterator[Case]:
    """Phantoms, each another patient, disease and look; every tenth without disease and plain."""
    for k in range(n):
        plain = k % 5 == 0
        sick = () if plain else (PATHOLOGIES[k % len(PATHOLOGIES)],)
        wanted = PhantomParameters(
            seed=100 + k,
            pathologies=sick,
            level=LUMBAR_LEVELS[(k * 2 + 1) % 5],
            side="left" if k % 2 else "right",
            severity=0.3 + 0.05 * (k % 10),
            age=30.0 + (k * 7) % 55,
            is_mirrored=k % 10 == 7,
        )
        look = Look(noise=18.0, spacing=SPACINGS[(k // 5) % 3], seed=k) if plain else _varied(k)
        yield Case(f"phantom {k}", wanted, look, is_clean(look) and plain)


def verse_cases() -> Iterator[Case]:
    """The two label maps of real spines: plain, worn, noisy, thin discs, kissing, contrast, turned, cropped."""
    plain = Look(noise=20.0)
    looks = (
        plain,
        replace(plain, spacing=(0.8, 0.8, 1.25), cancellous=150.0, seed=1),
        replace(plain, spacing=(2.0, 2.0, 2.0), turn=(4.0, -3.0, 8.0), seed=2),
        replace(plain, noise=50.0, spacing=(0.9, 0.9, 2.0), contrast=True, seed=3),
        replace(plain, noise=40.0, cancellous=60.0, cortex=0.45, hull=560.0, spacing=(1.2, 1.2, 2.0), seed=4),
        replace(plain, thin=0.5, kissing=4.0, spacing=(1.0, 1.0, 1.5), seed=5),
        replace(plain, spacing=(3.0, 3.0, 3.0), contrast=True, seed=6),
        replace(plain, oblique=(10.0, 4.0, 6.0), order=(1, 2, 0), flips=(True, False, True), spacing=(1.5, 1.5, 1.5)),
        replace(plain, sides=80.0, noise=30.0, spacing=(0.7, 0.7, 3.0), seed=8),
        replace(plain, bottom=150.0, spacing=(1.5, 1.5, 1.5), seed=9),
    )
    for name in VERSE:
        for k, look in enumerate(looks):
            yield Case(f"verse {name} {k}", name, look, is_clean(look))


def world_of(source: str | PhantomParameters) -> World | None:
    """The world a case is painted from; None where its data are absent."""
    return verse_world(source) if isinstance(source, str) else phantom_world(source, FINE)


def painted(case: Case) -> Painted | None:
    """The scan of `case`; None where its data are absent."""
    world = world_of(case.source)
    return None if world is None else paint(world, case.look)
