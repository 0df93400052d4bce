"""The grid that poses were found on, told from the poses themselves.

Its step becomes finer with the resolution, images may be searched more finely than
others, and those that were left out of an iteration keep what they had. A plot that
counts poses has to know where they can lie at all, or it shows how its bins meet the
grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMALS = 4
OFTEN = 0.1
"""Part of the commonest place's count with which a value counts as a place, too."""

ON_GRID = 0.8
TOLERANCE = 0.05
"""Part of the values that lie on a grid, and how far off in steps."""


class Places(NamedTuple):
    """Evenly spaced places, of which one is given."""

    step: float
    origin: float


def places_of(values: NDArray[np.float64]) -> Places | None:
    """Find the evenly spaced places that most values lie on.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Angles or lengths; what is not finite does not count.

    Returns
    -------
    Places or None
        None of values that lie anywhere.
    """
    known = values[np.isfinite(values)]
    found, counts = np.unique(np.round(known, DECIMALS), return_counts=True)
    if len(found) < 2:
        return None
    often = found[counts >= OFTEN * counts.max()]
    if len(often) < 2:
        return None
    step = float(np.median(np.diff(often)))
    origin = float(found[counts.argmax()])
    steps = (known - origin) / step
    on_grid = np.abs(steps - np.round(steps)) < TOLERANCE
    return Places(step, origin) if on_grid.mean() > ON_GRID else None
