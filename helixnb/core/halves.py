"""Gold-standard half-sets of whole filaments.

Neighbouring boxes of a filament overlap and share noise, so a filament never spans
both halves (as RELION does, `exp_model.cpp`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.errors import InputError


def split_by_filament(
    filament: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Assign filaments to two halves of nearly equal size.

    Filaments are taken in random order, each to the half with fewer segments.

    Parameters
    ----------
    filament : ndarray of int32, shape (n,)
        Filament of each segment, 0..n_filaments - 1.
    rng : numpy.random.Generator
        Draws the order of the filaments.

    Returns
    -------
    ndarray of int8, shape (n,)
        0 or 1.

    Raises
    ------
    InputError
        If there are fewer than two filaments.
    """
    sizes = np.bincount(filament)
    if len(sizes) < 2:
        raise InputError(
            "The particles are all of one filament, but half-sets are of whole "
            "filaments: give segments of at least two."
        )
    half_of = np.zeros(len(sizes), np.int8)
    totals = [0, 0]
    for which in rng.permutation(len(sizes)):
        half = int(totals[1] < totals[0])
        half_of[which] = half
        totals[half] += int(sizes[which])
    return half_of[filament]
