"""Whether views of the filaments cluster about the helix axis.

Filaments are seen from all sides, so azimuths are even: the mean of exp(i n phi) over
the segments is near zero for every n. Where a map has collapsed on to a flat picture,
its front and back take nearly all segments, and even n stand out; half-maps agree on
such a map as well as on a right one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helixnb.core.filament_sums import sums_over_chance

ORDERS = 6
"""Harmonics looked at, n = 1 to this, times the order of the point group."""


class Clustering(NamedTuple):
    """How unevenly azimuths are taken.

    Attributes
    ----------
    order : int
        Harmonic n that stands out most.
    strength : float
        Length of the mean of exp(i n phi), from 0 (even) to 1 (n narrow clusters).
    power : float
        Its square over what filaments of random azimuth would have (`filament_sums`).
    """

    order: int
    strength: float
    power: float


def clustering(
    azimuth_deg: NDArray[np.float64], filament: NDArray[np.int32], cyclic: int
) -> Clustering:
    """Find the harmonic by which azimuths cluster most.

    Parameters
    ----------
    azimuth_deg : ndarray of float64, shape (n,)
        Azimuth of each segment.
    filament : ndarray of int32, shape (n,)
        Filament of each segment.
    cyclic : int
        Order of the cyclic group: azimuths count modulo 360 / cyclic degrees.

    Returns
    -------
    Clustering
    """
    orders = np.arange(1, ORDERS + 1)
    phase = np.exp(1j * cyclic * np.deg2rad(azimuth_deg)[:, None] * orders)
    total, power = sums_over_chance(phase, filament)
    i = int(np.abs(total).argmax())
    strength = float(np.abs(total[i])) / len(azimuth_deg)
    return Clustering(int(orders[i]), strength, float(power[i]))
