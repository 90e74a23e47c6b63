"""Target registration error of point fiducials, to first order, for any fiducial error; invariant by construction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keyhole.errors import InvalidInput
from keyhole.geometry import Points
from keyhole.plan.doubt.error import ExecutionError, Matrix, cross_matrix

LEAST_SPREAD = 1.0
"""Fiducials nearer to one line than this, mm (RMS), do not fix a rotation [keyhole-choice]."""


def fiducial_error(fiducials: ArrayLike, localisation: ArrayLike) -> ExecutionError:
    """The error of a least-squares rigid registration to `fiducials`, as t + w x (x - centroid).

    To first order the fitted shift is the mean of the fiducials' errors e_k, and the fitted rotation
    w = H^-1 sum f_k x e_k with H = sum (f_k² I - f_k f_k^T), f_k from the centroid. Their covariance follows for
    any covariance of the e_k, equal or not, isotropic or not. For equal isotropic errors its trace is Fitzpatrick's
    formula. Everything is a vector or a tensor, so moving or turning the patient moves or turns the result.

    Parameters
    ----------
    fiducials : (n >= 3, 3) LPS mm, not on one line.
    localisation : error of one fiducial: RMS length in 3D, mm (isotropic); or covariance (3, 3) of all, mm²; or
        (n, 3, 3) one covariance each.

    References
    ----------
    danilchenko2010, fitzpatrick1998.
    """
    points = _checked(fiducials)
    each = _covariances(localisation, len(points))
    centre = points.mean(axis=0)
    arms = points - centre
    spread = np.eye(3) * (arms**2).sum() - arms.T @ arms
    turn = np.linalg.inv(spread) @ cross_matrix(arms)
    n = len(points)
    return ExecutionError(
        each.sum(axis=0) / n**2,
        np.einsum("nab,nbc,ndc->ad", turn, each, turn),
        np.einsum("nab,ncb->ac", each, turn) / n,
        centre,
    )


def _checked(fiducials: ArrayLike) -> Points:
    points = np.asarray(fiducials, dtype=np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or len(points) < 3 or not np.isfinite(points).all():
        raise InvalidInput(f"a registration needs three fiducials or more, (n, 3) finite LPS mm, got {points.shape}")
    across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(points))
    if not across >= LEAST_SPREAD:
        raise InvalidInput(f"fiducials on one line do not fix a rotation: they lie {across:.2g} mm (RMS) off it")
    return points


def _covariances(localisation: ArrayLike, n: int) -> Matrix:
    """(n, 3, 3) mm²."""
    given = np.asarray(localisation, dtype=np.float64)
    if given.shape == () and given >= 0 and np.isfinite(given):
        given = np.eye(3) * float(given) ** 2 / 3
    if given.shape not in ((3, 3), (n, 3, 3)) or not np.isfinite(given).all():
        raise InvalidInput(
            f"a fiducial localisation error is an RMS >= 0 mm, a (3, 3) or {n} covariances, got {given.tolist()}"
        )
    return np.broadcast_to(given, (n, 3, 3))


def frame_error(frame: ArrayLike, rms: float, growth: float) -> ExecutionError:
    """The error of a tracked reference frame at `frame` (3,) LPS mm: `rms` mm there, more with distance.

    `growth` is the RMS error that each mm away from the frame adds, mm/mm: a rotation about the frame with the same
    sd about every axis acts on the two directions across the arm, so its sd is growth / sqrt(2) rad.
    """
    at = np.asarray(frame, dtype=np.float64)
    if not (at.shape == (3,) and np.isfinite(at).all() and 0 <= rms < np.inf and 0 <= growth < np.inf):
        raise InvalidInput(
            f"a reference frame needs a place and two numbers >= 0, got {at.tolist()}, {rms} mm, {growth} mm/mm"
        )
    return ExecutionError(np.eye(3) * rms**2 / 3, np.eye(3) * growth**2 / 2, centre=at)


def target_rms(fiducials: ArrayLike, localisation: float, target: ArrayLike) -> float:
    """RMS target error at `target` (3,), mm, by Fitzpatrick's formula for equal isotropic fiducial errors.

    <TRE²> = <FLE²> / n (1 + 1/3 sum_k d_k² / f_k²): d_k is the target's distance from principal axis k of the
    fiducials, f_k the RMS distance of the fiducials from it.

    References
    ----------
    fitzpatrick1998.
    """
    points = _checked(fiducials)
    arms = points - points.mean(axis=0)
    axes = np.linalg.svd(arms, full_matrices=False)[2]
    way = np.asarray(target, dtype=np.float64) - points.mean(axis=0)
    away = (way @ way) - (axes @ way) ** 2
    mean = ((arms**2).sum() - ((arms @ axes.T) ** 2).sum(axis=0)) / len(points)
    return float(localisation * np.sqrt((1 + (away / mean).sum() / 3) / len(points)))
