"""How strongly each image shows the reference: the scale of its signal.

At its best pose the log-likelihood of an image is quadratic in the scale a of the
reference, L(a) = a l - a^2 q, so the estimate is l / (2 q) and its variance 1 / (2 q).
Ice and thickness make real scales differ; noise makes estimates differ more. The
scales used are therefore drawn towards 1 by as much as the scatter of all estimates
exceeds their variances (an empirical Gaussian prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import array_module
from helixnb.core.expectation import Posterior
from helixnb.core.fan import Fan
from helixnb.core.scoring import Chunk, Frames, reference_power, score_cells


@dataclass(frozen=True)
class ScaleFit:
    """Scales of the images of a chunk, arrays of shape (n,).

    Parameters
    ----------
    scale : ndarray of float64
        Least-squares scale of the reference at the best pose.
    information : ndarray of float64
        1 / variance of `scale`.
    """

    scale: NDArray[np.float64]
    information: NDArray[np.float64]


def fit_scales(
    chunk: Chunk,
    posterior: Posterior,
    frames: Frames,
    fan: Fan,
    backend: Backend,
) -> ScaleFit:
    """Fit the scale of the reference to every image at its most probable pose.

    Parameters
    ----------
    chunk : Chunk
        Images that the posterior belongs to; its scales take part in the model.
    posterior : Posterior
        Of the chunk on the finest level.
    frames : Frames
        Data of the posterior's cells.
    fan : Fan
        The reference on that level.
    backend : Backend
        Where it runs.

    Returns
    -------
    ScaleFit
    """
    xp = array_module(posterior.mass)
    image = posterior.cells.image
    order = xp.lexsort(xp.stack([-posterior.mass, image]))
    best = order[xp.searchsorted(image[order], xp.arange(len(chunk)))]
    # Cells are scored sorted by tilt, so poses are taken after sorting.
    best = best[xp.argsort(posterior.cells.tilt[best], kind="stable")]
    cells, frames = posterior.cells.take(best), frames.take(best)
    flat = xp.zeros(len(cells), np.float32)
    scores, _ = score_cells(cells, frames, fan, flat, 1.0, backend)
    weights = posterior.weights[best].reshape(len(cells), -1)
    pose = weights.argmax(1)
    azimuth = pose % fan.level.n_azimuth
    row = xp.arange(len(cells))
    quadratic = reference_power(cells, frames, fan, backend)[row, azimuth]
    score = scores.reshape(len(cells), -1)[row, pose]
    linear = score.astype(np.float64) + quadratic
    in_use = xp.asarray(chunk.scale)[cells.image]
    scale, information = xp.empty(len(chunk)), xp.empty(len(chunk))
    scale[cells.image] = in_use * linear / (2 * quadratic)
    information[cells.image] = 2 * quadratic / in_use**2
    return ScaleFit(scale, information)


MOST_LEFT_OUT = 0.5
"""Share of a half-set that may be left out; beyond it the map is wrong, not they."""


def left_out(scale: NDArray[np.float64], half: NDArray[np.int8]) -> float:
    """Share of images that fit the reference no better than its negative.

    Parameters
    ----------
    scale : ndarray of float64, shape (n,)
        Estimates, nan where there is none.
    half : ndarray of int8, shape (n,)
        Half-set of each image, 0 or 1.

    Returns
    -------
    float
        That of the half-set with more of them.
    """
    return float(max((scale[half == h] <= 0).mean() for h in (0, 1)))


def shrunk_scales(
    scale: NDArray[np.float64], information: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scales to use, drawn towards 1 as far as their scatter is noise.

    Parameters
    ----------
    scale : ndarray of float64, shape (n,)
        Estimates, nan where there is none.
    information : ndarray of float64, shape (n,)
        1 / variance of each.

    Returns
    -------
    ndarray of float64, shape (n,)
        With mean 1; 0 for images whose estimate is not positive, which are not to be
        used, and 1 where there is none.
    """
    known = np.isfinite(scale)
    out = np.ones(len(scale))
    fair = known & (scale > 0)
    if fair.sum() < 2:
        return out
    weight = information[fair]
    mean = np.average(scale[fair], weights=weight)
    relative, weight = scale[fair] / mean, weight * mean**2
    scatter = np.average((relative - 1) ** 2, weights=weight)
    excess = max(scatter - len(weight) / weight.sum(), 0.0)
    out[fair] = 1 + (relative - 1) * excess * weight / (excess * weight + 1)
    out[known & (scale <= 0)] = 0.0
    return out
