"""Twist-rise score map: how well a map agrees with its own helical copies.

For copy k of the operator (twist, rise) the overlap-weighted correlation of the map
with itself is

    c_k = sum_{n, Z} E[n, Z] cos(k (n twist + 2 pi Z rise)) / overlap(k rise)

with E[n, Z] the power of the masked map in azimuthal order n and axial frequency Z,
summed over radius. The score is the mean of c_k over the lags that fit the map,
divided by c_0. One table E serves every twist and rise: the whole grid is two small
matrix products for each lag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid

MIN_OVERLAP = 0.4
"""Lags are used while the map overlaps its copy by this fraction."""


MAX_LAGS = 24
"""Lags used when more would fit: short ones exclude aliases, long ones are sharp."""


@dataclass(frozen=True)
class LayerPower:
    """Power of a map over azimuthal order and axial frequency.

    Parameters
    ----------
    power : ndarray of float64, shape (n_z, n_orders)
        E[n, Z] for Z >= 0, conjugates counted.
    z_per_A : ndarray of float64, shape (n_z,)
    orders : ndarray of int64, shape (n_orders,)
    window : ndarray of float64, shape (box,)
        Axial window of the map.
    pixel_size_A : float
    """

    power: NDArray[np.float64]
    z_per_A: NDArray[np.float64]
    orders: NDArray[np.int64]
    window: NDArray[np.float64]
    pixel_size_A: float


@dataclass(frozen=True)
class SymmetryScore:
    """Score map with its optimum.

    Parameters
    ----------
    twist_deg : ndarray of float64, shape (n_twist,)
    rise_A : ndarray of float64, shape (n_rise,)
    score : ndarray of float64, shape (n_twist, n_rise)
        1 for perfect symmetry, about 0 for none.
    best_twist_deg, best_rise_A, best_score : float
        Optimum, refined below the grid step.
    on_edge : bool
        The optimum lies on the border of the grid.
    """

    twist_deg: NDArray[np.float64]
    rise_A: NDArray[np.float64]
    score: NDArray[np.float64]
    best_twist_deg: float
    best_rise_A: float
    best_score: float
    on_edge: bool


def layer_power(
    volume: NDArray[np.float32],
    grid: CylinderGrid,
    window: NDArray[np.float32],
    pixel_size_A: float,
) -> LayerPower:
    """Power E[n, Z] of a map inside an axial window.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Map, already masked across the axis.
    grid : CylinderGrid
        At oversampling 2, so that the map is zero-padded along the axis.
    window : ndarray of float32, shape (box,)
        Soft axial window.
    pixel_size_A : float
        Edge of a voxel, Angstrom.

    Returns
    -------
    LayerPower
    """
    planes = grid.planes_from_volume(volume)
    mean = np.tensordot(window, planes[..., 0], 1) / window.sum()
    planes[..., 0] -= mean  # the featureless tube agrees with any symmetry
    harmonics = grid.harmonics_from_planes(planes * window[:, None, None])
    # By Parseval, integrating R |F|^2 equals integrating r |rho|^2.
    power = np.einsum("zrm,r->zm", np.abs(harmonics).astype(np.float64) ** 2, grid.r)
    power[1:] *= 2
    return LayerPower(
        power,
        grid.z / (grid.box_px * pixel_size_A),
        grid.orders,
        window.astype(np.float64),
        pixel_size_A,
    )


def score_grid(
    layers: LayerPower,
    twist_deg: NDArray[np.float64],
    rise_A: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score of every twist and rise.

    Parameters
    ----------
    layers : LayerPower
        Power of the map, from `layer_power`.
    twist_deg : ndarray of float64, shape (n_twist,)
        Twists to score, degrees per subunit.
    rise_A : ndarray of float64, shape (n_rise,)
        Rises to score, Angstrom, > 0.

    Returns
    -------
    ndarray of float64, shape (n_twist, n_rise)
    """
    no_shift = float((layers.window**2).sum())
    lags = _usable_lags(layers, float(np.max(rise_A)))
    turn = np.deg2rad(np.outer(twist_deg, layers.orders))
    climb = 2 * np.pi * np.outer(layers.z_per_A, rise_A)
    total = np.zeros((len(twist_deg), len(rise_A)))
    for lag in lags:
        cosine = np.cos(lag * turn) @ layers.power.T @ np.cos(lag * climb)
        sine = np.sin(lag * turn) @ layers.power.T @ np.sin(lag * climb)
        overlap = _overlap(layers, lag * rise_A)
        total += (cosine - sine) / np.maximum(overlap, 1e-3 * no_shift)
    return total / len(lags) * no_shift / float(layers.power.sum())


def _usable_lags(layers: LayerPower, rise_A: float) -> NDArray[np.int64]:
    """Lags up to `MIN_OVERLAP`, thinned evenly; all rises of a grid use the same."""
    shifts = np.arange(1, len(layers.window)) * layers.pixel_size_A
    kept = _overlap(layers, shifts) >= MIN_OVERLAP * float((layers.window**2).sum())
    reach = shifts[kept].max() if kept.any() else 0.0
    most = max(1, int(reach / rise_A))
    return np.unique(np.rint(np.linspace(1, most, min(most, MAX_LAGS))).astype(int))


def _overlap(layers: LayerPower, shift_A: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum of window(z) window(z - shift), linear between voxels."""
    window = layers.window
    correlation = np.correlate(window, window, "full")[len(window) - 1 :]
    lags = np.arange(len(window))
    overlap: NDArray[np.float64] = np.interp(
        shift_A / layers.pixel_size_A, lags, correlation, right=0.0
    )
    return overlap


def search(
    layers: LayerPower,
    twist_range_deg: tuple[float, float],
    rise_range_A: tuple[float, float],
    n_grid: int = 128,
) -> SymmetryScore:
    """Score a grid and refine its optimum.

    Parameters
    ----------
    layers : LayerPower
        Power of the map, from `layer_power`.
    twist_range_deg, rise_range_A : tuple of float
        Extents.
    n_grid : int
        Points along each axis.

    Returns
    -------
    SymmetryScore
    """
    twist = np.linspace(*twist_range_deg, n_grid)
    rise = np.linspace(*rise_range_A, n_grid)
    score = score_grid(layers, twist, rise)
    i, j = np.unravel_index(int(np.argmax(score)), score.shape)
    on_edge = bool(i in (0, n_grid - 1) or j in (0, n_grid - 1))
    best = twist[i], rise[j]
    for zoom in (16.0, 256.0):
        half_twist = (twist[-1] - twist[0]) / zoom
        half_rise = (rise[-1] - rise[0]) / zoom
        fine_twist = best[0] + np.linspace(-half_twist, half_twist, 33)
        fine_rise = best[1] + np.linspace(-half_rise, half_rise, 33)
        fine = score_grid(layers, fine_twist, fine_rise)
        a, b = np.unravel_index(int(np.argmax(fine)), fine.shape)
        best = fine_twist[a], fine_rise[b]
    return SymmetryScore(
        twist, rise, score, float(best[0]), float(best[1]), float(fine[a, b]), on_edge
    )
