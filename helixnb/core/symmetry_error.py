"""How well twist and rise are determined, from what the two halves do not share.

Noise moves the optimum of the score S(p), p = (twist, rise), by -H^-1 g, with g the
slope that it adds and H the curvature of S. The slope is a sum of independent
contributions of many orders and layer lines, E[n, Z] times a known function, and the
difference E_A - E_B of the halves is a sample of each: their squares add up to the
variance of g (the sandwich estimator of regression). One pair of optima, by contrast,
has a single degree of freedom and would tell the error to no better than a factor.

Only noise that the halves do not share is measured: neither errors of the pixel size
nor a common bias of the alignment towards the symmetry that was imposed. Where the
score has no peak there is nothing to tell the error of (`is_peak`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.core.optimum import Optimum
from helixnb.core.self_correlation import LayerPower

LEAST_FALL = 0.01
"""Fall of the score, as part of it, over a step that turns or moves the last copy by
the resolution: 0.2 to 4 on maps of helices, below 0.001 along the ridge of a ribbon."""

_NEIGHBOURS = 3
"""Samples along Z over which noise correlates, because the window is shorter than the
length transformed."""


def standard_errors(
    half_A: LayerPower,
    half_B: LayerPower,
    total: float,
    optimum: Optimum,
    lags: NDArray[np.int64],
) -> tuple[float, float]:
    """Tell the standard errors of the joint optimum of two half-maps.

    Parameters
    ----------
    half_A, half_B : LayerPower
        Power of the half-maps.
    total : float
        Sum of the power of the sum of both maps, which `optimum` is of.
    optimum : Optimum
        Joint optimum with its curvature.
    lags : ndarray of int64
        Lags of its score.

    Returns
    -------
    twist_deg, rise_A : float
        Standard errors; nan where the score has no peak.
    """
    bend = optimum.curvature * total
    if bend[0, 0] >= 0 or np.linalg.det(bend) <= 0:
        return float("nan"), float("nan")
    slopes = _slopes(half_A, optimum, lags) * (half_A.power - half_B.power)
    noise = _summed_products(slopes)
    # With the signal twice as high and both noises in it, the sum's slope is at most
    # twice the sum of the halves' slopes, whose variance is that of their difference.
    inverse = np.linalg.inv(bend)
    covariance = inverse @ (4 * noise) @ inverse
    twist, rise = np.sqrt(np.diag(covariance))
    return float(twist), float(rise)


def is_peak(
    optimum: Optimum, last_lag: int, resolution_A: float, radius_A: float
) -> bool:
    """Tell a peak of the score from a ridge.

    Where subunits lie closer along the axis than the resolution, the map is a ribbon or
    a tube. Its score is a ridge of operators that move density along itself, whose
    highest point is left to what the score itself neglects, also without noise.

    Parameters
    ----------
    optimum : Optimum
        With its curvature.
    last_lag : int
        Largest lag of its score.
    resolution_A : float
        Of the map.
    radius_A : float
        Of the density.

    Returns
    -------
    bool
        Whether the score falls both ways from the optimum, also along the twist or
        rise that makes up best for a wrong rise or twist.
    """
    bend = -optimum.curvature
    if bend[0, 0] <= 0 or bend[1, 1] <= 0:
        return False
    along = np.linalg.det(bend) / np.array([bend[1, 1], bend[0, 0]])
    movement_A = resolution_A / last_lag
    steps = np.array([np.rad2deg(movement_A / radius_A), movement_A])
    fall = 0.5 * along * steps**2
    return bool((fall >= LEAST_FALL * abs(optimum.score)).all())


def _slopes(
    layers: LayerPower, optimum: Optimum, lags: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Slope of the score by twist (degrees) and rise for each unit of power.

    Returns
    -------
    ndarray of float64, shape (2, n_orders, n_z)
    """
    n = np.deg2rad(layers.orders)[:, None]
    z = 2 * np.pi * layers.z_per_A
    x = n * optimum.twist_deg + z * optimum.rise_A
    pixel = layers.pixel_size_A
    near = optimum.rise_A * lags[:, None] + np.array([-0.5, 0.0, 0.5]) * pixel
    weight = 1 / layers.overlap_at(near) / len(lags)
    growth = (weight[:, 2] - weight[:, 0]) / pixel
    out = np.zeros((2, *x.shape))
    for lag, here, change in zip(lags, weight[:, 1], growth, strict=True):
        sine = lag * here * np.sin(lag * x)
        out[0] -= n * sine
        out[1] -= z * sine - lag * change * np.cos(lag * x)
    return out


def _summed_products(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of a sum whose terms are independent but for neighbours along Z."""
    n_z = slopes.shape[-1]
    total = np.einsum("inz,jnz->ij", slopes, slopes)
    for step in range(1, _NEIGHBOURS + 1):
        ahead, behind = slopes[..., step:], slopes[..., : n_z - step]
        product = np.einsum("inz,jnz->ij", ahead, behind)
        total += (1 - step / (_NEIGHBOURS + 1)) * (product + product.T)
    return np.asarray(total)
