"""Noise power of the images, ring by ring.

The first estimate is the power of the images themselves. After each E-step the
expected residual |X - C P|^2 follows from quantities the M-step has anyway: with F
the reference, D the data sums and W the weights, the cross term is <F, D> and the
model term <F, W F>, both summed over rings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module, to_host
from helixnb.core.maximization import Accumulator


def summed_power(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum over images of the squared moduli of their transforms.

    Parameters
    ----------
    images : ndarray of float32, shape (n, box, box)
        Normalised and windowed.

    Returns
    -------
    ndarray of float64, shape (box, box // 2 + 1)
        As `scipy.fft.rfft2` lays them out; `ring_means` averages over rings.
    """
    power = array_module(images).abs(fourier.rfft2(images)) ** 2
    total: NDArray[np.float64] = power.sum(0, dtype=np.float64)
    return total


def ring_means(values: NDArray[np.float64], box_px: int) -> NDArray[np.float64]:
    """Average over rings of a half-plane of Fourier components.

    Parameters
    ----------
    values : ndarray of float64, shape (..., box, box // 2 + 1)
        As `scipy.fft.rfft2` lays them out.
    box_px : int
        Edge of the images, pixels.

    Returns
    -------
    ndarray of float64, shape (..., box // 2 + 1)
        Conjugates counted.
    """
    full = fourier.fftfreq(box_px, 1 / box_px)
    half = fourier.rfftfreq(box_px, 1 / box_px)
    ring = np.rint(np.hypot(full[:, None], half[None, :])).astype(int)
    weight = np.full(ring.shape, 2.0)
    weight[:, 0] = 1.0
    if box_px % 2 == 0:
        weight[:, -1] = 1.0
    n_rings = box_px // 2 + 1
    inside = ring < n_rings
    select = sparse.csr_matrix(
        (weight[inside], (ring[inside], np.arange(int(inside.sum())))),
        shape=(n_rings, int(inside.sum())),
    )
    flat = values[..., inside].reshape(-1, select.shape[1])
    means = (select @ flat.T).T / np.bincount(ring[inside], weight[inside], n_rings)
    return np.asarray(means.reshape(*values.shape[:-2], n_rings), np.float64)


def residual_power(
    image_power: NDArray[np.float64],
    noise_power: NDArray[np.float64],
    accumulators: Sequence[Accumulator],
    references: Sequence[NDArray[np.complex64]],
    ring_counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Estimate the power that the references leave unexplained, ring by ring.

    Parameters
    ----------
    image_power : ndarray of float64, shape (>= k_max + 1,)
        Mean power of the images.
    noise_power : ndarray of float64, shape (>= k_max + 1,)
        Noise power the E-step used.
    accumulators : sequence of Accumulator
        Sums before symmetrisation.
    references : sequence of ndarray of complex64, shape grid.shape
        The reference each accumulator's images were scored against.
    ring_counts : ndarray of float64, shape (k_max + 1,)
        Components of each ring, conjugates counted.

    Returns
    -------
    ndarray of float64, shape (k_max + 1,)
        Never below a tenth of the image power.
    """
    grid = accumulators[0].grid
    shell = np.minimum(np.rint(grid.radius).astype(int), grid.k_max).ravel()
    explained = np.zeros(grid.k_max + 1)
    n_images = 0
    for accumulator, reference in zip(accumulators, references, strict=True):
        xp = array_module(reference)
        weight = accumulator.weight[..., accumulator.weight.shape[-1] // 2].real
        cross = 2 * (xp.conj(reference) * accumulator.data).real.sum(-1)
        model = weight * (xp.abs(reference) ** 2).sum(-1)
        values = np.where(grid.z[:, None] > 0, 2.0, 1.0) * to_host(cross - model)
        explained += np.bincount(shell, values.ravel(), grid.k_max + 1)
        n_images += accumulator.n_images
    per_component = explained / (n_images * np.maximum(ring_counts, 1))
    used = slice(grid.k_max + 1)
    residual = image_power[used] - noise_power[used] * per_component
    bounded: NDArray[np.float64] = np.clip(
        residual, 0.1 * image_power[used], image_power[used]
    )
    return bounded
