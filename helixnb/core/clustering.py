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
        Its square over what filaments of random azimuth would have, 1 in the mean and
        exponentially distributed. At most the number of filaments.
    """

    order: int
    strength: float
    power: float


def clustering(
    azimuth_deg: NDArray[np.float64], filament: NDArray[np.int32], cyclic: int
) -> Clustering:
    """Find the harmonic by which azimuths cluster most.

    Segments of a filament are not independent, so chance is that of filaments: each
    keeps its own sum over its segments and is turned at random.

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
    sums = np.zeros((int(filament.max()) + 1, ORDERS), complex)
    np.add.at(sums, filament, phase)
    total = np.abs(sums.sum(0))
    chance = (np.abs(sums) ** 2).sum(0)
    i = int(total.argmax())
    strength = float(total[i]) / len(azimuth_deg)
    return Clustering(int(orders[i]), strength, float(total[i] ** 2 / chance[i]))
