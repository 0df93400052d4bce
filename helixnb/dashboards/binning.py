"""Bins for what was searched on a grid.

Poses are found on a grid that becomes finer with the resolution; bins are whole steps
of it, or counts would show where bins and grid meet and not how segments lie.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MOST_BINS = 40


def bin_edges(
    limit: float, step: float = 0.0, most: int = MOST_BINS
) -> NDArray[np.float64]:
    """Edges of bins about 0 that are whole steps of a grid.

    Parameters
    ----------
    limit : float
        Largest value.
    step : float
        Of the grid, whose cells meet at 0; 0 if there is none.
    most : int
        About how many bins at most.

    Returns
    -------
    ndarray of float64
        Evenly spaced and symmetric, just beyond the limit.
    """
    least = 2 * limit / most
    width = step * max(math.ceil(least / step), 1) if step > 0 else least
    half = max(math.ceil(limit / width), 1)
    return width * np.arange(-half, half + 1, dtype=float)


def step_of(values: xr.DataArray) -> float:
    """Step that a result was searched in.

    Parameters
    ----------
    values : xarray.DataArray
        Of `Session.orientations`.

    Returns
    -------
    float
        0 if it was not searched in steps.
    """
    return float(values.attrs.get("search_step", 0.0))
