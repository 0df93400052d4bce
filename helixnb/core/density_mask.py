"""Masks that follow the density: threshold, dilate, soften.

What a threshold leaves is cleaned of specks and filled, and the mask is 1 up to a near
distance from it and falls to 0 at a far one. The threshold counts from the 99th
percentile of the density inside the filament rather than from its maximum, which on a
helical map may be a single voxel on the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from helixnb.backend.arrays import array_module, kind_of
from helixnb.core.masks import soft_step

BRIGHT_PERCENTILE = 99.0
"""Percentile of the density inside the filament that thresholds are a fraction of."""

MIN_COMPONENT = 0.1
"""Parts smaller than this fraction of the largest one are specks. The largest alone
would not do: protofilaments may be apart."""

GRID_A = 5.0
"""Coarsest grid on which distances are measured; edges are wider."""


def density_distance(
    density: NDArray[np.float32],
    inside: NDArray[np.bool_],
    threshold: float,
    pixel_size_A: float,
) -> NDArray[np.float32]:
    """Distance of every voxel to the density above a threshold.

    Parameters
    ----------
    density : ndarray of float32, shape (box, box, box)
        Smooth map, solvent about 0.
    inside : ndarray of bool, same shape
        Where the filament may be.
    threshold : float
        Fraction of the bright density.
    pixel_size_A : float
        Edge of a voxel, Angstrom.

    Returns
    -------
    ndarray of float32, same shape
        Angstrom; 0 in the density, infinite where there is none at all.
    """
    xp, ndi = array_module(density), _image_functions(density)
    step = max(1, int(GRID_A / pixel_size_A))
    coarse = density[::step, ::step, ::step]
    where = inside[::step, ::step, ::step]
    level = threshold * xp.percentile(coarse[where], BRIGHT_PERCENTILE)
    solid = _without_specks((coarse > xp.maximum(level, 0.0)) & where, ndi)
    solid = ndi.binary_fill_holes(solid)
    distance = ndi.distance_transform_edt(~solid) * (step * pixel_size_A)
    refined = _refined(distance.astype(np.float32), density.shape, step)
    # Distances to nothing mean nothing.
    found: NDArray[np.float32] = xp.where(solid.any(), refined, np.float32(np.inf))
    return found


def _image_functions(array: NDArray[np.generic]) -> Any:
    """Functions on images, named as SciPy's, for where an array lies."""
    kind = kind_of(array)
    return ndimage if kind is None else kind.ndimage


def soft_mask(
    distance_A: NDArray[np.float32], near_A: float, far_A: float
) -> NDArray[np.float32]:
    """1 up to a near distance, 0 beyond a far one, a cosine between.

    Parameters
    ----------
    distance_A : ndarray of float32
        From `density_distance`.
    near_A, far_A : float
        Distances, near < far.

    Returns
    -------
    ndarray of float32, same shape
    """
    return soft_step(distance_A - near_A, far_A - near_A).astype(np.float32)


def _without_specks(solid: NDArray[np.bool_], ndi: Any) -> NDArray[np.bool_]:
    """Leave out small connected parts."""
    parts, n_parts = ndi.label(solid)
    if n_parts < 2:
        return solid
    size = array_module(solid).bincount(parts.ravel())
    size[0] = 0
    kept: NDArray[np.bool_] = (size >= MIN_COMPONENT * size.max())[parts] & solid
    return kept


def _refined(
    coarse: NDArray[np.float32], shape: tuple[int, ...], step: int
) -> NDArray[np.float32]:
    """Interpolate linearly from every `step`-th voxel, one axis after the other."""
    xp = array_module(coarse)
    for axis, length in enumerate(shape):
        last = coarse.shape[axis] - 1
        place = np.minimum(np.arange(length) / step, last)
        below = np.minimum(place.astype(int), max(last - 1, 0))
        part = (place - below).astype(np.float32)
        part = xp.asarray(part.reshape([-1 if a == axis else 1 for a in range(3)]))
        above = xp.asarray(np.minimum(below + 1, last))
        low = coarse.take(xp.asarray(below), axis)
        coarse = low * (1 - part) + coarse.take(above, axis) * part
    return coarse
