"""Where each image is expected: its given angles, or what its neighbours say.

A filament bends slowly, so the in-plane angle, tilt and transverse shift of a segment
follow from those that its neighbours were found with. Each becomes the centre of a
Gaussian prior, from a straight line fitted to the other segments of the filament
with weights that fall off along the track; the segment itself is left out, or its
evidence would count twice (RELION smooths its priors along the tube too, He and
Scheres 2017, doi:10.1016/j.jsb.2017.02.003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helixnb.core.poses import Poses

_LEAST_NEIGHBOURS = 3
"""Other segments, at least, from which a prior is made."""


@dataclass(frozen=True)
class Priors:
    """Centres of the pose priors, seen at the first polarity; shape (n,) each.

    Parameters
    ----------
    psi_deg : ndarray of float64
        In-plane angle.
    tilt_deg : ndarray of float64
        Tilt.
    shift_px : ndarray of float64
        Transverse shift.
    psi_known : ndarray of bool
        Whether the in-plane angle is known; where not, all are searched.
    """

    psi_deg: NDArray[np.float64]
    tilt_deg: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    psi_known: NDArray[np.bool_]

    @classmethod
    def given(
        cls,
        psi_deg: NDArray[np.float64],
        tilt_deg: NDArray[np.float64],
        poses: Poses,
    ) -> Priors:
        """Priors from the file, with unknown in-plane angles as they were last found.

        Parameters
        ----------
        psi_deg, tilt_deg : ndarray of float64, shape (n,)
            As read; psi is nan where unknown.
        poses : Poses
            From the iteration before; nan where there is none yet.
        """
        found = poses.psi_deg - 180.0 * poses.polarity
        psi = np.where(np.isfinite(psi_deg), psi_deg, found)
        known = np.isfinite(psi)
        return cls(np.where(known, psi, 0.0), tilt_deg, np.zeros(len(psi)), known)


def seen_from_first_polarity(
    poses: Poses,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """In-plane angle, tilt and shift as an image of the first polarity has them.

    Parameters
    ----------
    poses : Poses
        Of all images.

    Returns
    -------
    psi_deg, tilt_deg, shift_px : ndarray of float64, shape (n,)
        Seen from the other end, a tilt of 90 + d is one of 90 - d, and a shift
        changes sign.
    """
    sign = 1.0 - 2.0 * poses.polarity
    return (
        poses.psi_deg - 180.0 * poses.polarity,
        90 + sign * (poses.tilt_deg - 90),
        sign * poses.shift_px,
    )


def from_neighbours(
    priors: Priors,
    poses: Poses,
    filament: NDArray[np.int32],
    track_A: NDArray[np.float64],
    distance_A: float,
) -> Priors:
    """Replace priors by what the neighbours along the filament were found with.

    Parameters
    ----------
    priors : Priors
        Kept where there are too few neighbours.
    poses : Poses
        From the iteration before; nan where there is none yet.
    filament : ndarray of int32, shape (n,)
        Filament of each image.
    track_A : ndarray of float64, shape (n,)
        Position along the filament; nan where unknown.
    distance_A : float
        Standard deviation of the weights along the track.

    Returns
    -------
    Priors
    """
    psi, tilt, shift = seen_from_first_polarity(poses)
    out = [priors.psi_deg.copy(), priors.tilt_deg.copy(), priors.shift_px.copy()]
    usable = np.isfinite(psi) & np.isfinite(track_A)
    order = np.argsort(filament, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(filament[order])) + 1):
        m = members[usable[members]]
        if len(m) <= _LEAST_NEIGHBOURS:
            continue
        # Around the filament's first angle, so that no step of 360 is averaged.
        unwound = psi[m[0]] + (psi[m] - psi[m[0]] + 180) % 360 - 180
        for values, target in zip((unwound, tilt[m], shift[m]), out, strict=True):
            predicted, enough = _leave_one_out(track_A[m], values, distance_A)
            target[m[enough]] = predicted[enough]
    return replace(priors, psi_deg=out[0], tilt_deg=out[1], shift_px=out[2])


def _leave_one_out(
    position: NDArray[np.float64], values: NDArray[np.float64], distance: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Weighted straight line through the others, at each position.

    Returns the predictions and whether enough neighbours stood behind each.
    """
    lag = position[None, :] - position[:, None]
    weight = np.exp(-0.5 * (lag / distance) ** 2)
    np.fill_diagonal(weight, 0.0)
    total = weight.sum(1)
    safe = np.maximum(total, 1e-12)
    mean_lag = (weight * lag).sum(1) / safe
    mean = (weight * values).sum(1) / safe
    centred = lag - mean_lag[:, None]
    spread = (weight * centred**2).sum(1)
    slope = (weight * centred * values).sum(1) / np.maximum(spread, 1e-12)
    # Neighbours on one side only cannot tell a slope well; they tell a mean.
    one_sided = np.abs(mean_lag) > 0.5 * distance
    predicted = np.where(one_sided, mean, mean - slope * mean_lag)
    effective = total**2 / np.maximum((weight**2).sum(1), 1e-12)
    return predicted, effective >= _LEAST_NEIGHBOURS
