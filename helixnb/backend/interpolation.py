"""Kernels that interpolate between Fourier grids, as tables that all devices share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IMAGE_PADDING = 2
"""Zero-padding of images before they are turned."""

IMAGE_TAPS = 4
"""Width of the kernel that interpolates padded image transforms."""

FAN_TAPS = 6
"""Width of the windowed sinc between slices and cylindrical harmonics."""

_TABLE_STEPS = 1024
_BETA_PER_TAP = 2.30


def semicircle_kernel(x: NDArray[np.float64], taps: int) -> NDArray[np.float64]:
    """Exponential-of-semicircle kernel, exp(beta (sqrt(1 - (2x/w)^2) - 1)).

    Barnett, Magland, af Klinteberg 2019, doi:10.1137/18M120885X, eq. 1.8, for grids
    at twice the sampling.

    Parameters
    ----------
    x : ndarray of float64
        Distance in samples of the padded transform.
    taps : int
        Width w of the kernel.

    Returns
    -------
    ndarray of float64, same shape; 0 beyond `taps` / 2.
    """
    inside = np.clip(1 - (2 * x / taps) ** 2, 0, None)
    value = np.exp(_BETA_PER_TAP * taps * (np.sqrt(inside) - 1))
    return np.where(np.abs(x) <= taps / 2, value, 0.0)


def semicircle_transform(
    position: NDArray[np.float64], taps: int
) -> NDArray[np.float64]:
    """Fourier transform of `semicircle_kernel`, which padded data are divided by.

    Parameters
    ----------
    position : ndarray of float64
        Real-space distance from the centre over the padded box, in (-0.5, 0.5).
    taps : int
        Width of the kernel.

    Returns
    -------
    ndarray of float64, same shape.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = nodes * taps / 2
    kernel = weights * semicircle_kernel(x, taps) * taps / 2
    return np.cos(2 * np.pi * position[..., None] * x) @ kernel


def image_table() -> NDArray[np.float32]:
    """Weights of the `IMAGE_TAPS` neighbours, shape (steps + 1, taps).

    One row for each fractional position between two samples.
    """
    fraction = np.arange(_TABLE_STEPS + 1) / _TABLE_STEPS
    offset = np.arange(IMAGE_TAPS) - (IMAGE_TAPS // 2 - 1)
    distance = fraction[:, None] - offset[None, :]
    return semicircle_kernel(distance, IMAGE_TAPS).astype(np.float32)


def fan_table() -> NDArray[np.float32]:
    """Kaiser-windowed sinc weights, shape (steps + 1, `FAN_TAPS`); rows sum to 1."""
    fraction = np.arange(_TABLE_STEPS + 1) / _TABLE_STEPS
    offset = np.arange(FAN_TAPS) - (FAN_TAPS // 2 - 1)
    x = fraction[:, None] - offset[None, :]
    window = np.i0(4.0 * np.sqrt(np.clip(1 - (2 * x / FAN_TAPS) ** 2, 0, None)))
    weights: NDArray[np.float64] = np.sinc(x) * window
    weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32)
