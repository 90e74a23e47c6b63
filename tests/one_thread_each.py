"""Workers of the test run share the cores among them: each takes one thread, before numpy and numba count the cores."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for limit in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(limit, "1")
