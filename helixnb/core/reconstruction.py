"""From accumulated sums to harmonics of a map, with or without a Wiener term.

The quotient D / (W + 1/tau^2) is taken at every azimuth, so an uneven distribution
of views is divided out rather than ignored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module, to_host
from helixnb.core.maximization import Accumulator

_FLOOR = 0.1
"""Least weight over its shell's mean: truncated harmonics ring to near zero, and
dividing by that would drown the map."""


def solve(
    accumulator: Accumulator, inverse_signal: NDArray[np.float64] | None = None
) -> NDArray[np.complex64]:
    """Harmonics of the map that the sums describe.

    Parameters
    ----------
    accumulator : Accumulator
        Sums of data and weights.
    inverse_signal : ndarray of float64, shape (k_max + 1,), or None
        1 / tau^2, the inverse signal power of each shell, in the units of the
        weights (RELION's Wiener filter, Scheres 2012,
        doi:10.1016/j.jmb.2011.11.010, eq. 7). None gives the raw quotient.

    Returns
    -------
    ndarray of complex64, shape grid.shape
    """
    grid, xp = accumulator.grid, array_module(accumulator.data)
    n_theta = fourier.next_fast_len(grid.n_m)
    data = _to_azimuth(accumulator.data, grid.m_max, n_theta)
    n_w = accumulator.weight.shape[-1] // 2
    weight = _to_azimuth(accumulator.weight, n_w, n_theta).real
    shell = np.minimum(np.rint(grid.radius).astype(int), grid.k_max)
    # Weight harmonics are truncated, so keep the sum positive everywhere.
    weight = xp.maximum(weight, xp.asarray(_floor(accumulator))[..., None])
    if inverse_signal is not None:
        weight = weight + xp.asarray(inverse_signal[shell])[..., None]
    quotient = fourier.fft(data / weight, axis=-1, workers=-1) / n_theta
    orders = xp.arange(-grid.m_max, grid.m_max + 1)
    harmonics = quotient[..., orders % n_theta].astype(np.complex64)
    harmonics[xp.asarray(grid.radius > grid.k_max)] = 0
    harmonics[0, 0] = 0  # images carry no mean
    return harmonics


def _to_azimuth(
    harmonics: NDArray[np.complex64], m_max: int, n_theta: int
) -> NDArray[np.complex64]:
    xp = array_module(harmonics)
    full = xp.zeros((*harmonics.shape[:2], n_theta), np.complex64)
    full[..., xp.arange(-m_max, m_max + 1) % n_theta] = harmonics
    turned = fourier.ifft(full, axis=-1, workers=-1) * np.float32(n_theta)
    return xp.asarray(turned, np.complex64)


def shell_mean_weight(accumulator: Accumulator) -> NDArray[np.float64]:
    """Mean weight of each spherical shell, by volume.

    Parameters
    ----------
    accumulator : Accumulator
        Sums whose weights are averaged.

    Returns
    -------
    ndarray of float64, shape (k_max + 1,)
    """
    values = to_host(accumulator.weight[..., accumulator.weight.shape[-1] // 2].real)
    return _shell_average(accumulator, values)


def _floor(accumulator: Accumulator) -> NDArray[np.float64]:
    """Least weight that is divided by, shape (n_z, n_r)."""
    grid = accumulator.grid
    mean = shell_mean_weight(accumulator)
    shell = np.minimum(np.rint(grid.radius).astype(int), grid.k_max)
    raised: NDArray[np.float64] = np.maximum(mean[shell], 1e-3 * mean.mean())
    return _FLOOR * raised


def shell_noise(accumulator: Accumulator) -> NDArray[np.float64]:
    """Mean noise power 1 / W of the raw map in each shell, by volume.

    Parameters
    ----------
    accumulator : Accumulator
        Sums whose weights tell the noise.

    Returns
    -------
    ndarray of float64, shape (k_max + 1,)
    """
    values = to_host(accumulator.weight[..., accumulator.weight.shape[-1] // 2].real)
    return _shell_average(accumulator, 1 / np.maximum(values, _floor(accumulator)))


def _shell_average(
    accumulator: Accumulator, values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Average over shells with the volume element R dR dZ."""
    grid = accumulator.grid
    inside = grid.radius <= grid.k_max
    shell = np.minimum(np.rint(grid.radius).astype(int), grid.k_max)[inside]
    volume = np.broadcast_to(
        np.where(grid.z > 0, 2.0, 1.0)[:, None] * np.maximum(grid.r, 0.25),
        grid.radius.shape,
    )[inside]
    total = np.bincount(shell, volume * values[inside], grid.k_max + 1)
    return total / np.bincount(shell, volume, grid.k_max + 1)


def join_low_resolution(
    halves: tuple[Accumulator, Accumulator], k_split: float
) -> tuple[Accumulator, Accumulator]:
    """Give both halves their average below the split frequency.

    Keeps the halves from drifting apart in position and angle; beyond the split
    they stay independent.

    Parameters
    ----------
    halves : tuple of Accumulator
        Sums of both halves; left as they are.
    k_split : float
        Fourier pixels.

    Returns
    -------
    tuple of Accumulator
    """
    first, second = halves
    xp = array_module(first.data)
    low = xp.asarray(first.grid.radius < k_split)[..., None]
    # Weights differ when halves differ in size, so both sums are averaged.
    data = 0.5 * (first.data + second.data)
    weight = 0.5 * (first.weight + second.weight)

    def joined(half: Accumulator) -> Accumulator:
        return Accumulator(
            half.grid,
            xp.where(low, data, half.data),
            xp.where(low, weight, half.weight),
            half.n_images,
        )

    return joined(first), joined(second)
