"""Exact Euclidean distance fields, mm, on a crop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry.transform import Transform
from keyhole.geometry.volume import Volume


def distance_field(mask: NDArray[np.bool_], patient_from_index: Transform, *, signed: bool = True) -> Volume:
    """Distance of every voxel centre from the nearest voxel centre of `mask`, mm, float32.

    With `signed`, voxels inside the mask hold minus the distance to the nearest voxel centre outside it.
    Exact for a grid with orthogonal axes (Felzenszwalb & Huttenlocher's transform as in the edt
    library); a sheared grid is refused. An empty mask gives +inf everywhere: the caller decides what the
    absence of a structure means. The surface lies up to half a voxel nearer than these centre-to-centre
    distances say; bounds on a true gap subtract `Grid.half_diagonal` or the voxel's support.

    Parameters
    ----------
    mask : (i, j, k), already cropped to where distances are wanted plus the reach they are wanted for.
    patient_from_index : the mask's own.
    signed : negative inside; otherwise 0 inside.
    """
    import edt  # noqa: PLC0415  (heavy import)

    columns = patient_from_index.matrix[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.allclose((columns / spacing).T @ (columns / spacing), np.eye(3), atol=1e-3):
        raise InvalidInput("a distance field needs orthogonal voxel axes; resample the sheared grid first")
    if not mask.any():
        return Volume(np.full(mask.shape, np.inf, dtype=np.float32), patient_from_index)
    steps = tuple(float(s) for s in spacing)
    outside: NDArray[Any] = edt.edt(np.ascontiguousarray(~mask), anisotropy=steps, black_border=False, parallel=2)
    if signed:
        outside -= edt.edt(np.ascontiguousarray(mask), anisotropy=steps, black_border=False, parallel=2)
    return Volume(outside, patient_from_index)
