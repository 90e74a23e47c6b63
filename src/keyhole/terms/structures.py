"""Structure keys: what may stand in a label map, and which kind of tissue it is.

The finest parts known form one partition; a key belongs to every prefix of itself.

vertebra/L4/{body, pedicle/SIDE, lamina/SIDE, facet/superior/SIDE, facet/inferior/SIDE, transverse/SIDE, spinous,
posterior}
disc/L4-L5, disc/L4-L5/herniation · sacrum · pelvis/SIDE · rib/NAME/SIDE · femur/SIDE
canal/{dural_sac, epidural, flavum/L4-L5} · foramen/L4-L5/SIDE · root/L4/SIDE
muscle/{psoas, quadratus_lumborum, gluteus/..}/SIDE, muscle/paraspinal/SIDE[/multifidus, /erector_spinae]
vessel/{aorta, ivc, iliac_artery/SIDE, iliac_vein/SIDE, ..} · organ/{kidney/SIDE, colon, ..}
tissue/{skin, fat, muscle, bone, gas}: what no label covers, by Hounsfield units or the phantom's own classes
`foramen/..` and `canal/epidural` are the fat-filled space there; `posterior` is an arch not (yet) split into its parts.
"""

from __future__ import annotations

from enum import StrEnum

from keyhole.errors import InvalidInput


class Origin(StrEnum):
    """How a structure came to be known."""

    LABELLED = "labelled"  # read from a label file
    DERIVED = "derived"  # cut out of labels or image by geometry
    MODELLED = "modelled"  # placed by a model; nobody saw it
    CLASSED = "classed"  # by Hounsfield units alone


class Tissue(StrEnum):
    """What a tube through a structure costs or endangers."""

    SKIN = "skin"
    FAT = "fat"
    MUSCLE = "muscle"
    BONE = "bone"
    DISC = "disc"
    FLAVUM = "flavum"
    NERVE = "nerve"
    VESSEL = "vessel"
    ORGAN = "organ"
    GAS = "gas"


_BY_HEAD = {
    "vertebra": Tissue.BONE,
    "sacrum": Tissue.BONE,
    "pelvis": Tissue.BONE,
    "rib": Tissue.BONE,
    "femur": Tissue.BONE,
    "disc": Tissue.DISC,
    "foramen": Tissue.FAT,
    "root": Tissue.NERVE,
    "muscle": Tissue.MUSCLE,
    "vessel": Tissue.VESSEL,
    "organ": Tissue.ORGAN,
}
_CANAL = {"dural_sac": Tissue.NERVE, "epidural": Tissue.FAT, "flavum": Tissue.FLAVUM}


def tissue(key: str) -> Tissue:
    """The kind of tissue of the structure `key`; an unknown key is refused."""
    head, _, rest = key.partition("/")
    part = rest.partition("/")[0]
    if head == "tissue" and part in {kind.value for kind in Tissue}:
        return Tissue(part)
    if head == "canal":
        return _CANAL.get(part, Tissue.NERVE)
    if head in _BY_HEAD:
        return _BY_HEAD[head]
    raise InvalidInput(f"{key!r} is not a structure key; the first word must be one of {', '.join(sorted(heads()))}")


def heads() -> frozenset[str]:
    """The words that a structure key may begin with."""
    return frozenset({*_BY_HEAD, "canal", "tissue"})


def belongs(key: str, *prefixes: str) -> bool:
    """Whether `key` is one of `prefixes` or a part of one."""
    return key in prefixes or key.startswith(tuple([prefix + "/" for prefix in prefixes]))
