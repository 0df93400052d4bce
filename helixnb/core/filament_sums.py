"""Whether a sum over segments is more than chance: filaments are the independent part.

Segments of a filament are seen from sides that follow from each other and share their
errors, so chance is that of filaments, each with its own sum over its segments, turned
at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BELIEVED = 8.0
"""Power from which on a sum is believed; one in 3,000 is as high by chance."""


def sums_over_chance(
    terms: NDArray[np.complex128], filament: NDArray[np.int32]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Sum terms over all segments, and compare with filaments turned at random.

    Parameters
    ----------
    terms : ndarray of complex128, shape (n, k)
        Of each segment.
    filament : ndarray of int32, shape (n,)
        Filament of each segment.

    Returns
    -------
    total : ndarray of complex128, shape (k,)
        Sums over the segments.
    power : ndarray of float64, shape (k,)
        Squared moduli of `total` over what they are in the mean by chance, where they
        are exponentially distributed; 0 where there is nothing. At most the number of
        filaments.
    """
    sums = np.zeros((int(filament.max()) + 1, terms.shape[1]), complex)
    np.add.at(sums, filament, terms)
    total, chance = sums.sum(0), (np.abs(sums) ** 2).sum(0)
    return total, np.abs(total) ** 2 / np.maximum(chance, np.finfo(float).tiny)
