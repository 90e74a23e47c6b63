"""Compiled code called from several threads."""

import os
import subprocess
import sys

CALLS = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from keyhole.anatomy.tissue import near_outside
mask = np.zeros((60, 60, 60), dtype=bool)
mask[10:-10, 10:-10, 10:-10] = True
unseen = np.zeros_like(mask)
with ThreadPoolExecutor(2) as pool:
    found = list(pool.map(lambda _: near_outside(mask, unseen, np.ones(3), 3.0).tobytes(), range(30)))
import numba
print(numba.threading_layer(), len(set(found)))
"""


def test_kernels_may_be_called_from_two_threads_where_only_numbas_own_pool_is_installed():
    env = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", CALLS], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "workqueue 1"), done.stderr
