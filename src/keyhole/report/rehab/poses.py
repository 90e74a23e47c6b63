"""The poses of Keyhole's exercises, by key: what each drawing shows."""

from __future__ import annotations

from keyhole.report.rehab.figures import Body, Figure, Panel, bed, box, chair, counter, line, wall, wheel

_LYING, _CROOK, _STRAIGHT = 180.0, (55.0, -57.0, 0.0), (0.0, 0.0, 80.0)
_ON_BELLY = (32.0, -25.0)
_BED = (bed(14.0),)
_SEAT = chair(36.0)


def _back(
    leg: tuple[float, float, float], far: tuple[float, float, float] | None = None, arm: tuple[float, float] = _ON_BELLY
) -> Body:
    """On the back on a bench, head to the left."""
    return Body((92.0, 21.0), _LYING, leg, arm, far_leg=far)


def _up(
    arm: tuple[float, float] = (-88.0, -80.0),
    leg: tuple[float, float, float] = (-90.0, -90.0, 0.0),
    far: tuple[float, float, float] | None = None,
    *,
    at: float = 90.0,
    trunk: float = 90.0,
    far_arm: tuple[float, float] | None = None,
) -> Body:
    """Standing, looking to the right."""
    return Body((at, None), trunk, leg, arm, far_leg=far, far_arm=far_arm)


def _seated(
    leg: tuple[float, float, float] = (-3.0, -90.0, 0.0),
    far: tuple[float, float, float] | None = None,
    *,
    trunk: float = 90.0,
    arm: tuple[float, float] = (-75.0, -20.0),
    head: float | None = None,
) -> Body:
    """On a chair, looking to the right."""
    return Body((52.0, 44.0), trunk, leg, arm, far_leg=far, head=head)


