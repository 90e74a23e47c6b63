"""Kernels that share their work among threads give the same labels and the same plan with one as with several."""

import os
import subprocess
import sys

import pytest

ASK = """
import hashlib, numba
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PhantomParameters, phantom
from keyhole.casefile import to_json
from keyhole.plan import plan
from keyhole.terms import Origin

body = phantom(PhantomParameters(seed=3, pathologies=("herniation",), level="L4/L5", side="left"))
labels = body.labels_on(body.grid(2.0))
known = {key: Structure(key, Origin.LABELLED, "phantom", 0.5) for key in labels.keys}
found = vertebrae(labels, structures=known)
anatomy = Anatomy(labels, known, found, canal_line(labels, found), None, "CT", "true", True)
made = plan(anatomy, "L4/L5", "left", "decompress", approaches=["interlaminar-endoscopic"])
print(numba.get_num_threads(), len(made.candidates))
print(hashlib.sha256(labels.array.tobytes()).hexdigest(), hashlib.sha256(to_json(made)).hexdigest())
"""


def _said(threads: int) -> list[str]:
    told = os.environ | {"NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", ASK], env=told, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_one_thread_and_four_give_the_same_labels_and_the_same_plan() -> None:
    one, four = _said(1), _said(4)
    assert (one[0], four[0]) == ("1", "4")
    assert int(one[1]) > 0
    assert one[1:] == four[1:]
