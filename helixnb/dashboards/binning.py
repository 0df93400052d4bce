"""Bins for what was searched on a grid.

Poses are found on a grid that becomes finer with the resolution; bins hold whole steps
of it, with its places in their middle, or counts would show where bins and grid meet
and not how segments lie.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MOST_BINS = 40
LEAST_RANGE = 0.1


def bin_edges(
    limits: tuple[float, float],
    grid: tuple[float, float] = (0.0, 0.0),
    most: int = MOST_BINS,
) -> NDArray[np.float64]:
    """Edges of bins from below the least value to beyond the largest.

    Parameters
    ----------
    limits : tuple of float
        Least and largest value.
    grid : tuple of float
        Step, 0 if there is none, and one of the places, as `grid_of` has them. Places
        lie in the middle of bins, or evenly about it.
    most : int
        About how many bins at most.

    Returns
    -------
    ndarray of float64
        Evenly spaced.
    """
    (low, high), (step, place) = limits, grid
    # A little more, or the largest value may lie beyond the last edge by rounding.
    least = 1.000001 * max(high - low, LEAST_RANGE) / most
    width = step * max(math.ceil(least / step), 1) if step > 0 else least
    edge = place - step / 2 if step > 0 else low
    first = math.floor((low - edge) / width)
    last = max(math.ceil((high - edge) / width), first + 1)
    return edge + width * np.arange(first, last + 1, dtype=float)


def grid_of(values: xr.DataArray, centre: float = 0.0) -> tuple[float, float]:
    """Step that a result was searched in, and one of the places.

    Parameters
    ----------
    values : xarray.DataArray
        Of `Session.orientations`.
    centre : float
        What places are counted from.

    Returns
    -------
    tuple of float
        0 and 0 if it was not searched in steps.
    """
    step = float(values.attrs.get("search_step", 0.0))
    return step, float(values.attrs["search_place"]) - centre if step else 0.0