FIGURES: dict[str, Figure] = {
    "walk": Figure(
        (
            Panel(
                _up((-118.0, -95.0), (-66.0, -82.0, 8.0), (-112.0, -122.0, -38.0), far_arm=(-58.0, -28.0)),
                arrows=(((128.0, 96.0), (166.0, 96.0), 0.0),),
            ),
        ),
        "A person walks upright with swinging arms.",
    ),
    "log-roll": Figure(
        (
            Panel(_back(_CROOK), (bed(14.0),), (((60.0, 66.0), (104.0, 66.0), 14.0),)),
            Panel(
                Body((104.0, 47.0), 138.0, (-4.0, -88.0, 0.0), (-100.0, -92.0), head=126.0),
                (bed(40.0, 8.0, 118.0),),
                (((36.0, 118.0), (74.0, 140.0), 8.0),),
            ),
        ),
        "On the back with bent knees, then up over the side: the legs hang over the edge, the arm pushes.",
    ),
    "ankle-pumps": Figure(
        (Panel(_back((0.0, 0.0, 108.0), (0.0, 0.0, 38.0)), _BED, (((178.0, 26.0), (166.0, 46.0), 6.0),)),),
        "On the back with straight legs, one foot pulled up, one pointed away.",
    ),
    "belly-breath": Figure(
        (Panel(_back(_CROOK), _BED, (((76.0, 42.0), (76.0, 66.0), 0.0),)),),
        "On the back with bent knees, a hand on the belly that rises.",
    ),
    "brace": Figure(
        (Panel(_back(_CROOK, arm=(8.0, 4.0)), _BED, (((80.0, 58.0), (80.0, 32.0), 0.0),)),),
        "On the back with bent knees, the lower belly drawn in.",
    ),
    "buttock-squeeze": Figure(
        (Panel(_back(_STRAIGHT), _BED, (((66.0, 52.0), (86.0, 32.0), 0.0), ((118.0, 52.0), (98.0, 32.0), 0.0))),),
        "On the back with straight legs, the buttocks squeezed together.",
    ),
    "knee-press": Figure(
        (Panel(_back((0.0, 0.0, 100.0), _CROOK), _BED, (((127.0, 50.0), (127.0, 28.0), 0.0),)),),
        "On the back, one knee bent, the other pressed down.",
    ),
    "heel-slide": Figure(
        (Panel(_back((22.0, -23.0, 30.0), _CROOK), _BED, (((138.0, 5.0), (170.0, 5.0), 0.0),)),),
        "On the back with bent knees, one heel slides away.",
    ),
    "sit-to-stand": Figure(
        (
            Panel(
                _seated((-3.0, -96.0, 0.0), trunk=58.0, arm=(-35.0, 5.0)),
                (_SEAT,),
                (((96.0, 118.0), (122.0, 140.0), 6.0),),
            ),
            Panel(_up(at=86.0), (chair(36.0),)),
        ),
        "Leaning forward on a chair, then standing.",
    ),
    "knee-straighten": Figure(
        (Panel(_seated((0.0, -8.0, 60.0), (-3.0, -90.0, 0.0)), (_SEAT,), (((104.0, 12.0), (130.0, 30.0), -6.0),)),),
        "Sitting tall, one knee straightened.",
    ),
    "heel-raise": Figure(
        (
            Panel(_up((-38.0, -10.0)), (counter(122.0),)),
            Panel(_up((-50.0, -14.0), (-90.0, -92.0, -62.0)), (counter(122.0),), (((62.0, 14.0), (62.0, 42.0), 0.0),)),
        ),
        "Standing at a counter on flat feet, then on the toes.",
    ),
    "shoulder-blades": Figure(
        (Panel(_up((-118.0, -62.0), far_arm=(-100.0, -50.0)), arrows=(((86.0, 98.0), (50.0, 98.0), 0.0),)),),
        "Standing tall, the elbows and shoulder blades drawn back.",
    ),
    "hip-hinge": Figure(
        (
            Panel(_up()),
            Panel(
                _up((-92.0, -88.0), (-72.0, -98.0, 0.0), at=74.0, trunk=32.0),
                arrows=(((66.0, 82.0), (36.0, 82.0), 0.0),),
            ),
        ),
        "Standing, then bending at the hips with a straight back.",
    ),
    "wall-slide": Figure(
        (
            Panel(
                _up((-84.0, -70.0), (-38.0, -98.0, 0.0), at=52.0),
                (wall(38.0),),
                (((104.0, 118.0), (104.0, 84.0), 0.0),),
            ),
        ),
        "The back against a wall, the knees a little bent.",
    ),
    "march": Figure(
        (Panel(_back((84.0, -38.0, -10.0), _CROOK), _BED, (((146.0, 30.0), (146.0, 56.0), 0.0),)),),
        "On the back with bent knees, one foot lifted.",
    ),
    "bridge": Figure(
        (
            Panel(
                Body((92.0, 44.0), 211.0, (8.0, -78.0, 0.0), (2.0, 0.0), head=182.0),
                _BED,
                (((92.0, 60.0), (92.0, 86.0), 0.0),),
            ),
        ),
        "On the back, hips lifted until thighs and trunk make a line.",
    ),
    "clam": Figure(
        (
            Panel(
                Body((88.0, 21.0), _LYING, (42.0, -36.0, -6.0), (30.0, -60.0), far_leg=(4.0, -2.0, 0.0)),
                _BED,
                (((134.0, 26.0), (128.0, 58.0), 8.0),),
            ),
        ),
        "On the side, feet together, the upper knee lifted like a shell.",
    ),
    "nerve-glide": Figure(
        (
            Panel(
                _seated((0.0, -14.0, 50.0), (-3.0, -90.0, 0.0), head=122.0),
                (_SEAT,),
                (((104.0, 10.0), (128.0, 26.0), -6.0),),
            ),
            Panel(_seated(head=52.0), (_SEAT,), (((124.0, 32.0), (102.0, 10.0), 6.0),)),
        ),
        "Sitting: knee straight and looking up, then knee bent and looking down.",
    ),
    "calf-stretch": Figure(
        (
            Panel(
                _up((8.0, 14.0), (-118.0, -118.0, 0.0), (-62.0, -98.0, 0.0), at=92.0, trunk=70.0),
                (wall(158.0),),
                (((34.0, 32.0), (34.0, 8.0), 0.0),),
            ),
        ),
        "Hands on a wall, one leg back with its heel down, the front knee bent.",
    ),
    "one-leg": Figure(
        (Panel(_up((-46.0, -8.0), far=(-52.0, -128.0, -50.0)), (counter(124.0),)),),
        "Standing on one leg with a hand just above a counter.",
    ),
    "step-up": Figure(
        (
            Panel(
                Body((82.0, 68.0), 82.0, (-22.0, -96.0, 0.0), (-70.0, -30.0), far_leg=(-96.0, -100.0, 0.0)),
                (
                    line((92.0, 18.0), (160.0, 18.0), width=5.0),
                    line((92.0, 18.0), (92.0, -1.0), width=5.0),
                    line((160.0, -1.0), (160.0, 110.0), width=3.0),
                    line((140.0, 110.0), (172.0, 110.0), width=3.0),
                ),
                (((44.0, 86.0), (62.0, 120.0), 6.0),),
            ),
        ),
        "One foot on a low step, a rail in front.",
    ),
    "bird-dog": Figure(
        (
            Panel(
                Body(
                    (78.0, 36.0),
                    8.0,
                    (176.0, 178.0, -110.0),
                    (-90.0, -90.0),
                    far_leg=(-92.0, 180.0, 180.0),
                    far_arm=(14.0, 8.0),
                    head=4.0,
                ),
            ),
        ),
        "On all fours, one leg stretched back and the other arm forward, the back flat.",
    ),
    "side-plank": Figure(
        (
            Panel(
                Body((98.0, 15.0), 163.0, (-19.0, 4.0, 0.0), (-90.0, 178.0), far_arm=None, head=160.0),
                arrows=(((98.0, 28.0), (98.0, 54.0), 0.0),),
            ),
        ),
        "On one forearm and the knees, hips lifted, the body in a line.",
    ),
    "squat-hold": Figure(
        (
            Panel(_up((-6.0, 2.0), at=86.0), (chair(26.0),)),
            Panel(
                Body((58.0, 50.0), 62.0, (-12.0, -104.0, 0.0), (-4.0, 4.0)),
                (chair(26.0),),
                (((128.0, 128.0), (128.0, 98.0), 0.0),),
            ),
        ),
        "Standing before a chair, then squatting until the seat is just touched.",
    ),
    "lift-box": Figure(
        (
            Panel(
                _up((-72.0, -50.0), (-62.0, -106.0, 0.0), at=64.0, trunk=42.0),
                (
                    line((112.0, 38.0), (160.0, 38.0), width=5.0),
                    line((116.0, 38.0), (116.0, -1.0)),
                    line((156.0, 38.0), (156.0, -1.0)),
                    box((124.0, 51.0)),
                ),
            ),
            Panel(_up((-78.0, 0.0), at=80.0), (box((112.0, 94.0)),), (((150.0, 70.0), (150.0, 104.0), 0.0),)),
        ),
        "Bending at hips and knees to a box on a stool, then standing with the box held close.",
    ),
    "bike": Figure(
        (
            Panel(
                Body((70.0, 74.0), 66.0, (-20.0, -92.0, 0.0), (-34.0, -14.0), far_leg=(-62.0, -92.0, 0.0)),
                (
                    wheel((120.0, 22.0), 20.0),
                    line((66.0, 70.0), (92.0, 30.0), (120.0, 22.0), (128.0, 92.0), (138.0, 96.0)),
                    line((58.0, 71.0), (80.0, 71.0), width=6.0),
                    line((92.0, 30.0), (84.0, -1.0)),
                ),
            ),
        ),
        "On an exercise bike, sitting tall.",
    ),
}
