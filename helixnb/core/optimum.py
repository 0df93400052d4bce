"""The optimum of a score map below its grid step, and how sharp it is.

Zooming finds the highest point; a paraboloid fitted to the surface around it, over a
drop in score that is large against the rounding of the table and small against the
peak, then gives place, height and curvature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.core.self_correlation import SelfCorrelation, score_grid

_ZOOMS = (16.0, 128.0, 1024.0)
_ZOOM_POINTS = 33
_DROP = 0.004
_FIT_POINTS = 9


@dataclass(frozen=True)
class Optimum:
    """Highest point of a score surface.

    Parameters
    ----------
    twist_deg, rise_A, score : float
    curvature : ndarray of float64, shape (2, 2)
        Second derivatives of the score by twist (degrees) and rise (Angstrom);
        negative definite at a peak.
    """

    twist_deg: float
    rise_A: float
    score: float
    curvature: NDArray[np.float64]


def refined(
    correlation: SelfCorrelation,
    start: tuple[float, float],
    extent: tuple[float, float],
    lags: NDArray[np.int64] | None = None,
) -> Optimum:
    """Optimum near a point.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    start : tuple of float
        Twist in degrees and rise in Angstrom.
    extent : tuple of float
        Widths, in twist and in rise, of which an eighth, about the start, is searched.
    lags : ndarray of int64, optional
        As for `score_grid`.

    Returns
    -------
    Optimum
    """
    place = np.array(start, float)
    steps = np.linspace(-1, 1, _ZOOM_POINTS)
    for zoom in _ZOOMS:
        reach = np.array(extent) / zoom
        twists, rises = place[0] + steps * reach[0], place[1] + steps * reach[1]
        fine = score_grid(correlation, twists, rises, lags)
        i, j = np.unravel_index(int(np.argmax(fine)), fine.shape)
        place = np.array([twists[i], rises[j]])
    reach = np.minimum(_fitting_reach(correlation, place, reach, lags), extent)
    moved, height, curvature = _paraboloid(correlation, place, reach, lags)
    # Where there is no peak, as on the edge of a search, the highest point stays.
    if (np.abs(moved) <= reach / 2).all():
        twist, rise = (place + moved).tolist()
        return Optimum(twist, rise, height, curvature)
    return Optimum(float(place[0]), float(place[1]), float(fine[i, j]), curvature)


def _fitting_reach(
    correlation: SelfCorrelation,
    place: NDArray[np.float64],
    reach: NDArray[np.float64],
    lags: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Half widths at which the score has dropped by about `_DROP`."""
    out = np.array(reach)
    for _ in range(3):
        twists = place[0] + np.array([-1.0, 0.0, 1.0]) * out[0]
        rises = place[1] + np.array([-1.0, 0.0, 1.0]) * out[1]
        near = score_grid(correlation, twists, rises, lags)
        drop = near[1, 1] - np.array([near[[0, 2], 1].mean(), near[1, [0, 2]].mean()])
        # No more than eightfold at once: far from the peak the drop tells nothing.
        out *= np.clip(np.sqrt(_DROP / np.maximum(drop, 1e-9)), 1 / 8, 8)
    return out


def _paraboloid(
    correlation: SelfCorrelation,
    place: NDArray[np.float64],
    reach: NDArray[np.float64],
    lags: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Fit a paraboloid: where its peak is from `place`, its height and curvature."""
    steps = np.linspace(-1, 1, _FIT_POINTS)
    values = score_grid(
        correlation, place[0] + steps * reach[0], place[1] + steps * reach[1], lags
    )
    t, r = (a.ravel() for a in np.meshgrid(steps, steps, indexing="ij"))
    terms = np.column_stack([np.ones_like(t), t, r, t * t / 2, t * r, r * r / 2])
    fit = np.linalg.lstsq(terms, values.ravel(), rcond=None)[0]
    slope, bend = fit[1:3], np.array([[fit[3], fit[4]], [fit[4], fit[5]]])
    if bend[0, 0] >= 0 or np.linalg.det(bend) <= 0:
        return np.full(2, np.inf), 0.0, bend / np.outer(reach, reach)
    step = -np.linalg.solve(bend, slope)
    height = float(fit[0] + 0.5 * slope @ step)
    return step * reach, height, bend / np.outer(reach, reach)
