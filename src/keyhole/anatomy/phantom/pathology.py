"""What each pathology changes, in mm, as a function of its severity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.phantom.parameters import SLIP, PhantomParameters

MOST_LOST = 0.65
"""Largest share of a disc's height that all pathologies together take; keyhole-choice."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Departures of the diseased level from the healthy one, mm unless said; all 0 for a healthy spine.

    `height_loss` is a share of the disc's height, `slip` of the endplate's depth, `dark` 0 to 1 on T2. `bulge` goes all
    round the disc, `flavum` is thickening, `facet` grows both superior processes into the canal's recess, `riding`
    moves the joint of `side` up and forward into the foramen, `spur` is the endplates' osteophyte, `foraminal_spur`
    the one that reaches into the foramen of `side`. `fragment` is the herniation's size.
    """

    level: str
    side: str
    height_loss: float = 0.0
    slip: float = 0.0
    dark: float = 0.0
    bulge: float = 0.0
    flavum: float = 0.0
    facet: float = 0.0
    riding: float = 0.0
    spur: float = 0.0
    foraminal_spur: float = 0.0
    fragment: float = 0.0

    @property
    def sign(self) -> float:
        """+1 on the left (x grows to the left), -1 on the right."""
        return 1.0 if self.side == "left" else -1.0


def changes(parameters: PhantomParameters) -> Changes:
    """The changes that `parameters` ask for. All sizes at severity 1 are Keyhole's choice (keyhole-choice)."""
    herniation = parameters.degree("herniation")
    central = parameters.degree("central-stenosis")
    foraminal = parameters.degree("foraminal-stenosis")
    slip = parameters.degree("spondylolisthesis")
    worn = parameters.degree("degeneration")
    losses = (0.15 * herniation, 0.25 * central, 0.50 * foraminal, 0.30 * slip, 0.55 * worn)
    return Changes(
        level=parameters.level,
        side=parameters.side,
        height_loss=min(MOST_LOST, float(1 - np.prod([1 - loss for loss in losses]))),
        slip=SLIP * slip,
        dark=max(0.6 * herniation, 0.7 * central, 0.8 * foraminal, 0.7 * slip, worn),
        bulge=max(2.4 * central, 1.4 * foraminal, 1.4 * worn),
        flavum=max(3.0 * central, 0.8 * foraminal),
        facet=max(2.6 * central, 1.2 * slip),
        riding=foraminal,
        spur=max(4.0 * worn, 1.5 * central),
        foraminal_spur=4.0 * foraminal,
        fragment=herniation,
    )
