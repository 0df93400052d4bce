"""How well the poses of a filament's segments describe one continuous helix.

A helix obeys f(phi, s + rise) = f(phi + twist, s), so azimuth phi and axial shift s
of a segment at position t along its filament are one number, its screw phase

    x = phi + twist (s + t) / rise        modulo 360 / cyclic degrees,

which is the same for all segments of a perfect filament. A line through x over t takes
up what the filament's own twist differs from the map's; what is left are the deviations
of single segments, and those far from the line contradict their filament.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OUTLIER_DEG = 30.0
"""Deviation from the line, times the cyclic order, that makes a segment an outlier."""

MAX_DRIFT_DEG = 30.0
"""Steepest line searched: azimuth gained between neighbours, times the cyclic order."""

_STEP_DEG = 10.0
"""Step of the slopes, as phase over the whole filament, times the cyclic order."""

_LEAST_PLACES = 3
"""A line through two places tells nothing."""

_FITS = 2
"""Straight lines fitted after the search, each through what the one before left in."""


@dataclass(frozen=True)
class ScrewFit:
    """Line through the screw phases of one filament.

    Parameters
    ----------
    offset_deg : float
        Screw phase at position 0.
    slope_deg_per_A : float
        Screw phase gained along the filament.
    concentration : float
        Length of the mean resultant about the line: 1 if all segments agree, about
        1 / sqrt(n) if none do.
    deviation_deg : ndarray of float64, shape (n,)
        Distance of each segment from the line.
    """

    offset_deg: float
    slope_deg_per_A: float
    concentration: float
    deviation_deg: NDArray[np.float64]


def screw_phase_deg(
    azimuth_deg: NDArray[np.float64],
    axial_A: NDArray[np.float64],
    position_A: NDArray[np.float64],
    twist_deg: float,
    rise_A: float,
) -> NDArray[np.float64]:
    """Azimuth of each segment after unwinding the helix to position 0.

    Parameters
    ----------
    azimuth_deg : ndarray of float64, shape (n,)
        phi of the filament frame.
    axial_A : ndarray of float64, shape (n,)
        Shift of the particle along +v.
    position_A : ndarray of float64, shape (n,)
        Position of the box along +v.
    twist_deg, rise_A : float
        Helical symmetry.

    Returns
    -------
    ndarray of float64, shape (n,)
        Degrees, not wrapped.
    """
    return azimuth_deg + twist_deg / rise_A * (axial_A + position_A)


def fit_screw(
    phase_deg: NDArray[np.float64], position_A: NDArray[np.float64], cyclic: int
) -> ScrewFit:
    """Fit the line that most segments of a filament agree with.

    Maximises |sum exp(i cyclic (x - slope t))|, to which a few contradicting segments
    add little, over a grid of slopes; then fits those that are no outliers.

    Parameters
    ----------
    phase_deg : ndarray of float64, shape (n,)
        From `screw_phase_deg`; n >= 1.
    position_A : ndarray of float64, shape (n,)
        Position of the box along +v.
    cyclic : int
        Order of the cyclic group: phases count modulo 360 / cyclic.

    Returns
    -------
    ScrewFit
    """
    phasor = np.exp(1j * np.deg2rad(cyclic * phase_deg))
    slopes = np.deg2rad(_slopes_deg_per_A(position_A))  # of the cyclic-fold phase
    sums = np.exp(-1j * np.outer(slopes, position_A)) @ phasor
    best = int(np.abs(sums).argmax())
    offset = float(np.rad2deg(np.angle(sums[best]))) / cyclic
    slope = float(np.rad2deg(slopes[best])) / cyclic
    period = 360.0 / cyclic

    def deviation_deg() -> NDArray[np.float64]:
        left = phase_deg - offset - slope * position_A
        wrapped: NDArray[np.float64] = (left + period / 2) % period - period / 2
        return wrapped

    for _ in range(_FITS):
        left = deviation_deg()
        near = np.abs(left) <= OUTLIER_DEG / cyclic
        if len(np.unique(position_A[near])) < _LEAST_PLACES:
            break
        steeper, higher = np.polyfit(position_A[near], left[near], 1)
        slope, offset = slope + float(steeper), offset + float(higher)
    left = deviation_deg()
    return ScrewFit(
        offset_deg=offset,
        slope_deg_per_A=slope,
        concentration=float(np.abs(np.exp(1j * np.deg2rad(cyclic * left)).mean())),
        deviation_deg=left,
    )


def _slopes_deg_per_A(position_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grid of slopes, 0 first so that it wins where all fit alike."""
    places = np.unique(position_A)
    if len(places) < _LEAST_PLACES:
        return np.zeros(1)
    length = places[-1] - places[0]
    steepest = MAX_DRIFT_DEG / float(np.median(np.diff(places)))
    n = int(np.ceil(steepest * length / _STEP_DEG))
    positive = steepest * np.arange(1, n + 1) / n
    return np.concatenate([[0.0], positive, -positive])
